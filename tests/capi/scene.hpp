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

#include "capi/host_parts.hpp"
#include "embedjobs.h"
#include "support/spec.hpp"

namespace capi_test {

using embedjobs::test::spec_with;

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

/// With parts that the host brings: documents and vectors as well.
struct HostScene : Scene {
  HostEmbedder embedder;
  HostPersister persister;
  HostResolver resolver;
  HostObserver observer;
  embedjobs_embedder embedder_table = embedder.table();
  embedjobs_persister persister_table = persister.table();
  embedjobs_resolver resolver_table = resolver.table();
  embedjobs_observer observer_table = observer.table();
  HostScene() {
    options.host_embedder = &embedder_table;
    options.host_persister = &persister_table;
    options.observer = &observer_table;
  }
  ~HostScene() { close(); }
  void with_resolver() { options.host_resolver = &resolver_table; }
  /// A pass failed: the next one, now and not after the backoff.
  void again_now() {
    observer.wait_for(EMBEDJOBS_EVENT_JOB_RETRIED);
    enqueue();
    wait();
  }
};

}  // namespace capi_test
