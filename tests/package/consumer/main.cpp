// What a host does first: opens an engine, puts a document, waits, searches.
#include <cstdio>
#include <embedjobs/embedjobs.hpp>

int main() {
  auto engine = embedjobs::Engine::open({.dsn = "memory:", .embedder = "hashing:64"});
  if (!engine.ok()) {
    std::fprintf(stderr, "%s\n", engine.status().to_string().c_str());
    return 1;
  }
  const char* const document = R"({"openapi": "3.0.3", "info": {"title": "t", "version": "1"},
    "paths": {"/users": {"get": {"summary": "List users"}, "post": {"summary": "Create a user"}}}})";
  if (!(*engine)->put({"catalog", "spec"}, document).ok() || !(*engine)->start().ok() ||
      !(*engine)->wait_idle(std::chrono::seconds(1)).ok()) {
    return 1;
  }
  const auto hits = (*engine)->search("catalog", "list all users", 1);
  return hits.ok() && hits->size() == 1 && hits->front().operation_id == "GET /users" ? 0 : 1;
}
