// A C host in C++: an engine with callbacks that a test turns. Everything goes through embedjobs.h.
#pragma once

#include <catch2/catch.hpp>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstring>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "embedjobs.h"
#include "support/spec.hpp"

namespace capi_test {

using embedjobs::test::spec_with;

/// A zeroed struct with its size.
template <typename T>
T sized() {
  T value;
  std::memset(&value, 0, sizeof(value));
  value.struct_size = sizeof(value);
  return value;
}

/// Frees an error, and keeps what it said.
struct Said {
  std::int32_t code = EMBEDJOBS_OK;
  std::string message;
};
class Error {
 public:
  Error() = default;
  ~Error() { embedjobs_error_destroy(error_); }
  Error(const Error&) = delete;
  Error& operator=(const Error&) = delete;
  embedjobs_error** out() {
    embedjobs_error_destroy(error_);
    error_ = nullptr;
    return &error_;
  }
  std::string message() const { return embedjobs_error_message(error_); }
  std::int32_t code() const { return embedjobs_error_code(error_); }
  std::int64_t retry_after_ms() const { return embedjobs_error_retry_after_ms(error_); }

 private:
  embedjobs_error* error_ = nullptr;
};

/// What happens in other threads, to wait for.
class Gate {
 public:
  void open() {
    const std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }
  void wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return open_; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool open_ = false;
};

/// A vector that depends on the text alone.
inline void fill_vector(const char* text, std::size_t size, float* values, std::size_t dimension) {
  std::uint8_t hash[EMBEDJOBS_HASH_SIZE];
  embedjobs_hash_text(text, size, hash);
  for (std::size_t i = 0; i < dimension; ++i) {
    values[i] = static_cast<float>(hash[i % sizeof(hash)]) + 1.0F;
  }
}

/// An embedder that counts, and does first what a test wants.
struct HostEmbedder {
  using Call = std::function<std::int32_t(embedjobs_call*, const embedjobs_texts*, embedjobs_vectors*, std::size_t*)>;
  Call first;  ///< Set before start. Its code is answered unless it is -1.
  std::atomic<std::size_t> calls = 0, texts = 0, queries = 0, destroyed = 0;

  static std::int32_t embed(void* self, embedjobs_call* call, const embedjobs_texts* texts, embedjobs_vectors* out,
                            std::size_t* done) {
    auto& host = *static_cast<HostEmbedder*>(self);
    ++host.calls;
    if (host.first) {
      if (const std::int32_t code = host.first(call, texts, out, done); code != -1) {
        return code;
      }
    }
    for (std::size_t i = 0; i < texts->count; ++i) {
      fill_vector(texts->bytes + texts->offsets[i], texts->offsets[i + 1] - texts->offsets[i],
                  out->values + i * out->dimension, out->dimension);
    }
    host.texts += texts->count;
    host.queries += texts->purpose == EMBEDJOBS_PURPOSE_QUERY ? 1 : 0;
    out->prompt_tokens = static_cast<std::int64_t>(texts->count);
    *done = texts->count;
    return EMBEDJOBS_OK;
  }
  embedjobs_embedder table() {
    auto table = sized<embedjobs_embedder>();
    table.user_data = this;
    table.destroy = [](void* self) { ++static_cast<HostEmbedder*>(self)->destroyed; };
    table.embed = embed;
    table.model = "c-host";
    table.variant = "v1";
    table.dimension = 8;
    table.provider = "c-host@test";
    return table;
  }
};

/// A host's vectors, by operation id, with the rule of the fence.
struct HostPersister {
  using First = std::function<std::int32_t(embedjobs_call*)>;
  First first_persist, first_finalize, first_list;  ///< As HostEmbedder's.
  std::atomic<std::size_t> destroyed = 0, batches = 0, stale = 0;
  std::mutex mutex;
  struct Spec {
    embedjobs_fence fence{};
    std::map<std::string, std::string> rows;  ///< Hash by id.
    std::string space, content, splitter;
    bool complete = false;
  };
  std::map<std::string, Spec> specs;

  std::size_t rows_of(const std::string& spec) {
    const std::lock_guard lock(mutex);
    return specs[spec].rows.size();
  }
  bool accepts(Spec& spec, const embedjobs_fence& fence) {
    if (fence.counter < spec.fence.counter ||
        (fence.counter == spec.fence.counter && fence.nonce != spec.fence.nonce)) {
      ++stale;
      return false;
    }
    spec.fence = fence;
    return true;
  }
  template <typename Batch>
  static std::string id(const Batch* batch, std::size_t i) {
    return std::string(batch->ids + batch->id_offsets[i], batch->id_offsets[i + 1] - batch->id_offsets[i]);
  }
  template <typename Batch>
  static std::string hash(const Batch* batch, std::size_t i) {
    return std::string(reinterpret_cast<const char*>(batch->hashes) + i * EMBEDJOBS_HASH_SIZE, EMBEDJOBS_HASH_SIZE);
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
    if (!host.accepts(spec, pass->fence)) {
      return EMBEDJOBS_LEASE_LOST;
    }
    for (std::size_t i = 0; i < wanted->count; ++i) {
      const auto found = spec.rows.find(id(wanted, i));
      existing[i] = pass->reuse_floor == 0 && found != spec.rows.end() && found->second == hash(wanted, i) ? 1 : 0;
    }
    *done = wanted->count;
    return EMBEDJOBS_OK;
  }
  static std::int32_t persist_batch(void* self, embedjobs_call* call, const embedjobs_pass* pass,
                                    const embedjobs_rows* rows, std::size_t* done) {
    auto& host = *static_cast<HostPersister*>(self);
    ++host.batches;
    if (host.first_persist) {
      if (const std::int32_t code = host.first_persist(call); code != -1) {
        return code;
      }
    }
    const std::lock_guard lock(host.mutex);
    Spec& spec = host.specs[pass->spec_name];
    if (!host.accepts(spec, pass->fence)) {
      return EMBEDJOBS_LEASE_LOST;
    }
    for (std::size_t i = 0; i < rows->count; ++i) {
      spec.rows[id(rows, i)] = hash(rows, i);
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
    if (!host.accepts(spec, pass->fence)) {
      return EMBEDJOBS_LEASE_LOST;
    }
    std::map<std::string, std::string> named;
    for (std::size_t i = 0; i < manifest->count; ++i) {
      const auto found = spec.rows.find(id(manifest, i));
      if (found == spec.rows.end() || found->second != hash(manifest, i)) {
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

/// What the engine told.
struct HostObserver {
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<std::string> lines, reloaded;
  std::vector<std::int32_t> levels, kinds;
  std::function<void(const embedjobs_event*)> on_event;
  std::atomic<std::size_t> destroyed = 0;

  embedjobs_observer table() {
    auto table = sized<embedjobs_observer>();
    table.user_data = this;
    table.destroy = [](void* self) { ++static_cast<HostObserver*>(self)->destroyed; };
    table.log = [](void* self, std::int32_t level, const char* message, std::size_t size) {
      auto& host = *static_cast<HostObserver*>(self);
      const std::lock_guard lock(host.mutex);
      host.levels.push_back(level);
      host.lines.emplace_back(message, size);
      host.changed.notify_all();
    };
    table.event = [](void* self, const embedjobs_event* event) {
      auto& host = *static_cast<HostObserver*>(self);
      if (host.on_event) {
        host.on_event(event);
      }
      const std::lock_guard lock(host.mutex);
      host.kinds.push_back(event->kind);
      host.changed.notify_all();
    };
    table.reload = [](void* self, const char* catalog_id, const char* spec_name) {
      auto& host = *static_cast<HostObserver*>(self);
      const std::lock_guard lock(host.mutex);
      host.reloaded.push_back(std::string(catalog_id) + "/" + spec_name);
    };
    return table;
  }
  /// The reconciler also looks when a worker starts, and tries again what failed before it looked: who counts failures
  /// waits for that.
  void wait_for_first_round() {
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] {
      return std::any_of(lines.begin(), lines.end(),
                         [](const std::string& line) { return line.starts_with("reconciler: a round ended"); });
    });
  }
  void wait_for(std::int32_t kind) {
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return std::count(kinds.begin(), kinds.end(), kind) > 0; });
  }
};

/// An engine of its own, destroyed at the end.
class Scene {
 public:
  embedjobs_options options = sized<embedjobs_options>();
  Error error;
  embedjobs_engine* engine = nullptr;

  Scene() { options.dsn = "memory:"; }
  ~Scene() { close(); }
  Scene(const Scene&) = delete;
  Scene& operator=(const Scene&) = delete;
  void close() { embedjobs_engine_destroy(std::exchange(engine, nullptr)); }
  void open() {
    const std::int32_t code = embedjobs_engine_open(&options, &engine, error.out());
    INFO(error.message());
    REQUIRE(code == EMBEDJOBS_OK);
    REQUIRE(engine != nullptr);
  }
  /// Success, or what was said.
  void ok(std::int32_t code) {
    INFO(error.message());
    REQUIRE(code == EMBEDJOBS_OK);
    CHECK(error.code() == EMBEDJOBS_OK);
  }
  void put(const std::string& content, const char* spec = "spec") {
    ok(embedjobs_engine_put(engine, "catalog", spec, content.data(), content.size(), nullptr, error.out()));
  }
  void enqueue(const char* spec = "spec") {
    ok(embedjobs_engine_enqueue(engine, "catalog", spec, EMBEDJOBS_JOB_SPEC_WRITE, nullptr, error.out()));
  }
  void start() { ok(embedjobs_engine_start(engine, error.out())); }
  /// Jobs that wait for their backoff are waited for, an hour at most.
  void wait(std::int64_t max_wait_ms = 3600 * 1000) {
    auto report = sized<embedjobs_idle_report>();
    ok(embedjobs_engine_wait_idle(engine, max_wait_ms, -1, nullptr, &report, error.out()));
    CHECK(report.idle == 1);
  }
  /// The newest job.
  struct JobSeen {
    std::int32_t status = EMBEDJOBS_JOB_NONE;
    std::string last_error;
    std::int64_t attempts = 0, embedded = 0, reused = 0, operations = 0;
    std::uint64_t fence = 0;
  };
  JobSeen job() {
    embedjobs_jobs* jobs = nullptr;
    ok(embedjobs_engine_jobs(engine, nullptr, &jobs, error.out()));
    REQUIRE(jobs->count > 0);
    const embedjobs_job& job = *jobs->items[0];
    JobSeen seen{job.status,       job.last_error,      job.attempts,     job.embedded_count,
                 job.reused_count, job.operation_count, job.fence.counter};
    embedjobs_jobs_destroy(jobs);
    return seen;
  }
};

/// With an embedder of the host's, and somebody who watches.
struct EmbedderScene : Scene {
  HostEmbedder embedder;
  HostObserver observer;
  embedjobs_embedder table = embedder.table();
  embedjobs_observer watching = observer.table();
  EmbedderScene() {
    options.host_embedder = &table;
    options.observer = &watching;
  }
  ~EmbedderScene() { close(); }
};

}  // namespace capi_test
