#include <embedjobs/embedjobs.hpp>
#include <iostream>

int main() {
  auto opened = embedjobs::Engine::open({.dsn = "sqlite:shop.db", .embedder = "hashing"});
  if (!opened.ok()) {
    std::cerr << opened.status().message() << '\n';
    return 1;
  }
  embedjobs::Engine& engine = **opened;
  const auto put = engine.put({"shop", "orders"}, R"({"openapi": "3.0.3", "paths": {"/orders": {
      "get": {"summary": "List orders"}, "post": {"summary": "Place an order"}}}})");  // stored, with its job
  if (!put.ok() || !engine.start().ok() || !engine.wait_idle(std::chrono::minutes(1)).ok()) {
    return 1;
  }
  const auto hits = engine.search("shop", "place an order", 3);
  for (std::size_t i = 0; hits.ok() && i < (*hits).size(); ++i) {
    std::cout << (*hits)[i].score << ' ' << (*hits)[i].operation_id << '\n';
  }
}
