// The backend over one SQLite file: no server, several processes.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "embedjobs/catalog.hpp"
#include "embedjobs/runtime.hpp"

namespace embedjobs {

enum class SqliteJournal : std::int32_t {
  kAuto = 0,      ///< WAL where the linked SQLite has the fix of the WAL-reset defect (3.51.3, 3.50.7, 3.44.6), else the rollback journal.
  kRollback = 1,  ///< journal_mode=TRUNCATE, synchronous=EXTRA.
  kWal = 2,       ///< WAL whatever the version.
};

struct SqliteOptions {
  StoreOptions store;
  SqliteJournal journal = SqliteJournal::kAuto;
  /// How long a write waits for other processes before it answers kRetry.
  Duration busy_timeout = std::chrono::seconds(10);
  bool create = true;  ///< False: kNotFound when the file does not exist.
  /// For tests: called before (false) and after (true) each commit; an error in its place is answered, after the roll back or the commit.
  std::function<Status(bool committed)> commit_fault;
};

/// Opens (and makes or migrates) the database at `path`. kUnusable, harming nothing: not a database, not ours, from a newer version,
/// damaged, read-only, no space. Do not carry it over fork.
/// A host that opens the same file with another copy of SQLite in the same process drops this one's locks when it closes: don't.
Result<Backend> open_sqlite(const std::string& path, const SqliteOptions& options, std::shared_ptr<Clock> clock);

/// The schema version that this library writes, and what the file has (0: none yet). Opens read-only and changes nothing.
struct SqliteSchema {
  int library_version = 0;
  int file_version = 0;
};
Result<SqliteSchema> inspect_sqlite(const std::string& path);

}  // namespace embedjobs
