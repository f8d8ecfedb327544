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
  std::string space_id;  ///< What vectors should be in; empty (or a catalog with a target of its own): not compared.
  std::string splitter_version;  ///< What manifests should be made by.
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
  /// Ends its tasks. `stopped` runs on the logical thread when none is under way any more.
  void request_stop(std::function<void()> stopped);

 private:
  class Impl;
  std::shared_ptr<Impl> impl_;
};

/// One round of the reconciler, now, on the calling thread: enqueues every gap (no vectors, other content, another
/// target space, another splitter version, a finished pass that failed) that is not open already and not parked.
/// Returns how many. kRefused when the resolver can't list or the persister can't describe.
Result<std::size_t> reconcile(const MaintenanceParts& parts, WallTime now);

}  // namespace embedjobs
