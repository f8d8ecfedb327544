// The backend over one SQLite file: no server, several processes.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "embedjobs/backend.hpp"
#include "embedjobs/options.hpp"

namespace embedjobs {

class Clock;

enum class SqliteJournal : std::int32_t {
  kAuto = 0,  ///< WAL where the linked SQLite has the fix of the WAL-reset defect (3.51.3, 3.50.7, 3.44.6), else the
              ///< rollback journal.
  kRollback = 1,  ///< journal_mode=TRUNCATE, synchronous=EXTRA.
  kWal = 2,       ///< WAL whatever the version.
};

struct SqliteOptions {
  StoreOptions store;
  SqliteJournal journal = SqliteJournal::kAuto;
  /// How long a write waits for other processes before it answers kRetry.
  Duration busy_timeout = std::chrono::seconds(10);
  bool create = true;  ///< False: kNotFound when the file does not exist.
  /// For tests: called before (false) and after (true) each commit. If it returns an error, the transaction answers
  /// that error. An error before the commit also rolls back. After the commit the effect stays.
  std::function<Status(bool committed)> commit_fault;
  /// Who holds the leases that this backend claims. Empty: this process (boot, pid namespace, pid, start time).
  std::string holder_identity;
  /// For tests: whether the process of that identity lives. The lease of a dead process is taken at once. Empty: asks
  /// the system. A process that the system can't tell about (another container or machine) counts as alive.
  std::function<bool(const std::string& holder_identity)> holder_alive;
};

/// Opens (and makes or migrates) the database at `path`. kUnusable, harming nothing: not a database, not ours, from a
/// newer version, damaged, no directory. kRetry: disk full, or locked for too long. A file that can only be read is
/// opened when its schema is current: reads work, writes answer kUnusable. Do not carry it over fork: a call in the
/// child answers kRefused, and so does opening a file there that the parent had open. Do not open the same file with
/// another copy of SQLite in the same process: when that copy closes the file, the locks of this one are lost.
Result<Backend> open_sqlite(const std::string& path, const SqliteOptions& options, std::shared_ptr<Clock> clock);

/// The schema version that this library writes, and what the file has (0: none yet). Opens read-only and changes
/// nothing.
struct SqliteSchema {
  int library_version = 0;
  int file_version = 0;
};
/// kNotFound: no file; kUnusable: not a database, or not ours.
Result<SqliteSchema> inspect_sqlite(const std::string& path);

}  // namespace embedjobs
