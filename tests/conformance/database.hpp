// What a host brings to the suite: one file that defines make_database() and offers().
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "embedjobs/backend.hpp"
#include "embedjobs/options.hpp"
#include "embedjobs/persister.hpp"
#include "embedjobs/sys/catalog.hpp"
#include "embedjobs/sys/runtime.hpp"
#include "embedjobs/sys/store.hpp"
#include "embedjobs/types.hpp"

namespace embedjobs::test {

/// What there is to test. The suite leaves out the cases that need something else, and says how many and why. The tags
/// of a case name what it needs by these words.
struct Offers {
  bool store = true;       ///< The queue: the pure functions of Store, and get, job_state and last_jobs.
  bool wake = false;       ///< Store::set_wake.
  bool history = false;    ///< Store::list, counts and purge.
  bool failures = false;   ///< Store::failures, failures_of and resolve_failure.
  bool providers = false;  ///< Store::provider_state, note_provider and providers.
  bool fleet = false;      ///< Store::register_worker, unregister_worker, workers and forget_workers.
  bool durable = false;    ///< What was written is seen by the next Database::open().
  bool boot = false;       ///< Leases end with a boot of the machine: they are stamped with its boot-time clock. Leave
                           ///< it out only where they end by the clock of a database server.
  bool catalog = false;    ///< Backend::catalog: documents, rows and search.
  bool persister = false;  ///< The catalog, or Database::persister().
  bool rows = false;       ///< The catalog, or Database::rows().
  bool vectors = false;    ///< The catalog, or Database::vector().
};

/// Operation ids with texts' hashes in hex, by id: what a reader sees of a spec.
using Seen = std::vector<std::pair<std::string, std::string>>;

/// One database, empty at first, gone with this object.
class Database {
 public:
  virtual ~Database() = default;
  /// Opens it; again, as another process would. The backend ends before the database does. A host that has a store and
  /// no catalog leaves that null. The default is the library's own store, in memory, for a host that brings a persister
  /// alone.
  virtual Backend open(const StoreOptions& options, std::shared_ptr<Clock> clock);
  /// A persister of the host's own, over this database. Null: the catalog is it.
  virtual std::shared_ptr<Persister> persister() { return nullptr; }
  /// Called before a key is enqueued whose rows the persister is to store.
  virtual void make_document(const SpecKey& key);
  /// What a reader sees of a spec whose rows the persister stores.
  virtual Seen rows(const SpecKey& key);
  /// The vector that a reader finds for an operation of such a spec.
  virtual std::vector<float> vector(const SpecKey& key, const std::string& operation_id);
  /// How often each race of threads is run by default, on a new database each time: about 2 s worth. All races of one
  /// round are some 500 calls.
  [[nodiscard]] virtual int race_rounds() const { return 50; }
  /// Random sequences that the model test runs by default: about 20 s worth.
  [[nodiscard]] virtual int model_sequences() const { return 100; }
};

std::unique_ptr<Database> make_database();
Offers offers();

}  // namespace embedjobs::test
