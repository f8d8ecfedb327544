// Jobs as values: what a transaction loads before a transition and stores after it. Errors are the connection's
// (sticky).
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "core/backend/job_row.hpp"
#include "postgres/records.hpp"

namespace embedjobs::postgres {

using core::JobRow;
using core::kJobColumns;
/// Of `all_jobs`, or one of its parts, `AS j`; and of the key and the catalog.
#define EMBEDJOBS_SELECT_ANY_JOB "SELECT " EMBEDJOBS_JOB_COLUMNS("j.lease_expires_at") " "
JobRow read_job(const Query& row);
/// Open or ended, not locked.
std::optional<JobRow> load_job(Connection& connection, JobId id);
/// Whether the job may have rows in in_flight. Ask before a transition: the transition resets these members.
[[nodiscard]] inline bool may_be_in_flight(const rules::StoredJob& job) {
  return job.state.records_in_flight || job.state.crashes > 0;
}

/// A job with its key and its key's record of failing, as a transition needs them.
struct Held {
  KeyRow key;
  JobRow row;
  Failure failure;
  bool has_failure = false;  ///< There is a row of it.
};
/// Joins jobs with their keys by one index look-up for each job. With a plain "=" the planner may join the whole tables
/// instead. That looks cheap when the last vacuum found few jobs, and a connection keeps this plan when there are many.
/// A hash join or a merge join can't use "= ANY (ARRAY[...])". So an index look-up is the only plan that is left.
#define EMBEDJOBS_KEYS_OF_JOBS \
  "JOIN @keys AS k ON k.id = ANY (ARRAY[j.key_id]) JOIN @catalogs AS c ON c.id = k.catalog_id "
/// The columns that read_held reads; of `failures AS f` too.
#define EMBEDJOBS_SELECT_HELD                                                                        \
  "SELECT " EMBEDJOBS_JOB_COLUMNS(                                                                   \
      "0::bigint") ", " EMBEDJOBS_KEY_COLUMNS                                                        \
                   ", f.occurrences, f.first_failed_at, f.last_failed_at, f.last_error, f.resolved " \
                   "FROM @jobs AS j " EMBEDJOBS_KEYS_OF_JOBS "LEFT JOIN @failures AS f ON f.key_id = k.id "
Held read_held(const Query& row);
/// Job and key of open jobs, both locked, in any order.
std::vector<Held> lock_jobs(Connection& connection, const std::vector<JobId>& ids);
/// The same with the keys locked only against those who end a pass: for progress.
std::vector<Held> lock_jobs_only(Connection& connection, const std::vector<JobId>& ids);
std::optional<Held> lock_job_only(Connection& connection, JobId id);
/// The same; nothing when somebody else has locked the job.
std::optional<Held> try_lock_job(Connection& connection, JobId id);
/// Locks the open job of a key that is locked already.
std::optional<JobRow> lock_open_job(Connection& connection, const KeyRow& key);

void insert_job(Connection& connection, JobRow& row);
/// Stores locked jobs after a transition. Jobs that ended move to the history. Jobs that do not run lose their lease.
void save_jobs(Connection& connection, std::span<const JobRow> rows);
/// What changes while a pass runs.
void save_progress(Connection& connection, std::span<const rules::StoredJob* const> jobs);
void save_progress(Connection& connection, const rules::StoredJob& job);
/// Changes to the counts of jobs, by status. The entry of kPending counts all open jobs.
using CountChanges = std::array<std::int64_t, 5>;
void change_counts(Connection& connection, const CountChanges& changes);

std::vector<rules::InFlight> load_in_flight(Connection& connection, JobId id);
void save_in_flight(Connection& connection, JobId id, const std::vector<rules::InFlight>& rows);
void clear_in_flight(Connection& connection, JobId id);

/// Stores what a transition changed beside job and key. This is the key's record of failures. (The last success goes
/// into held.key, which is saved afterwards.) It is also the in-flight rows, which a fresh budget deletes.
/// `had_in_flight`: there may be such rows.
void note_settled(Connection& connection, Held& held, const rules::Settled& settled,
                  const std::vector<rules::InFlight>& in_flight, bool had_in_flight);

}  // namespace embedjobs::postgres
