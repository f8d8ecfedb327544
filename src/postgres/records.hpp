// Rows as values: what a transaction loads before a transition and stores after it. Errors are the connection's
// (sticky).
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/backend/job_row.hpp"
#include "embedjobs/sys/store_rules.hpp"
#include "postgres/client/connection.hpp"

namespace embedjobs::postgres {

/// Wakes who listens, when the transaction commits.
void notify(Connection& connection, std::string_view schema);
/// Errors and reasons quote providers and hosts: what the server would not take as text is replaced.
std::string storable(const std::string& text);

struct CatalogRow {
  std::int64_t id = 0;
  std::string target_space;
  std::string search_space;
};
std::optional<CatalogRow> find_catalog(Connection& connection, std::string_view name);

/// 0 when the catalog has never had this space.
std::int64_t find_space(Connection& connection, std::int64_t catalog_id, std::string_view name);
std::int64_t make_space(Connection& connection, std::int64_t catalog_id, std::string_view name);

struct KeyRow {
  std::int64_t id = 0;
  std::int64_t catalog_id = 0;
  rules::KeyState state;
  bool has_spec = false;                 ///< There is a document, or rows, or both.
  std::int64_t visible_manifest_id = 0;  ///< 0: nothing is visible.
  std::int64_t visible_space_id = 0;
  WallTime last_success_at{};
};
/// The columns that read_key reads, in its order, of `keys AS k`.
#define EMBEDJOBS_KEY_COLUMNS                                                                     \
  "k.id, k.catalog_id, k.generation, k.fence_counter, k.holder_nonce, k.reuse_floor, k.removed, " \
  "k.has_spec, k.visible_manifest_id, coalesce(k.visible_space_id, 0), k.last_success_at"
inline constexpr int kKeyColumns = 11;
KeyRow read_key(const Query& row, int first = 0);
std::optional<KeyRow> find_key(Connection& connection, const SpecKey& key);
/// What queue transitions change. The keys are locked.
void save_keys(Connection& connection, std::span<const KeyRow> keys);
void save_spec(Connection& connection, const KeyRow& key);

using core::JobRow;
using core::kJobColumns;
/// Of `all_jobs`, or one of its parts, `AS j`; and of the key and the catalog.
#define EMBEDJOBS_SELECT_ANY_JOB "SELECT " EMBEDJOBS_JOB_COLUMNS("j.lease_expires_at") " "
JobRow read_job(const Query& row);
/// Open or ended, not locked.
std::optional<JobRow> load_job(Connection& connection, JobId id);
/// Whether the job may have rows in in_flight: before a transition resets what tells so.
[[nodiscard]] inline bool may_fly(const rules::StoredJob& job) {
  return job.state.records_in_flight || job.state.crashes > 0;
}

/// A job with its key and its key's record of failing, as a transition needs them.
struct Held {
  KeyRow key;
  JobRow row;
  Failure failure;
  bool has_failure = false;  ///< There is a row of it.
};
/// Keys of jobs, looked up one by one. Equality would do, but then walking whole tables side by side looks cheap to the
/// planner after each vacuum that met few jobs, and plans are kept. "= ANY (ARRAY[...])" is nothing to sort or hash by:
/// it can only be looked up.
#define EMBEDJOBS_KEYS_OF_JOBS \
  "JOIN @keys AS k ON k.id = ANY (ARRAY[j.key_id]) JOIN @catalogs AS c ON c.id = k.catalog_id "
/// Keys of names ($1, $2), with their places from 1 on; one by one too, for OFFSET 0 is not joined otherwise.
#define EMBEDJOBS_KEYS_OF_NAMES                                                                                      \
  " FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS u (catalog_id, spec_name, place) JOIN @catalogs AS c ON " \
  "c.name = u.catalog_id"                                                                                            \
  " CROSS JOIN LATERAL (SELECT * FROM @keys AS x WHERE x.catalog_id = c.id AND x.spec_name = u.spec_name OFFSET 0) " \
  "AS k "
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
/// The same; nothing where somebody else has locked the job.
std::optional<Held> try_lock_job(Connection& connection, JobId id);
/// The open job of a key that is locked; locked then.
std::optional<JobRow> lock_open_job(Connection& connection, const KeyRow& key);

void insert_job(Connection& connection, JobRow& row);
/// What a transition left of jobs that were locked. Those that ended leave for the history; those that do not run have
/// no lease.
void save_jobs(Connection& connection, std::span<const JobRow> rows);
/// What changes while a pass runs.
void save_progress(Connection& connection, std::span<const rules::StoredJob* const> jobs);
void save_progress(Connection& connection, const rules::StoredJob& job);
/// Changes to the counts of jobs, by status; that of kPending is the count of open jobs.
using CountChanges = std::array<std::int64_t, 5>;
void change_counts(Connection& connection, const CountChanges& changes);

std::vector<rules::InFlight> load_in_flight(Connection& connection, JobId id);
void save_in_flight(Connection& connection, JobId id, const std::vector<rules::InFlight>& rows);
void clear_in_flight(Connection& connection, JobId id);

Failure read_failure(const Query& row, int first);
void save_failure(Connection& connection, std::int64_t key_id, const Failure& failure);

/// Stores what a transition said beside job and key: the key's record of failing (the last success goes into held.key,
/// which is saved afterwards), and the in-flight rows, which a fresh budget forgets. `flew`: there may be some.
void note_settled(Connection& connection, Held& held, const rules::Settled& settled,
                  const std::vector<rules::InFlight>& in_flight, bool flew);

}  // namespace embedjobs::postgres
