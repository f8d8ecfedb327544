// docs/embedding-guide.md quotes this file: the library keeps documents and vectors.
#include <cstdio>

#include "embedjobs/embedjobs.hpp"

namespace {

const char* const kDocument = R"({"openapi": "3.0.3", "info": {"title": "Shop", "version": "1"}, "paths": {
  "/users": {"get": {"operationId": "listUsers", "summary": "List all users"}},
  "/invoices/{id}": {"delete": {"operationId": "deleteInvoice", "summary": "Delete an invoice"}}}})";

int say(const embedjobs::Status& status) {
  std::fprintf(stderr, "%s\n", status.to_string().c_str());
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  embedjobs::EngineOptions options;
  options.dsn = argc > 1 ? argv[1] : "memory:";  // "sqlite:PATH" keeps it
  options.embedder = "hashing";                  // needs no model: for trying things

  auto opened = embedjobs::Engine::open(options);
  if (!opened.ok()) {
    return say(opened.status());
  }
  embedjobs::Engine& engine = **opened;

  auto put = engine.put({"shop", "api"}, kDocument);  // stored with its job, or not at all
  if (!put.ok()) {
    return say(put.status());
  }
  if (embedjobs::Status status = engine.start(); !status.ok()) {
    return say(status);
  }
  auto idle = engine.wait_idle(std::chrono::minutes(1));
  if (!idle.ok()) {
    return say(idle.status());
  }

  auto health = engine.health("shop");
  if (!health.ok()) {
    return say(health.status());
  }
  std::printf("%s\n", embedjobs::make_banner(*health).text.c_str());

  auto hits = engine.search("shop", "remove the invoice", 1);
  if (!hits.ok()) {
    return say(hits.status());
  }
  for (const embedjobs::SearchHit& hit : *hits) {
    std::printf("%s %.2f\n", hit.operation_id.c_str(), static_cast<double>(hit.score));
  }

  // Ask for the end first, destroy afterwards: the destructor waits without limit for a call that does not return.
  if (!engine.stop(std::chrono::seconds(30))) {
    std::fprintf(stderr, "a provider call does not return; its job is released all the same\n");
  }
  return 0;
}
