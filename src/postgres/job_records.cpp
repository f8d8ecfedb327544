#include "postgres/job_records.hpp"

#include <algorithm>
#include <array>

namespace embedjobs::postgres {
namespace {

constexpr const char* kLoadJob =
    EMBEDJOBS_SELECT_ANY_JOB "FROM @all_jobs AS j " EMBEDJOBS_KEYS_OF_JOBS "WHERE j.id = $1";
// The clauses lock in the order in which they stand: the key first.
// Keys in the order of ids: two who lock many never wait for each other crosswise.
constexpr const char* kLockJobs =
    EMBEDJOBS_SELECT_HELD "WHERE j.id = ANY ($1) ORDER BY k.id FOR UPDATE OF k FOR UPDATE OF j";
constexpr const char* kLockJobsOnly =
    EMBEDJOBS_SELECT_HELD "WHERE j.id = ANY ($1) ORDER BY k.id FOR KEY SHARE OF k FOR NO KEY UPDATE OF j";
constexpr const char* kTryLockJob =
    EMBEDJOBS_SELECT_HELD "WHERE j.id = $1 FOR KEY SHARE OF k FOR NO KEY UPDATE OF j SKIP LOCKED";
constexpr const char* kLockOpenJob =
    "SELECT " EMBEDJOBS_JOB_COLUMNS("0::bigint") " FROM @jobs AS j " EMBEDJOBS_KEYS_OF_JOBS
                                                 "WHERE j.key_id = $1 FOR UPDATE OF j";
constexpr const char* kInsertJob =
    "INSERT INTO @jobs (key_id, catalog_id, kind, status, priority, next_run_at, created_at, updated_at, generation) "
    "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) RETURNING id";

// "= ANY (ARRAY[...])": see EMBEDJOBS_KEYS_OF_JOBS.
// One array a column, or an empty one for a column that says nothing in any row: what says nothing becomes NULL.
#define EMBEDJOBS_SAVED_ROWS                                                                                      \
  "(SELECT id, key_id, catalog_id, created_at, kind, status, priority, next_run_at, updated_at, generation, "     \
  "nullif(started_at, 0) AS "                                                                                     \
  "started_at,"                                                                                                   \
  " nullif(completed_at, 0) AS completed_at, nullif(attempts, 0) AS attempts, nullif(embedded_so_far, 0) AS "     \
  "embedded_so_far,"                                                                                              \
  " nullif(reused_count, 0) AS reused_count, nullif(embedded_count, 0) AS embedded_count,"                        \
  " nullif(operation_count, 0) AS operation_count, nullif(fence_counter, 0) AS fence_counter,"                    \
  " nullif(fence_nonce, 0) AS fence_nonce, nullif(epoch, 0) AS epoch, nullif(errors_in_row, 0) AS errors_in_row," \
  " nullif(crashes_in_row, 0) AS crashes_in_row, nullif(releases_in_row, 0) AS releases_in_row,"                  \
  " nullif(crashes, 0) AS crashes, nullif(fewest_missing, -1) AS fewest_missing, nullif(paused_since, 0) AS "     \
  "paused_since,"                                                                                                 \
  " nullif(prompt_tokens, 0) AS prompt_tokens, nullif(pass_prompt_tokens, 0) AS pass_prompt_tokens,"              \
  " nullif(settled, false) AS settled, nullif(progressed, false) AS progressed,"                                  \
  " nullif(records_in_flight, false) AS records_in_flight, nullif(worker_id, '') AS worker_id,"                   \
  " nullif(last_error, '') AS last_error, nullif(provider, '') AS provider FROM unnest("                          \
  "$1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], "            \
  "$8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[], "                      \
  "$14::bigint[], $15::bigint[], $16::bigint[], $17::bigint[], $18::bigint[], $19::bigint[], "                    \
  "$20::bigint[], $21::bigint[], $22::bigint[], $23::bigint[], $24::bigint[], $25::bigint[], $26::bigint[], "     \
  "$27::bigint[], "                                                                                               \
  "$28::bigint[], "                                                                                               \
  "$29::boolean[], $30::boolean[], $31::boolean[], $32::text[], $33::text[], $34::text[]"                         \
  ") AS u ("                                                                                                      \
  "id, key_id, catalog_id, created_at, kind, status, priority, next_run_at, updated_at, generation, attempts, "   \
  "started_at, completed_at, "                                                                                    \
  "embedded_so_far, reused_count, embedded_count, operation_count, fence_counter, "                               \
  "fence_nonce, epoch, errors_in_row, crashes_in_row, releases_in_row, crashes, fewest_missing, "                 \
  "paused_since, prompt_tokens, pass_prompt_tokens, settled, progressed, records_in_flight, worker_id, "          \
  "last_error, provider)) AS u"
constexpr const char* kSaveJobs =
    "UPDATE @jobs AS j SET "
    "kind = u.kind, status = u.status, priority = u.priority, attempts = u.attempts, "
    "next_run_at = u.next_run_at, updated_at = u.updated_at, started_at = u.started_at, "
    "completed_at = u.completed_at, embedded_so_far = u.embedded_so_far, reused_count = u.reused_count, "
    "embedded_count = u.embedded_count, operation_count = u.operation_count, generation = u.generation, "
    "fence_counter = u.fence_counter, fence_nonce = u.fence_nonce, epoch = u.epoch, "
    "errors_in_row = u.errors_in_row, crashes_in_row = u.crashes_in_row, "
    "releases_in_row = u.releases_in_row, crashes = u.crashes, fewest_missing = u.fewest_missing, "
    "paused_since = u.paused_since, prompt_tokens = u.prompt_tokens, "
    "pass_prompt_tokens = u.pass_prompt_tokens, settled = u.settled, progressed = u.progressed, "
    "records_in_flight = u.records_in_flight, worker_id = u.worker_id, last_error = u.last_error, "
    "provider = u.provider"
    " FROM " EMBEDJOBS_SAVED_ROWS " WHERE j.id = ANY (ARRAY[u.id])";
#define EMBEDJOBS_HISTORY_COLUMNS                                                                   \
  "key_id, catalog_id, created_at, id, kind, status, priority, attempts, next_run_at, updated_at, " \
  "started_at, completed_at, embedded_so_far, reused_count, embedded_count, operation_count, "      \
  "generation, fence_counter, fence_nonce, epoch, errors_in_row, crashes_in_row, releases_in_row, " \
  "crashes, fewest_missing, paused_since, prompt_tokens, pass_prompt_tokens, settled, progressed, " \
  "records_in_flight, worker_id, last_error, provider"
constexpr const char* kDeleteJobs = "DELETE FROM @jobs WHERE id = ANY ($1)";
constexpr const char* kInsertHistory = "INSERT INTO @history (" EMBEDJOBS_HISTORY_COLUMNS
                                       ") SELECT " EMBEDJOBS_HISTORY_COLUMNS " FROM " EMBEDJOBS_SAVED_ROWS;
constexpr const char* kDeleteLeases =
    "DELETE FROM @leases AS l USING unnest($1::bigint[], $2::bigint[]) AS u (fence_nonce, job_id) "
    "WHERE l.fence_nonce = ANY (ARRAY[u.fence_nonce]) AND l.job_id = u.job_id";
constexpr const char* kChangeCounts =
    "INSERT INTO @job_counts (status, count) SELECT * FROM unnest($1::bigint[], $2::bigint[])";

constexpr const char* kSaveProgress =
    "UPDATE @jobs AS j SET updated_at = u.updated_at, embedded_so_far = nullif(u.embedded_so_far, 0),"
    " reused_count = nullif(u.reused_count, 0), embedded_count = nullif(u.embedded_count, 0),"
    " operation_count = nullif(u.operation_count, 0), errors_in_row = nullif(u.errors_in_row, 0),"
    " crashes_in_row = nullif(u.crashes_in_row, 0), releases_in_row = nullif(u.releases_in_row, 0),"
    " fewest_missing = nullif(u.fewest_missing, -1), paused_since = nullif(u.paused_since, 0), prompt_tokens = "
    "nullif(u.prompt_tokens, 0),"
    " pass_prompt_tokens = nullif(u.pass_prompt_tokens, 0), progressed = nullif(u.progressed, false),"
    " records_in_flight = nullif(u.records_in_flight, false) "
    "FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], "
    "$8::bigint[],"
    " $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[], $14::boolean[], $15::boolean[])"
    " AS u (id, updated_at, embedded_so_far, reused_count, embedded_count, operation_count, errors_in_row, "
    "crashes_in_row,"
    " releases_in_row, fewest_missing, paused_since, prompt_tokens, pass_prompt_tokens, progressed, "
    "records_in_flight) "
    "WHERE j.id = ANY (ARRAY[u.id])";

constexpr const char* kLoadInFlight =
    "SELECT " EMBEDJOBS_IN_FLIGHT_COLUMNS " FROM @in_flight WHERE job_id = $1 ORDER BY text_hash";
constexpr const char* kInsertInFlight =
    "INSERT INTO @in_flight (job_id, text_hash, sent, suspect, alone, strikes, set_aside) SELECT $1, u.* "
    "FROM unnest($2::bytea[], $3::boolean[], $4::boolean[], $5::bigint[], $6::bigint[], $7::boolean[]) AS u";
constexpr const char* kClearInFlight = "DELETE FROM @in_flight WHERE job_id = $1";

std::vector<Held> all_held(Query&& row) {
  std::vector<Held> held;
  while (row.next()) {
    held.push_back(read_held(row));
  }
  return held;
}

std::int64_t nanoseconds(WallTime time) {
  return time.time_since_epoch().count();
}

/// The arrays of EMBEDJOBS_SAVED_ROWS.
class SavedRows {
 public:
  void add(const JobRow& row) {
    const rules::StoredJob& job = row.job;
    const std::array<std::int64_t, kNumbers> numbers{job.id,
                                                     row.key_id,
                                                     row.catalog_id,
                                                     nanoseconds(job.created_at),
                                                     static_cast<std::int64_t>(job.kind),
                                                     static_cast<std::int64_t>(job.status),
                                                     job.priority,
                                                     nanoseconds(job.next_run_at),
                                                     nanoseconds(job.updated_at),
                                                     static_cast<std::int64_t>(job.generation),
                                                     job.attempts,
                                                     nanoseconds(job.started_at),
                                                     nanoseconds(job.completed_at),
                                                     job.embedded_so_far,
                                                     job.reused_count,
                                                     job.embedded_count,
                                                     job.operation_count,
                                                     static_cast<std::int64_t>(job.fence.counter),
                                                     static_cast<std::int64_t>(job.fence.nonce),
                                                     static_cast<std::int64_t>(job.state.epoch),
                                                     job.errors_in_row,
                                                     job.crashes_in_row,
                                                     job.state.releases_in_row,
                                                     job.state.crashes,
                                                     job.state.fewest_missing,
                                                     nanoseconds(job.paused_since),
                                                     static_cast<std::int64_t>(job.prompt_tokens),
                                                     static_cast<std::int64_t>(job.state.pass_prompt_tokens)};
    for (std::size_t i = 0; i < kNumbers; ++i) {
      numbers_[i].push_back(numbers[i]);
    }
    settled_.push_back(job.state.settled ? 1 : 0);
    progressed_.push_back(job.state.progressed ? 1 : 0);
    records_in_flight_.push_back(job.state.records_in_flight ? 1 : 0);
    workers_.push_back(storable(job.worker_id));
    errors_.push_back(storable(job.last_error));
    providers_.push_back(storable(job.provider));
  }
  [[nodiscard]] bool empty() const { return numbers_[0].empty(); }
  [[nodiscard]] const std::vector<std::int64_t>& ids() const { return numbers_[0]; }
  void run(Connection& connection, const char* sql) {
    for (std::size_t i = kNeverNull; i < kNumbers; ++i) {
      drop_if_all(numbers_[i], i == kFewestMissing ? std::int64_t{-1} : std::int64_t{0});
    }
    for (auto* booleans : {&settled_, &progressed_, &records_in_flight_}) {
      drop_if_all(*booleans, std::uint8_t{0});
    }
    for (auto* texts : {&workers_, &errors_, &providers_}) {
      drop_if_all(*texts, std::string());
    }
    const auto& n = numbers_;
    connection.run_later(sql, n[0], n[1], n[2], n[3], n[4], n[5], n[6], n[7], n[8], n[9], n[10], n[11], n[12], n[13],
                         n[14], n[15], n[16], n[17], n[18], n[19], n[20], n[21], n[22], n[23], n[24], n[25], n[26],
                         n[27], settled_, progressed_, records_in_flight_, workers_, errors_, providers_);
  }

 private:
  static constexpr std::size_t kNumbers = 28;
  static constexpr std::size_t kNeverNull = 10;  // from id to generation
  static constexpr std::size_t kFewestMissing = 24;

  template <typename T>
  static void drop_if_all(std::vector<T>& column, const T& nothing) {
    if (std::all_of(column.begin(), column.end(), [&](const T& value) { return value == nothing; })) {
      column.clear();
    }
  }

  std::array<std::vector<std::int64_t>, kNumbers> numbers_;
  std::vector<std::uint8_t> settled_, progressed_, records_in_flight_;
  std::vector<std::string> workers_, errors_, providers_;
};

}  // namespace

JobRow read_job(const Query& row) {
  return core::read_job(row);
}

std::optional<JobRow> load_job(Connection& connection, JobId id) {
  Query row = connection.query(kLoadJob, id);
  return row.next() ? std::optional(read_job(row)) : std::nullopt;
}

Held read_held(const Query& row) {
  Held held;
  held.row = read_job(row);
  held.key = read_key(row, kJobColumns);
  const int first = kJobColumns + kKeyColumns;
  held.has_failure = !row.is_null(first);
  if (held.has_failure) {
    held.failure = read_failure(row, first);
  }
  held.failure.key = held.row.job.key;
  held.failure.last_success_at = held.key.last_success_at;
  return held;
}

std::vector<Held> lock_jobs(Connection& connection, const std::vector<JobId>& ids) {
  return all_held(connection.query(kLockJobs, ids));
}

std::vector<Held> lock_jobs_only(Connection& connection, const std::vector<JobId>& ids) {
  return all_held(connection.query(kLockJobsOnly, ids));
}

std::optional<Held> lock_job_only(Connection& connection, JobId id) {
  std::vector<Held> held = lock_jobs_only(connection, {id});
  return held.empty() ? std::nullopt : std::optional(std::move(held.front()));
}

std::optional<Held> try_lock_job(Connection& connection, JobId id) {
  Query row = connection.query(kTryLockJob, id);
  return row.next() ? std::optional(read_held(row)) : std::nullopt;
}

std::optional<JobRow> lock_open_job(Connection& connection, const KeyRow& key) {
  Query row = connection.query(kLockOpenJob, key.id);
  return row.next() ? std::optional(read_job(row)) : std::nullopt;
}

void insert_job(Connection& connection, JobRow& row) {
  rules::StoredJob& job = row.job;
  job.id = connection.value_or(0, kInsertJob, row.key_id, row.catalog_id, job.kind, job.status, job.priority,
                               job.next_run_at, job.created_at, job.updated_at, job.generation);
  change_counts(connection, {1});
}

void save_jobs(Connection& connection, std::span<const JobRow> rows) {
  SavedRows open;
  SavedRows ended;
  std::vector<std::int64_t> idle, idle_nonces;
  CountChanges counts{};
  for (const JobRow& row : rows) {
    const JobStatus status = row.job.status;
    (is_open(status) ? open : ended).add(row);
    if (status != JobStatus::kRunning) {
      idle.push_back(row.job.id);
      idle_nonces.push_back(static_cast<std::int64_t>(row.job.fence.nonce));
    }
    if (!is_open(status)) {
      ++counts[static_cast<std::size_t>(status)];
      --counts[static_cast<std::size_t>(JobStatus::kPending)];
    }
  }
  if (!open.empty()) {
    open.run(connection, kSaveJobs);
  }
  if (!ended.empty()) {
    connection.run_later(kDeleteJobs, ended.ids());
    ended.run(connection, kInsertHistory);
  }
  if (!idle.empty()) {
    connection.run_later(kDeleteLeases, idle_nonces, idle);
  }
  change_counts(connection, counts);
}

void change_counts(Connection& connection, const CountChanges& changes) {
  std::vector<std::int64_t> statuses, counts;
  for (std::size_t status = 0; status < changes.size(); ++status) {
    if (changes[status] != 0) {
      statuses.push_back(static_cast<std::int64_t>(status));
      counts.push_back(changes[status]);
    }
  }
  if (!statuses.empty()) {
    connection.run_later(kChangeCounts, statuses, counts);
  }
}

void save_progress(Connection& connection, std::span<const rules::StoredJob* const> jobs) {
  constexpr std::size_t kColumns = 13;
  std::array<std::vector<std::int64_t>, kColumns> n;
  std::vector<std::uint8_t> progressed, records_in_flight;
  for (const rules::StoredJob* job : jobs) {
    const std::array<std::int64_t, kColumns> numbers{job->id,
                                                     nanoseconds(job->updated_at),
                                                     job->embedded_so_far,
                                                     job->reused_count,
                                                     job->embedded_count,
                                                     job->operation_count,
                                                     job->errors_in_row,
                                                     job->crashes_in_row,
                                                     job->state.releases_in_row,
                                                     job->state.fewest_missing,
                                                     nanoseconds(job->paused_since),
                                                     static_cast<std::int64_t>(job->prompt_tokens),
                                                     static_cast<std::int64_t>(job->state.pass_prompt_tokens)};
    for (std::size_t i = 0; i < kColumns; ++i) {
      n[i].push_back(numbers[i]);
    }
    progressed.push_back(job->state.progressed ? 1 : 0);
    records_in_flight.push_back(job->state.records_in_flight ? 1 : 0);
  }
  if (!jobs.empty()) {
    connection.run_later(kSaveProgress, n[0], n[1], n[2], n[3], n[4], n[5], n[6], n[7], n[8], n[9], n[10], n[11], n[12],
                         progressed, records_in_flight);
  }
}

void save_progress(Connection& connection, const rules::StoredJob& job) {
  const rules::StoredJob* one = &job;
  save_progress(connection, {&one, 1});
}

std::vector<rules::InFlight> load_in_flight(Connection& connection, JobId id) {
  std::vector<rules::InFlight> rows;
  Query row = connection.query(kLoadInFlight, id);
  while (row.next()) {
    rows.push_back(core::read_in_flight(row));
  }
  return rows;
}

void save_in_flight(Connection& connection, JobId id, const std::vector<rules::InFlight>& rows) {
  clear_in_flight(connection, id);
  if (rows.empty()) {
    return;
  }
  std::vector<TextHash> hashes;
  std::vector<std::uint8_t> sent, suspect, set_aside;
  std::vector<std::int64_t> alone, strikes;
  for (const rules::InFlight& row : rows) {
    hashes.push_back(row.text_hash);
    sent.push_back(row.sent ? 1 : 0);
    suspect.push_back(row.suspect ? 1 : 0);
    alone.push_back(row.alone);
    strikes.push_back(row.strikes);
    set_aside.push_back(row.set_aside ? 1 : 0);
  }
  connection.run_later(kInsertInFlight, id, hashes, sent, suspect, alone, strikes, set_aside);
}

void clear_in_flight(Connection& connection, JobId id) {
  connection.run_later(kClearInFlight, id);
}

void note_settled(Connection& connection, Held& held, const rules::Settled& settled,
                  const std::vector<rules::InFlight>& in_flight, bool had_in_flight) {
  if (settled.failed) {
    rules::note_failure(held.failure, held.row.job.last_error, connection.now());
    save_failure(connection, held.key.id, held.failure);
  } else if (settled.succeeded) {
    rules::note_success(held.failure, connection.now());
    held.key.last_success_at = held.failure.last_success_at;
    if (held.has_failure) {
      save_failure(connection, held.key.id, held.failure);
    }
  }
  if (!had_in_flight) {
    return;
  }
  if (settled.fresh_budget) {
    clear_in_flight(connection, held.row.job.id);
  } else {
    save_in_flight(connection, held.row.job.id, in_flight);
  }
}

}  // namespace embedjobs::postgres
