// Runs jobs: claims, heartbeats, passes, stop.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "embedjobs/events.hpp"
#include "embedjobs/metrics.hpp"
#include "embedjobs/options.hpp"
#include "embedjobs/provider.hpp"

namespace embedjobs {

class Embedder;
class EmbeddingComputer;
class Persister;
class Runtime;
class SpecResolver;
class Splitter;
class Store;

/// What a worker works with. `store`, `resolver` and `persister` are required; either `splitter` and `embedder` (the
/// built-in, pipelined pass) or `computer` (the host's own).
struct WorkerParts {
  std::shared_ptr<Store> store;
  std::shared_ptr<SpecResolver> resolver;
  std::shared_ptr<Persister> persister;
  std::shared_ptr<const Splitter> splitter;
  std::shared_ptr<Embedder> embedder;
  std::shared_ptr<EmbeddingComputer> computer;
  LogSink log;       ///< May be empty.
  EventSink events;  ///< May be empty.
};

/// All methods may be called from any thread. The runtime must outlive the worker, and must not be running its
/// callbacks any more when the worker is destroyed, unless stop() has returned true.
class Worker {
 public:
  Worker(Runtime& runtime, WorkerParts parts, WorkerOptions options);
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  /// Begins to work. Acts once; after stop it does nothing.
  void start();
  /// Asks for an end and returns at once. The worker makes no new claims and cancels its calls. It persists what has
  /// come back and releases its jobs. Then `stopped` runs on the logical thread. The call is allowed before start, and
  /// twice; every `stopped` is called once.
  void request_stop(std::function<void()> stopped);
  /// Makes the worker look at the queue soon. A burst of calls makes it look once.
  void wake();
  [[nodiscard]] WorkerMetrics metrics() const;
  /// None while the provider answers.
  [[nodiscard]] std::optional<ProviderPause> provider_pause() const;

 private:
  class Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace embedjobs
