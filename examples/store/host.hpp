// A host's documents and vectors: a SpecResolver and a Persister over maps. One lock is one transaction.
#pragma once

#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "embedjobs/persister.hpp"
#include "embedjobs/resolver.hpp"

namespace example {

using namespace embedjobs;

class Documents final : public SpecResolver {
 public:
  void write(const SpecKey& key, std::string content) {
    const std::lock_guard transaction(mutex_);
    contents_[key] = std::move(content);
  }

  Result<Document> resolve(const SpecKey& key) override {
    const std::lock_guard transaction(mutex_);
    const auto found = contents_.find(key);
    if (found == contents_.end()) {
      return {Code::kGone, "there is no such document"};
    }
    return Document{found->second, to_hex(hash_text(found->second))};
  }

  /// With this the engine's status lists the documents. With this, Persister::describe and a store that also tells of
  /// failures, the reconciler finds what an enqueue forgot.
  Result<std::vector<SpecVersion>> list(const SpecKey* after, std::size_t limit) override {
    const std::lock_guard transaction(mutex_);
    std::vector<SpecVersion> page;
    auto next = after == nullptr ? contents_.begin() : contents_.upper_bound(*after);
    for (; next != contents_.end() && page.size() < limit; ++next) {
      page.push_back({next->first, to_hex(hash_text(next->second))});
    }
    return page;
  }

 private:
  std::mutex mutex_;
  std::map<SpecKey, std::string> contents_;
};

class Vectors final : public Persister {
 public:
  Result<std::vector<bool>> list_existing(const PassContext& pass, const Manifest& wanted) override {
    const std::lock_guard transaction(mutex_);
    if (!accept(pass)) {
      return stale();
    }
    std::vector<bool> existing(wanted.size());
    for (std::size_t i = 0; i < wanted.size(); ++i) {
      existing[i] = usable(pass, wanted, i) != nullptr;
    }
    return existing;
  }

  Status persist_batch(const PassContext& pass, std::span<const VectorRow> rows) override {
    const std::lock_guard transaction(mutex_);
    if (!accept(pass)) {
      return stale();
    }
    for (const VectorRow& row : rows) {
      specs_[pass.key].rows[{pass.space.id(), std::string(row.operation_id)}] = {
          row.text_hash, {pass.epoch, row.embedded_bytes, row.input_cap}, {row.vector.begin(), row.vector.end()}};
    }
    return {};
  }

  Status finalize(const PassContext& pass, const Manifest& manifest) override {
    const std::lock_guard transaction(mutex_);
    if (!accept(pass)) {
      return stale();
    }
    Rows kept;
    for (std::size_t i = 0; i < manifest.size(); ++i) {
      const Rows::value_type* row = usable(pass, manifest, i);
      if (row == nullptr) {
        return {Code::kIncomplete, "no vector of operation " + std::string(manifest.operation_id(i))};
      }
      kept.insert(*row);
    }
    Spec& spec = specs_[pass.key];
    spec.rows = std::move(kept);  // exactly the manifest: what the document lost is gone
    spec.state = {pass.key, true, pass.space.id(), pass.content_version, pass.splitter_version};
    return {};
  }

  Result<std::vector<SpecState>> describe(std::span<const SpecKey> keys) override {
    const std::lock_guard transaction(mutex_);
    std::vector<SpecState> states;
    for (const SpecKey& key : keys) {
      states.push_back(specs_.contains(key) ? specs_.at(key).state : SpecState{.key = key});
    }
    return states;
  }

  /// The operation ids that readers see of a document, with the hashes of their texts. They see the space that was
  /// finalized, and the first one as it grows.
  std::vector<std::pair<std::string, std::string>> rows(const SpecKey& key) {
    const std::lock_guard transaction(mutex_);
    std::vector<std::pair<std::string, std::string>> rows;
    const Spec& spec = specs_[key];
    for (const auto& [name, row] : spec.rows) {
      if (spec.state.space_id.empty() || name.first == spec.state.space_id) {
        rows.emplace_back(name.second, to_hex(row.text_hash));
      }
    }
    return rows;
  }
  /// The vector of an operation in the space that was finalized; empty: there is none.
  std::vector<float> vector(const SpecKey& key, const std::string& operation_id) {
    const std::lock_guard transaction(mutex_);
    const Spec& spec = specs_[key];
    const auto row = spec.rows.find({spec.state.space_id, operation_id});
    return row == spec.rows.end() ? std::vector<float>() : row->second.vector;
  }

 private:
  struct Row {
    TextHash text_hash{};
    VectorMark mark;
    std::vector<float> vector;
  };
  using Rows = std::map<std::pair<std::string, std::string>, Row>;  // by space and operation id
  struct Spec {
    Fence fence;
    Rows rows;
    SpecState state;
  };

  /// In the transaction that writes. False: another worker holds the document.
  bool accept(const PassContext& pass) {
    Spec& spec = specs_[pass.key];
    if (!accepts(spec.fence, pass.fence)) {
      return false;
    }
    spec.fence = pass.fence;
    spec.state.key = pass.key;
    return true;
  }
  static Status stale() { return {Code::kLeaseLost, "another worker holds this document"}; }

  /// The row of the manifest's operation `i`, if the pass need not embed its text again; else null.
  const Rows::value_type* usable(const PassContext& pass, const Manifest& manifest, std::size_t i) {
    const auto& rows = specs_[pass.key].rows;
    const auto row = rows.find({pass.space.id(), std::string(manifest.operation_id(i))});
    const bool fits =
        row != rows.end() && row->second.text_hash == manifest.text_hash(i) && may_reuse(pass, row->second.mark);
    return fits ? &*row : nullptr;
  }

  std::mutex mutex_;
  std::map<SpecKey, Spec> specs_;
};

}  // namespace example
