// docs/embedding-guide.md quotes this file: documents and vectors stay in the host's own tables.
#include <cstdio>
#include <map>
#include <mutex>
#include <string>

#include "embedjobs/embedjobs.hpp"

namespace {

using embedjobs::Code;
using embedjobs::Result;
using embedjobs::SpecKey;
using embedjobs::Status;

/// Stands for the host's database: one lock is one transaction.
struct Tables {
  struct Spec {
    std::string content;
    embedjobs::Fence fence;
    std::map<std::string, embedjobs::TextHash> rows;  // and the vectors
    embedjobs::SpecState state;
  };
  std::mutex mutex;
  std::map<SpecKey, Spec> specs;
};

class Documents final : public embedjobs::SpecResolver {
 public:
  explicit Documents(Tables& tables) : tables_(tables) {}

  Result<embedjobs::Document> resolve(const SpecKey& key) override {
    const std::lock_guard transaction(tables_.mutex);
    const auto found = tables_.specs.find(key);
    if (found == tables_.specs.end()) {
      return {Code::kGone, "deleted"};
    }
    return embedjobs::Document{found->second.content, version_of(found->second.content)};
  }

  // With this and Persister::describe the reconciler finds what an enqueue forgot.
  Result<std::vector<embedjobs::SpecVersion>> list(const SpecKey* after, std::size_t limit) override {
    const std::lock_guard transaction(tables_.mutex);
    std::vector<embedjobs::SpecVersion> page;
    auto spec = after == nullptr ? tables_.specs.begin() : tables_.specs.upper_bound(*after);
    for (; spec != tables_.specs.end() && page.size() < limit; ++spec) {
      page.push_back({spec->first, version_of(spec->second.content)});
    }
    return page;
  }

 private:
  static std::string version_of(const std::string& content) { return embedjobs::to_hex(embedjobs::hash_text(content)); }
  Tables& tables_;
};

class Vectors final : public embedjobs::Persister {
 public:
  explicit Vectors(Tables& tables) : tables_(tables) {}

  Result<std::vector<bool>> list_existing(const embedjobs::PassContext& context,
                                          const embedjobs::Manifest& wanted) override {
    const std::lock_guard transaction(tables_.mutex);
    Tables::Spec& spec = tables_.specs[context.key];
    if (!accept(spec, context.fence)) {
      return stale();
    }
    std::vector<bool> existing(wanted.size());
    for (std::size_t i = 0; i < wanted.size(); ++i) {
      const auto row = spec.rows.find(std::string(wanted.operation_id(i)));
      existing[i] = context.reuse_floor == 0 && row != spec.rows.end() && row->second == wanted.text_hash(i);
    }
    return existing;
  }

  Status upsert_batch(const embedjobs::PassContext& context, std::span<const embedjobs::VectorRow> rows) override {
    const std::lock_guard transaction(tables_.mutex);
    Tables::Spec& spec = tables_.specs[context.key];
    if (!accept(spec, context.fence)) {
      return stale();
    }
    for (const embedjobs::VectorRow& row : rows) {
      spec.rows[std::string(row.operation_id)] = row.text_hash;  // and row.vector
    }
    return {};
  }

  Status finalize(const embedjobs::PassContext& context, const embedjobs::Manifest& manifest) override {
    const std::lock_guard transaction(tables_.mutex);
    Tables::Spec& spec = tables_.specs[context.key];
    if (!accept(spec, context.fence)) {
      return stale();
    }
    std::map<std::string, embedjobs::TextHash> rows;
    for (std::size_t i = 0; i < manifest.size(); ++i) {
      rows[std::string(manifest.operation_id(i))] = manifest.text_hash(i);
    }
    spec.rows = std::move(rows);  // exactly the manifest: what the document lost is gone
    spec.state = {context.key, true, context.space.id(), context.content_version, context.splitter_version};
    return {};
  }

  Result<std::vector<embedjobs::SpecState>> describe(std::span<const SpecKey> keys) override {
    const std::lock_guard transaction(tables_.mutex);
    std::vector<embedjobs::SpecState> states;
    for (const SpecKey& key : keys) {
      const auto found = tables_.specs.find(key);
      states.push_back(found == tables_.specs.end() ? embedjobs::SpecState{.key = key} : found->second.state);
    }
    return states;
  }

 private:
  /// A higher counter, or the same counter with the same nonce. Checked in the transaction that writes.
  static bool accept(Tables::Spec& spec, const embedjobs::Fence& fence) {
    if (fence.counter < spec.fence.counter || (fence.counter == spec.fence.counter && fence != spec.fence)) {
      return false;
    }
    spec.fence = fence;
    return true;
  }
  static Status stale() { return {Code::kLeaseLost, "another worker holds this document"}; }
  Tables& tables_;
};

}  // namespace

int main() {
  Tables tables;
  embedjobs::EngineOptions options;
  options.dsn = "memory:";  // where the jobs live
  options.embedder = "hashing";

  embedjobs::EngineParts parts;
  parts.resolver = std::make_shared<Documents>(tables);
  parts.persister = std::make_shared<Vectors>(tables);
  auto engine = embedjobs::Engine::open(options, parts);
  if (!engine.ok() || !(*engine)->start().ok()) {
    return 1;
  }

  const SpecKey key{"shop", "api"};
  {
    const std::lock_guard transaction(tables.mutex);
    tables.specs[key].content =
        R"({"openapi": "3.0.3", "info": {"title": "t", "version": "1"}, "paths": {"/a": {"get": {"summary": "first"}}}})";
  }
  auto enqueued = (*engine)->enqueue(key, embedjobs::JobKind::kSpecWrite);  // after the write is committed
  if (!enqueued.ok() || !(*engine)->wait_idle(std::chrono::minutes(1)).ok() ||
      !(*engine)->stop(std::chrono::seconds(30))) {
    return 1;
  }
  const std::lock_guard transaction(tables.mutex);
  std::printf("%zu row\n", tables.specs[key].rows.size());
  return tables.specs[key].rows.size() == 1 ? 0 : 1;
}
