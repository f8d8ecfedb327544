// What a host may bring: its documents and its vectors.
#pragma once

#include <atomic>
#include <map>
#include <mutex>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "embedjobs/persister.hpp"
#include "embedjobs/resolver.hpp"

namespace embedjobs::test {

/// A host's documents, in a map.
class Documents : public SpecResolver {
 public:
  void write(const SpecKey& key, std::string content) {
    const std::lock_guard lock(mutex_);
    contents_[key] = std::move(content);
  }
  void erase(const SpecKey& key) {
    const std::lock_guard lock(mutex_);
    contents_.erase(key);
  }
  void throw_from_now_on() {
    const std::lock_guard lock(mutex_);
    throws_ = true;
  }

  Result<Document> resolve(const SpecKey& key) override {
    const std::lock_guard lock(mutex_);
    if (throws_) {
      throw std::runtime_error("the host's database is away");
    }
    const auto found = contents_.find(key);
    if (found == contents_.end()) {
      return {Code::kGone, "deleted"};
    }
    return Document{found->second, to_hex(hash_text(found->second))};
  }
  Result<std::vector<SpecVersion>> list(const SpecKey* after, std::size_t limit) override {
    const std::lock_guard lock(mutex_);
    if (throws_) {
      throw std::runtime_error("the host's database is away");
    }
    std::vector<SpecVersion> page;
    for (auto it = after == nullptr ? contents_.begin() : contents_.upper_bound(*after);
         it != contents_.end() && page.size() < limit; ++it) {
      page.push_back({it->first, to_hex(hash_text(it->second))});
    }
    return page;
  }

 private:
  std::mutex mutex_;
  std::map<SpecKey, std::string> contents_;
  bool throws_ = false;
};

/// A host's vectors, by operation id; accepts the fence as the interface says.
class Vectors : public Persister {
 public:
  Result<std::vector<bool>> list_existing(const PassContext& context, const Manifest& wanted) override {
    const std::lock_guard lock(mutex_);
    if (!accept(context)) {
      return {Code::kLeaseLost, "stale"};
    }
    std::vector<bool> existing(wanted.size());
    for (std::size_t i = 0; i < wanted.size(); ++i) {
      const auto& rows = specs_[context.key].rows;
      const auto found = rows.find(std::string(wanted.operation_id(i)));
      existing[i] = found != rows.end() && found->second.text_hash == wanted.text_hash(i) &&
                    may_reuse(context, found->second.mark);
    }
    return existing;
  }
  Status persist_batch(const PassContext& context, std::span<const VectorRow> rows) override {
    const std::lock_guard lock(mutex_);
    if (!accept(context)) {
      return {Code::kLeaseLost, "stale"};
    }
    for (const VectorRow& row : rows) {
      specs_[context.key].rows[std::string(row.operation_id)] = {row.text_hash,
                                                                 {context.epoch, row.embedded_bytes, row.input_cap}};
    }
    return {};
  }
  Status finalize(const PassContext& context, const Manifest& manifest) override {
    const std::lock_guard lock(mutex_);
    if (!accept(context)) {
      return {Code::kLeaseLost, "stale"};
    }
    Spec& spec = specs_[context.key];
    std::map<std::string, Row> rows;
    for (std::size_t i = 0; i < manifest.size(); ++i) {
      const std::string id(manifest.operation_id(i));
      const auto found = spec.rows.find(id);
      if (found == spec.rows.end() || found->second.text_hash != manifest.text_hash(i) ||
          !may_reuse(context, found->second.mark)) {
        return {Code::kIncomplete, "a vector is missing"};
      }
      rows[id] = found->second;
    }
    spec.rows = std::move(rows);
    spec.state = {context.key, true, context.space.id(), context.content_version, context.splitter_version};
    return {};
  }
  /// From now on it tells nothing of its specs.
  void be_silent() { silent_ = true; }
  Result<std::vector<SpecState>> describe(std::span<const SpecKey> keys) override {
    if (silent_) {
      return Persister::describe(keys);
    }
    const std::lock_guard lock(mutex_);
    std::vector<SpecState> states;
    for (const SpecKey& key : keys) {
      states.push_back(specs_[key].state);
    }
    return states;
  }
  std::size_t rows_of(const SpecKey& key) {
    const std::lock_guard lock(mutex_);
    return specs_[key].rows.size();
  }

 private:
  struct Row {
    TextHash text_hash;
    VectorMark mark;
  };
  struct Spec {
    Fence fence;
    std::map<std::string, Row> rows;
    SpecState state;
  };
  bool accept(const PassContext& context) {
    Fence& fence = specs_[context.key].fence;
    if (!accepts(fence, context.fence)) {
      return false;
    }
    fence = context.fence;
    return true;
  }

  std::mutex mutex_;
  std::map<SpecKey, Spec> specs_;
  std::atomic<bool> silent_ = false;
};

}  // namespace embedjobs::test
