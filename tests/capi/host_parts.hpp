// Parts that a host brings: its vectors and its documents, as a test turns them.
#pragma once

#include <atomic>
#include <cstring>
#include <functional>
#include <map>
#include <mutex>
#include <string>

#include "embedjobs.h"

namespace capi_test {

/// A zeroed struct with its size.
template <typename T>
T sized() {
  T value;
  std::memset(&value, 0, sizeof(value));
  value.struct_size = sizeof(value);
  return value;
}

/// A host's vectors, by operation id, with the rule of the fence.
struct HostPersister {
  using First = std::function<std::int32_t(embedjobs_call*)>;
  First first_persist, first_finalize, first_list;  ///< As HostEmbedder's.
  std::atomic<std::size_t> destroyed = 0, chunks = 0, stale = 0;
  std::mutex mutex;
  struct Spec {
    embedjobs_fence fence{};
    struct Row {
      std::string hash;
      embedjobs_vector_mark mark;
    };
    std::map<std::string, Row> rows;  ///< By operation id.
    std::string space, content, splitter;
    bool complete = false;
  };
  std::map<std::string, Spec> specs;

  std::size_t rows_of(const std::string& spec) {
    const std::lock_guard lock(mutex);
    return specs[spec].rows.size();
  }
  bool accept(Spec& spec, const embedjobs_fence& fence) {
    if (embedjobs_accepts(&spec.fence, &fence) == 0) {
      ++stale;
      return false;
    }
    spec.fence = fence;
    return true;
  }
  template <typename Rows>
  static std::string id(const Rows* rows, std::size_t i) {
    return std::string(rows->ids + rows->id_offsets[i], rows->id_offsets[i + 1] - rows->id_offsets[i]);
  }
  template <typename Rows>
  static std::string hash(const Rows* rows, std::size_t i) {
    return std::string(reinterpret_cast<const char*>(rows->hashes) + i * EMBEDJOBS_HASH_SIZE, EMBEDJOBS_HASH_SIZE);
  }

  static std::int32_t list_existing(void* self, embedjobs_call* call, const embedjobs_pass* pass,
                                    const embedjobs_operations* wanted, std::uint8_t* existing, std::size_t* done) {
    auto& host = *static_cast<HostPersister*>(self);
    if (host.first_list) {
      if (const std::int32_t code = host.first_list(call); code != -1) {
        return code;
      }
    }
    const std::lock_guard lock(host.mutex);
    Spec& spec = host.specs[pass->spec_name];
    if (!host.accept(spec, pass->fence)) {
      return EMBEDJOBS_LEASE_LOST;
    }
    for (std::size_t i = 0; i < wanted->count; ++i) {
      const auto found = spec.rows.find(id(wanted, i));
      const bool there = found != spec.rows.end() && found->second.hash == hash(wanted, i);
      existing[i] = there && embedjobs_may_reuse(pass, &found->second.mark) != 0 ? 1 : 0;
    }
    *done = wanted->count;
    return EMBEDJOBS_OK;
  }
  static std::int32_t persist_batch(void* self, embedjobs_call* call, const embedjobs_pass* pass,
                                    const embedjobs_rows* rows, std::size_t* done) {
    auto& host = *static_cast<HostPersister*>(self);
    ++host.chunks;
    if (host.first_persist) {
      if (const std::int32_t code = host.first_persist(call); code != -1) {
        return code;
      }
    }
    const std::lock_guard lock(host.mutex);
    Spec& spec = host.specs[pass->spec_name];
    if (!host.accept(spec, pass->fence)) {
      return EMBEDJOBS_LEASE_LOST;
    }
    for (std::size_t i = 0; i < rows->count; ++i) {
      auto mark = sized<embedjobs_vector_mark>();
      mark.epoch = pass->epoch;
      mark.embedded_bytes = rows->embedded_bytes[i];
      mark.input_cap = rows->input_caps[i];
      spec.rows[id(rows, i)] = {hash(rows, i), mark};
    }
    *done = rows->count;
    return EMBEDJOBS_OK;
  }
  static std::int32_t finalize(void* self, embedjobs_call* call, const embedjobs_pass* pass,
                               const embedjobs_operations* manifest, std::size_t* done) {
    auto& host = *static_cast<HostPersister*>(self);
    if (host.first_finalize) {
      if (const std::int32_t code = host.first_finalize(call); code != -1) {
        return code;
      }
    }
    const std::lock_guard lock(host.mutex);
    Spec& spec = host.specs[pass->spec_name];
    if (!host.accept(spec, pass->fence)) {
      return EMBEDJOBS_LEASE_LOST;
    }
    std::map<std::string, Spec::Row> named;
    for (std::size_t i = 0; i < manifest->count; ++i) {
      const auto found = spec.rows.find(id(manifest, i));
      if (found == spec.rows.end() || found->second.hash != hash(manifest, i)) {
        return EMBEDJOBS_INCOMPLETE;
      }
      named.insert(*found);
    }
    spec.rows = std::move(named);
    spec.space = pass->space_id;
    spec.content = pass->content_version;
    spec.splitter = pass->splitter_version;
    spec.complete = true;
    *done = manifest->count;
    return EMBEDJOBS_OK;
  }
  static std::int32_t describe(void* self, embedjobs_call*, std::size_t count, const char* const*,
                               const char* const* spec_names, embedjobs_spec_states* states, std::size_t* done) {
    auto& host = *static_cast<HostPersister*>(self);
    const std::lock_guard lock(host.mutex);
    for (std::size_t i = 0; i < count; ++i) {
      const Spec& spec = host.specs[spec_names[i]];
      if (spec.complete) {
        (void)embedjobs_spec_states_set(states, i, spec.space.c_str(), spec.content.c_str(), spec.splitter.c_str());
      }
    }
    *done = count;
    return EMBEDJOBS_OK;
  }
  embedjobs_persister table() {
    auto table = sized<embedjobs_persister>();
    table.user_data = this;
    table.destroy = [](void* self) { ++static_cast<HostPersister*>(self)->destroyed; };
    table.list_existing = list_existing;
    table.persist_batch = persist_batch;
    table.finalize = finalize;
    table.describe = describe;
    return table;
  }
};

/// A host's documents.
struct HostResolver {
  std::mutex mutex;
  std::map<std::string, std::string> documents;
  std::atomic<std::size_t> destroyed = 0;

  static std::int32_t resolve(void* self, embedjobs_call* call, const char*, const char* spec_name,
                              embedjobs_document* document, std::size_t* done) {
    auto& host = *static_cast<HostResolver*>(self);
    const std::lock_guard lock(host.mutex);
    const auto found = host.documents.find(spec_name);
    if (found == host.documents.end()) {
      embedjobs_call_set_error(call, "deleted", 7);
      return EMBEDJOBS_GONE;
    }
    const std::string version = std::to_string(std::hash<std::string>()(found->second));
    *done = 1;
    return embedjobs_document_set(document, found->second.data(), found->second.size(), version.c_str());
  }
  static std::int32_t list(void* self, embedjobs_call*, const char*, const char* after_spec, std::size_t limit,
                           embedjobs_document_list* list, std::size_t* done) {
    auto& host = *static_cast<HostResolver*>(self);
    const std::lock_guard lock(host.mutex);
    std::size_t added = 0;
    for (auto it = after_spec == nullptr ? host.documents.begin() : host.documents.upper_bound(after_spec);
         it != host.documents.end() && added < limit; ++it, ++added) {
      const std::string version = std::to_string(std::hash<std::string>()(it->second));
      if (const std::int32_t code = embedjobs_document_list_add(list, "catalog", it->first.c_str(), version.c_str());
          code != EMBEDJOBS_OK) {
        return code;
      }
    }
    *done = added;
    return EMBEDJOBS_OK;
  }
  embedjobs_resolver table() {
    auto table = sized<embedjobs_resolver>();
    table.user_data = this;
    table.destroy = [](void* self) { ++static_cast<HostResolver*>(self)->destroyed; };
    table.resolve = resolve;
    table.list = list;
    return table;
  }
};

}  // namespace capi_test
