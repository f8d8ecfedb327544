// Looking back: jobs, counts, failures, and forgetting them.
#include <algorithm>
#include <tuple>

#include "core/rules/errors.hpp"
#include "core/rules/limits.hpp"
#include "postgres/job_records.hpp"
#include "postgres/postgres_store.hpp"

namespace embedjobs::postgres {
namespace {

// Newest first. Open and ended jobs are merged in the order of their ids, and nothing is read beyond the limit: their
// keys are looked up last. A rare kind, status or catalog is found by reading the others on the way.
#define EMBEDJOBS_NEWEST(of, which)                                                      \
  EMBEDJOBS_SELECT_ANY_JOB                                                               \
  "FROM (SELECT * FROM @" of " AS a WHERE " which                                        \
  " AND ($1 < 0 OR a.kind = $1)"                                                         \
  " AND ($3 = '' OR a.catalog_id = (SELECT x.id FROM @catalogs AS x WHERE x.name = $3))" \
  " ORDER BY a.id DESC LIMIT $4) AS j " EMBEDJOBS_KEYS_OF_JOBS "ORDER BY j.id DESC"
constexpr const char* kListNewest = EMBEDJOBS_NEWEST("all_jobs", "$2 < 0");
constexpr const char* kListOpen = EMBEDJOBS_NEWEST("open_jobs", "a.status = $2");
constexpr const char* kListSucceeded = EMBEDJOBS_NEWEST("ended_jobs", "a.status = $2");
// By an index of its own: the others are most of the history. The status, given once more, lets the planner see that it
// fits.
constexpr const char* kListUnsuccessful = EMBEDJOBS_NEWEST("ended_jobs", "a.status = $2 AND a.status <> 2");

const char* list_of(std::optional<JobStatus> status) {
  if (!status) {
    return kListNewest;
  }
  switch (*status) {
    case JobStatus::kPending:
    case JobStatus::kRunning: return kListOpen;
    case JobStatus::kSucceeded: return kListSucceeded;
    case JobStatus::kFailed:
    case JobStatus::kCancelled: break;
  }
  return kListUnsuccessful;
}

// The newest jobs of a key, with a condition. The open one, if there is one, comes by the key: in the order of ids, all
// open jobs could be read to find it.
#define EMBEDJOBS_JOBS_OF_KEY(condition, limit)                                                             \
  "CROSS JOIN LATERAL ("                                                                                    \
  "(SELECT * FROM @open_jobs AS a WHERE a.key_id = k.id AND " condition                                     \
  ") UNION ALL "                                                                                            \
  "(SELECT * FROM @ended_jobs AS a WHERE a.key_id = k.id AND " condition " ORDER BY a.id DESC LIMIT " limit \
  ") "                                                                                                      \
  "ORDER BY id DESC LIMIT " limit ") AS j "
// In one catalog, or in all.
constexpr const char* kListOfSpec = EMBEDJOBS_SELECT_ANY_JOB
    "FROM @catalogs AS c"
    " CROSS JOIN LATERAL (SELECT * FROM @keys AS x WHERE x.catalog_id = c.id AND x.spec_name = $5 OFFSET 0) AS "
    "k " EMBEDJOBS_JOBS_OF_KEY("($1 < 0 OR a.kind = $1) AND ($2 < 0 OR a.status = $2)",
                               "$4") "WHERE ($3 = '' OR c.name = $3) ORDER BY j.id DESC LIMIT $4";
constexpr const char* kLastJobs = "SELECT " EMBEDJOBS_JOB_COLUMNS(
    "j.lease_expires_at") ", u.place" EMBEDJOBS_KEYS_OF_NAMES EMBEDJOBS_JOBS_OF_KEY("true", "1");

// As many leases as there are running jobs; the others have counters.
constexpr const char* kCounts =
    "SELECT c.status::bigint, sum(c.count)::bigint, (SELECT count(*) FROM @leases) FROM @job_counts AS c GROUP BY "
    "c.status";
// By one process at a time.
constexpr const char* kAddUpCounts =
    "WITH gone AS (DELETE FROM @job_counts RETURNING status, count)"
    " INSERT INTO @job_counts (status, count) SELECT status, sum(count) FROM gone GROUP BY status";

#define EMBEDJOBS_FAILURE_COLUMNS "f.occurrences, f.first_failed_at, f.last_failed_at, f.last_error, f.resolved"
constexpr const char* kOpenFailures =
    "SELECT " EMBEDJOBS_FAILURE_COLUMNS
    ", k.last_success_at, c.name, k.spec_name "
    "FROM @failures AS f JOIN @keys AS k ON k.id = f.key_id JOIN @catalogs AS c ON c.id = k.catalog_id "
    "WHERE NOT f.resolved AND f.occurrences > 0 AND ($1 = '' OR c.name = $1) ORDER BY f.last_failed_at DESC LIMIT $2";
constexpr const char* kFailuresOf =
    "SELECT " EMBEDJOBS_FAILURE_COLUMNS ", k.last_success_at, u.place" EMBEDJOBS_KEYS_OF_NAMES
    "LEFT JOIN @failures AS f ON f.key_id = k.id";
constexpr const char* kResolveFailure =
    "UPDATE @failures SET resolved = true WHERE occurrences > 0 AND key_id ="
    " (SELECT k.id FROM @keys AS k JOIN @catalogs AS c ON c.id = k.catalog_id WHERE c.name = $1 AND k.spec_name = $2)";

// A failed job stays while its key's failure is unresolved, and as long as it is the last job of its key. Looked up
// one by one: joined with the list of those that go, the whole history would be read for each piece.
#define EMBEDJOBS_PURGE(table)                                                                                 \
  "WITH gone AS (DELETE FROM " table " WHERE id = ANY (ARRAY(SELECT h.id FROM " table                          \
  " AS h WHERE h.completed_at < $1 AND NOT (h.status = 3 AND ("                                                \
  "  EXISTS (SELECT 1 FROM @failures AS f WHERE f.key_id = h.key_id AND NOT f.resolved AND f.occurrences > 0)" \
  "  OR NOT EXISTS (SELECT 1 FROM @all_jobs AS n WHERE n.key_id = h.key_id AND n.id > h.id)))"                 \
  " ORDER BY h.completed_at LIMIT $2)) RETURNING status) "                                                     \
  "SELECT status::bigint, count(*) FROM gone GROUP BY status ORDER BY status"
// Whole days have been dropped before: what is old enough is in the rest alone.
constexpr const char* kPurgeRest = EMBEDJOBS_PURGE("@history_rest");
constexpr const char* kPurgeYoungerThanADay = EMBEDJOBS_PURGE("@history");
// One process at a time: the others have nothing to do then.
constexpr const char* kTryAlone = "SELECT pg_try_advisory_xact_lock($1)::int";
constexpr const char* kMakeDays = "SELECT @make_history_days($1)::text";
constexpr const char* kDropDay = "SELECT ended_status::bigint, gone FROM @drop_history_day($1)";

/// Takes what went from the counts; how many it was.
std::size_t uncount(Connection& connection, Query&& row) {
  CountChanges counts{};
  std::size_t gone = 0;
  while (row.next()) {
    counts[static_cast<std::size_t>(row.integer(0))] -= row.integer(1);
    gone += static_cast<std::size_t>(row.integer(1));
  }
  change_counts(connection, counts);
  return gone;
}

/// What a partition of the history holds.
constexpr Duration kHistoryDay = std::chrono::hours(24);

struct Names {
  std::vector<std::string_view> catalogs;
  std::vector<std::string_view> specs;
};

Names names_of(std::span<const SpecKey> keys) {
  Names names;
  for (const SpecKey& key : keys) {
    names.catalogs.push_back(key.catalog_id);
    names.specs.push_back(key.spec_name);
  }
  return names;
}

std::vector<Job> read_jobs(Query&& row) {
  std::vector<Job> jobs;
  while (row.next()) {
    jobs.push_back(read_job(row).job);
  }
  return jobs;
}

}  // namespace

Result<Job> PostgresStore::get(JobId id) {
  return database_->read([&](Connection& connection) -> Result<Job> {
    std::optional<JobRow> row = load_job(connection, id);
    if (!row) {
      return core::no_such_job(id);
    }
    return row->job;
  });
}

Result<JobState> PostgresStore::job_state(JobId id) {
  return database_->read([&](Connection& connection) -> Result<JobState> {
    const std::optional<JobRow> row = load_job(connection, id);
    return row ? Result<JobState>(row->job.state) : core::no_such_job(id);
  });
}

Result<std::vector<Job>> PostgresStore::list(const JobFilter& filter) {
  return database_->read([&](Connection& connection) -> Result<std::vector<Job>> {
    const int kind = filter.kind ? static_cast<int>(*filter.kind) : -1;
    const int status = filter.status ? static_cast<int>(*filter.status) : -1;
    const std::string catalog = filter.catalog_id.value_or("");
    const std::string spec = filter.spec_name.value_or("");
    if (!spec.empty()) {
      return read_jobs(connection.query(kListOfSpec, kind, status, catalog, limit_of(filter.limit), spec));
    }
    return read_jobs(connection.query(list_of(filter.status), kind, status, catalog, limit_of(filter.limit)));
  });
}

Result<std::vector<std::optional<Job>>> PostgresStore::last_jobs(std::span<const SpecKey> keys) {
  const Names names = names_of(keys);
  return database_->read([&](Connection& connection) -> Result<std::vector<std::optional<Job>>> {
    std::vector<std::optional<Job>> last(keys.size());
    Query row = connection.query(kLastJobs, names.catalogs, names.specs);
    while (row.next()) {
      last[static_cast<std::size_t>(row.integer(kJobColumns)) - 1] = read_job(row).job;
    }
    return last;
  });
}

Result<StoreCounts> PostgresStore::counts() {
  return database_->read([&](Connection& connection) -> Result<StoreCounts> {
    StoreCounts counts;
    Query row = connection.query(kCounts);
    while (row.next()) {
      switch (static_cast<JobStatus>(row.integer(0))) {
        case JobStatus::kPending:
        case JobStatus::kRunning:
          counts.running = row.integer(2);
          counts.pending = row.integer(1) - counts.running;
          break;
        case JobStatus::kSucceeded: counts.succeeded = row.integer(1); break;
        case JobStatus::kFailed: counts.failed = row.integer(1); break;
        case JobStatus::kCancelled: counts.cancelled = row.integer(1); break;
      }
    }
    return counts;
  });
}

Result<std::vector<Failure>> PostgresStore::failures(std::optional<std::string> catalog_id, std::size_t limit) {
  return database_->read([&](Connection& connection) -> Result<std::vector<Failure>> {
    std::vector<Failure> failures;
    Query row = connection.query(kOpenFailures, catalog_id.value_or(""), limit_of(limit));
    while (row.next()) {
      Failure& failure = failures.emplace_back(read_failure(row, 0));
      failure.last_success_at = row.time(5);
      failure.key = {row.text(6), row.text(7)};
    }
    return failures;
  });
}

Result<std::vector<Failure>> PostgresStore::failures_of(std::span<const SpecKey> keys) {
  const Names names = names_of(keys);
  return database_->read([&](Connection& connection) -> Result<std::vector<Failure>> {
    std::vector<Failure> failures(keys.size());
    for (std::size_t i = 0; i < keys.size(); ++i) {
      failures[i].key = keys[i];
    }
    Query row = connection.query(kFailuresOf, names.catalogs, names.specs);
    while (row.next()) {
      const auto place = static_cast<std::size_t>(row.integer(6)) - 1;
      Failure& failure = failures[place];
      const WallTime success = row.time(5);
      if (row.is_null(0)) {
        failure.resolved = success != WallTime{};  // it never failed
      } else {
        failure = read_failure(row, 0);
        failure.key = keys[place];
      }
      failure.last_success_at = success;
    }
    return failures;
  });
}

Status PostgresStore::resolve_failure(const SpecKey& name) {
  return database_->write([&](Connection& connection) -> Status {
    if (connection.run(kResolveFailure, name.catalog_id, name.spec_name) == 0) {
      return core::no_such_failure(name);
    }
    return {};
  });
}

void PostgresStore::add_up_counts() {
  const std::int64_t lock = advisory_key(schema(), "counts");
  (void)database_->write([&](Connection& connection) -> Status {
    if (connection.value_or(0, kTryAlone, lock) != 0) {
      connection.run_later(kAddUpCounts);
    }
    return {};
  });
}

Result<std::size_t> PostgresStore::purge(Duration age, std::size_t limit) {
  add_up_counts();
  std::size_t total = 0;
  const std::int64_t lock = advisory_key(schema(), "purge");
  const Duration kept = std::max(age, Duration(0));
  const auto one_step = [&](std::size_t piece, const auto& step) {
    auto gone = database_->write([&](Connection& connection) -> Result<std::size_t> {
      return connection.value_or(0, kTryAlone, lock) == 0 ? 0 : step(connection);
    });
    total += gone.ok() ? *gone : 0;
    return std::pair(gone.status(), gone.ok() && *gone >= piece && total < limit);
  };
  auto [status, more] = one_step(1, [&](Connection& connection) -> std::size_t {
    (void)connection.query(kMakeDays, connection.now());
    return 0;
  });
  for (more = limit > 0; status.ok() && more;) {
    std::tie(status, more) = one_step(1, [&](Connection& connection) {
      return uncount(connection, connection.query(kDropDay, connection.now() - kept));
    });
  }
  for (more = total < limit; status.ok() && more;) {
    const std::size_t piece = std::min(limit - total, core::kMaxRowsPerTransaction);
    std::tie(status, more) = one_step(piece, [&](Connection& connection) {
      const char* purge = kept < kHistoryDay ? kPurgeYoungerThanADay : kPurgeRest;
      return uncount(connection, connection.query(purge, connection.now() - kept, piece));
    });
  }
  return status.ok() ? Result<std::size_t>(total) : Result<std::size_t>(status);
}

}  // namespace embedjobs::postgres
