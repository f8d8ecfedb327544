// Looking back: jobs, counts, failures, and forgetting them.
#include <algorithm>

#include "core/backend/in_pieces.hpp"
#include "core/rules/errors.hpp"
#include "core/rules/limits.hpp"
#include "sqlite/records.hpp"
#include "sqlite/sqlite_store.hpp"

namespace embedjobs::sqlite {
namespace {

// Newest first. CROSS JOIN in the column list keeps jobs outermost, so that the order comes from an index and LIMIT
// ends the scan.
constexpr const char* kListAll = EMBEDJOBS_SELECT_JOB
    "WHERE (?1 < 0 OR j.kind = ?1) AND (?2 = '' OR c.name = ?2) AND (?3 = '' OR k.spec_name = ?3) ORDER BY j.id DESC "
    "LIMIT ?4";
constexpr const char* kListByStatus = EMBEDJOBS_SELECT_JOB
    "WHERE j.status = ?5 AND (?1 < 0 OR j.kind = ?1) AND (?2 = '' OR c.name = ?2) AND (?3 = '' OR k.spec_name = ?3)"
    " ORDER BY j.id DESC LIMIT ?4";
constexpr const char* kListByKey = EMBEDJOBS_SELECT_JOB
    "WHERE j.key_id = ?1 AND (?2 < 0 OR j.kind = ?2) AND (?3 < 0 OR j.status = ?3) ORDER BY j.id DESC LIMIT ?4";

constexpr const char* kCounts = "SELECT status, count FROM job_counts";

constexpr const char* kOpenFailures =
    "SELECT f.occurrences, f.first_failed_at, f.last_failed_at, f.last_error, f.last_success_at, f.resolved, c.name, "
    "k.spec_name "
    "FROM failures AS f INDEXED BY failures_open CROSS JOIN keys AS k ON k.id = f.key_id CROSS JOIN catalogs AS c ON "
    "c.id = k.catalog_id "
    "WHERE f.resolved = 0 AND f.occurrences > 0 AND (?1 = '' OR c.name = ?1) ORDER BY f.last_failed_at DESC LIMIT ?2";
constexpr const char* kResolveFailure = "UPDATE failures SET resolved = 1 WHERE key_id = ? AND occurrences > 0";

// A failed job stays while its key's failure is unresolved, and as long as it is the last job of its key.
constexpr const char* kPurge =
    "DELETE FROM jobs WHERE id IN ("
    "SELECT j.id FROM jobs AS j INDEXED BY jobs_ended WHERE j.status >= 2 AND j.completed_at < ?1"
    " AND NOT (j.status = 3 AND ("
    "  EXISTS (SELECT 1 FROM failures AS f WHERE f.key_id = j.key_id AND f.resolved = 0 AND f.occurrences > 0)"
    "  OR NOT EXISTS (SELECT 1 FROM jobs AS n INDEXED BY jobs_by_key WHERE n.key_id = j.key_id AND n.id > j.id)))"
    " ORDER BY j.completed_at LIMIT ?2)";

std::vector<Job> read_jobs(Query&& row) {
  std::vector<Job> jobs;
  while (row.next()) {
    jobs.push_back(read_job(row).job);
  }
  return jobs;
}

}  // namespace

Result<Job> SqliteStore::get(JobId id) {
  return database_->read([&](Connection& connection) -> Result<Job> {
    std::optional<JobRow> row = load_job(connection, id);
    if (!row) {
      return core::no_such_job(id);
    }
    return row->job;
  });
}

Result<JobState> SqliteStore::job_state(JobId id) {
  return database_->read([&](Connection& connection) -> Result<JobState> {
    const std::optional<JobRow> row = load_job(connection, id);
    return row ? Result<JobState>(row->job.state) : core::no_such_job(id);
  });
}

Result<std::vector<Job>> SqliteStore::list(const JobFilter& filter) {
  return database_->read([&](Connection& connection) -> Result<std::vector<Job>> {
    const int kind = filter.kind ? static_cast<int>(*filter.kind) : -1;
    const int status = filter.status ? static_cast<int>(*filter.status) : -1;
    const std::string catalog = filter.catalog_id.value_or("");
    const std::string spec = filter.spec_name.value_or("");
    if (!catalog.empty() && !spec.empty()) {
      const std::optional<KeyRow> key = find_key(connection, {catalog, spec});
      return key ? read_jobs(connection.query(kListByKey, key->id, kind, status, filter.limit)) : std::vector<Job>();
    }
    if (filter.status) {
      return read_jobs(connection.query(kListByStatus, kind, catalog, spec, filter.limit, status));
    }
    return read_jobs(connection.query(kListAll, kind, catalog, spec, filter.limit));
  });
}

Result<std::vector<std::optional<Job>>> SqliteStore::last_jobs(std::span<const SpecKey> keys) {
  return database_->read([&](Connection& connection) -> Result<std::vector<std::optional<Job>>> {
    std::vector<std::optional<Job>> last;
    last.reserve(keys.size());
    for (const SpecKey& name : keys) {
      const std::optional<KeyRow> key = find_key(connection, name);
      std::vector<Job> jobs = key ? read_jobs(connection.query(kListByKey, key->id, -1, -1, 1)) : std::vector<Job>();
      last.push_back(jobs.empty() ? std::nullopt : std::optional(std::move(jobs.front())));
    }
    return last;
  });
}

Result<StoreCounts> SqliteStore::counts() {
  return database_->read([&](Connection& connection) -> Result<StoreCounts> {
    StoreCounts counts;
    Query row = connection.query(kCounts);
    while (row.next()) {
      switch (static_cast<JobStatus>(row.integer(0))) {
        case JobStatus::kPending: counts.pending = row.integer(1); break;
        case JobStatus::kRunning: counts.running = row.integer(1); break;
        case JobStatus::kSucceeded: counts.succeeded = row.integer(1); break;
        case JobStatus::kFailed: counts.failed = row.integer(1); break;
        case JobStatus::kCancelled: counts.cancelled = row.integer(1); break;
      }
    }
    return counts;
  });
}

Result<std::vector<Failure>> SqliteStore::failures(std::optional<std::string> catalog_id, std::size_t limit) {
  return database_->read([&](Connection& connection) -> Result<std::vector<Failure>> {
    std::vector<Failure> failures;
    Query row = connection.query(kOpenFailures, catalog_id.value_or(""), limit);
    while (row.next()) {
      failures.push_back(read_failure(row, {std::string(row.text(6)), std::string(row.text(7))}));
    }
    return failures;
  });
}

Result<std::vector<Failure>> SqliteStore::failures_of(std::span<const SpecKey> keys) {
  return database_->read([&](Connection& connection) -> Result<std::vector<Failure>> {
    std::vector<Failure> failures;
    failures.reserve(keys.size());
    for (const SpecKey& name : keys) {
      const std::optional<KeyRow> key = find_key(connection, name);
      failures.push_back(key ? load_failure(connection, key->id, name) : Failure{.key = name});
    }
    return failures;
  });
}

Status SqliteStore::resolve_failure(const SpecKey& name) {
  return database_->write([&](Connection& connection) -> Status {
    const std::optional<KeyRow> key = find_key(connection, name);
    if (!key || connection.run(kResolveFailure, key->id) == 0) {
      return core::no_such_failure(name);
    }
    return {};
  });
}

Result<std::size_t> SqliteStore::purge(Duration age, std::size_t limit) {
  return core::in_pieces(limit, core::kMaxRowsPerTransaction, [&](std::size_t piece) {
    return database_->write([&](Connection& connection) -> Result<std::size_t> {
      return static_cast<std::size_t>(connection.run(kPurge, now() - std::max(age, Duration(0)), piece));
    });
  });
}

}  // namespace embedjobs::sqlite
