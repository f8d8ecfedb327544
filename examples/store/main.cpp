// The whole of a host's own: its queue, its documents, its vectors. The library brings the work between them.
#include <cstdio>

#include "embedjobs/embedjobs.hpp"
#include "host.hpp"
#include "map_store.hpp"

namespace {

using namespace example;

/// What a page would show of the documents; false when one is not indexed.
bool show(Engine& engine) {
  const auto rows = engine.status(std::nullopt);
  if (!rows.ok()) {
    std::fprintf(stderr, "%s\n", rows.status().to_string().c_str());
    return false;
  }
  bool indexed = true;
  for (const SpecStatus& row : *rows) {
    const Badge badge = make_badge(row);
    std::printf("%s/%s: %s\n", row.key.catalog_id.c_str(), row.key.spec_name.c_str(), badge.label.c_str());
    indexed = indexed && badge.tone == Tone::kGreen;
  }
  return indexed;
}

/// Writes the document, says so, and waits until it is embedded.
bool index(Engine& engine, Documents& documents, const SpecKey& key, const char* items) {
  documents.write(key, make_items_document(items));
  const auto enqueued = engine.enqueue(key, JobKind::kSpecWrite);  // after the write is committed
  return enqueued.ok() && engine.wait_idle(std::chrono::seconds(10)).ok() && show(engine);
}

}  // namespace

int main() {
  const auto documents = std::make_shared<Documents>();
  const auto vectors = std::make_shared<Vectors>();
  EngineOptions options;
  options.embedder = "hashing";
  EngineParts parts;
  parts.store = std::make_shared<MapStore>();
  parts.resolver = documents;
  parts.persister = vectors;
  auto engine = Engine::open(options, parts);
  if (!engine.ok() || !(*engine)->start().ok()) {
    std::fprintf(stderr, "can't start\n");
    return 1;
  }

  const SpecKey key{"shop", "answers"};
  const bool first = index(**engine, *documents, key, R"({"id": "refund", "text": "How to get money back"}
{"id": "address", "text": "Changing the address of a delivery"})");
  const bool edited = index(**engine, *documents, key, R"({"id": "refund", "text": "How to get your money back"}
{"id": "address", "text": "Changing the address of a delivery"}
{"id": "gift", "text": "Sending an order as a gift"})");
  const bool stopped = (*engine)->stop(std::chrono::seconds(30));
  std::printf("%zu vectors are stored\n", vectors->rows(key).size());
  return first && edited && stopped && vectors->rows(key).size() == 3 ? 0 : 1;
}
