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
  struct Row {
    embedjobs::TextHash text_hash;
    embedjobs::VectorMark mark;
    std::vector<float> vector;
  };
  struct Spec {
    std::string content;
    embedjobs::Fence fence;
    std::map<std::pair<std::string, std::string>, Row> rows;  // by space and operation id
    embedjobs::SpecState state;                               // readers see its space
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
      const auto row = spec.rows.find({context.space.id(), std::string(wanted.operation_id(i))});
      existing[i] = row != spec.rows.end() && row->second.text_hash == wanted.text_hash(i) &&
                    embedjobs::may_reuse(context, row->second.mark);
    }
    return existing;
  }

  Status persist_batch(const embedjobs::PassContext& context, std::span<const embedjobs::VectorRow> rows) override {
    const std::lock_guard transaction(tables_.mutex);
    Tables::Spec& spec = tables_.specs[context.key];
    if (!accept(spec, context.fence)) {
      return stale();
    }
    for (const embedjobs::VectorRow& row : rows) {
      spec.rows[{context.space.id(), std::string(row.operation_id)}] = {
          row.text_hash, {context.epoch, row.embedded_bytes, row.input_cap}, {row.vector.begin(), row.vector.end()}};
    }
    return {};
  }

  Status finalize(const embedjobs::PassContext& context, const embedjobs::Manifest& manifest) override {
    const std::lock_guard transaction(tables_.mutex);
    Tables::Spec& spec = tables_.specs[context.key];
    if (!accept(spec, context.fence)) {
      return stale();
    }
    decltype(spec.rows) rows;
    for (std::size_t i = 0; i < manifest.size(); ++i) {
      const auto row = spec.rows.find({context.space.id(), std::string(manifest.operation_id(i))});
      if (row == spec.rows.end() || row->second.text_hash != manifest.text_hash(i) ||
          !embedjobs::may_reuse(context, row->second.mark)) {
        return {Code::kIncomplete, "no vector of operation " + std::string(manifest.operation_id(i))};
      }
      rows.insert(*row);
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
  /// In the transaction that writes.
  static bool accept(Tables::Spec& spec, const embedjobs::Fence& fence) {
    if (!embedjobs::accepts(spec.fence, fence)) {
      return false;  // another worker holds this document
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
    tables.specs[key].content = R"({"openapi": "3.0.3", "info": {"title": "t", "version": "1"},)"
                                R"( "paths": {"/a": {"get": {"summary": "first"}}}})";
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
