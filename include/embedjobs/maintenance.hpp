// Maintenance: reaper, reconciler, retention. Retention also sweeps the vectors that nothing points to.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "embedjobs/events.hpp"
#include "embedjobs/options.hpp"
#include "embedjobs/types.hpp"

namespace embedjobs {

class Catalog;
class Persister;
class Runtime;
class SpecResolver;
class Store;

/// What maintenance looks at. `catalog` may be null: then no vectors are swept.
struct MaintenanceParts {
  std::shared_ptr<Store> store;
  std::shared_ptr<SpecResolver> resolver;
  std::shared_ptr<Persister> persister;
  std::shared_ptr<Catalog> catalog;
  std::string space_id;          ///< Where `catalog` is null: the space that vectors should be in. Empty: not compared.
  std::string splitter_version;  ///< The splitter version that manifests should have.
  LogSink log;
  EventSink events;
};

/// Runs each of its tasks at start and every interval. A task that fails is logged and tried again at the next tick.
/// All methods from any thread.
class Maintenance {
 public:
  Maintenance(Runtime& runtime, MaintenanceParts parts, MaintenanceOptions options);
  ~Maintenance();
  Maintenance(const Maintenance&) = delete;
  Maintenance& operator=(const Maintenance&) = delete;
  /// Acts once.
  void start();
  /// Ends the tasks. `stopped` runs on the logical thread when no task is under way any more.
  void request_stop(std::function<void()> stopped);

 private:
  class Impl;
  std::shared_ptr<Impl> impl_;
};

/// One round of the reconciler, now, on the calling thread. It enqueues every gap: no vectors, other content, another
/// target space, another splitter version, or a last job that failed. It leaves out keys that have an open job, and
/// keys that are parked after failures. Returns how many it enqueued. kRefused when the resolver can't list or the
/// persister can't describe.
Result<std::size_t> reconcile(const MaintenanceParts& parts, WallTime now);

}  // namespace embedjobs
