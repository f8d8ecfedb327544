#include "sqlite/records.hpp"

namespace embedjobs::sqlite {
namespace {

constexpr const char* kGetMeta = "SELECT value FROM meta WHERE name = ?";
constexpr const char* kRaiseMeta = "UPDATE meta SET value = value + 1 WHERE name = ?";
constexpr std::string_view kEpoch = "epoch";
constexpr std::string_view kEnqueueCounter = "enqueue_counter";

constexpr const char* kFindCatalog = "SELECT id, target_space, search_space FROM catalogs WHERE name = ?";
constexpr const char* kInsertCatalog = "INSERT INTO catalogs (name) VALUES (?) RETURNING id";
constexpr const char* kChooseTarget = "UPDATE catalogs SET target_space = ?2, search_space = ?2 WHERE id = ?1";

constexpr const char* kFindSpace = "SELECT id FROM spaces WHERE catalog_id = ? AND name = ?";
constexpr const char* kInsertSpace = "INSERT INTO spaces (catalog_id, name) VALUES (?, ?) RETURNING id";

#define EMBEDJOBS_SELECT_KEY                                                                            \
  "SELECT k.id, k.catalog_id, k.generation, k.fence_counter, k.holder_nonce, k.reuse_floor, k.removed," \
  " k.has_spec, k.visible_manifest_id, k.visible_space_id "
constexpr const char* kFindKey = EMBEDJOBS_SELECT_KEY
    "FROM catalogs AS c CROSS JOIN keys AS k ON k.catalog_id = c.id "
    "WHERE c.name = ? AND k.spec_name = ?";
constexpr const char* kLoadKey = EMBEDJOBS_SELECT_KEY "FROM keys AS k WHERE k.id = ?";
constexpr const char* kInsertKey = "INSERT INTO keys (catalog_id, spec_name) VALUES (?, ?) RETURNING id";
constexpr const char* kSaveKey =
    "UPDATE keys SET generation = ?2, fence_counter = ?3, holder_nonce = ?4, reuse_floor = ?5, removed = ?6 WHERE id = "
    "?1";
constexpr const char* kSaveSpec =
    "UPDATE keys SET has_spec = ?2, visible_manifest_id = ?3, visible_space_id = NULLIF(?4, 0), updated_at = ?5 WHERE "
    "id = ?1";

constexpr const char* kLoadJob = EMBEDJOBS_SELECT_JOB "WHERE j.id = ?";
// The literal status <= 1 is what lets the partial index jobs_open be used.
constexpr const char* kFindOpenJob = EMBEDJOBS_SELECT_JOB "WHERE j.catalog_id = ? AND j.key_id = ? AND j.status <= 1";
constexpr const char* kInsertJob =
    "INSERT INTO jobs (key_id, catalog_id, kind, status, priority, attempts, last_error, next_run_at, worker_id, "
    "lease_expires_at,"
    " created_at, updated_at, started_at, completed_at, embedded_so_far, reused_count, embedded_count, "
    "operation_count, generation,"
    " fence_counter, fence_nonce, settled, epoch, errors_in_row, crashes_in_row, releases_in_row, crashes, "
    "fewest_missing, progressed,"
    " paused_since, records_in_flight, provider, prompt_tokens, pass_prompt_tokens, lease_boot_id, lease_boot_time, "
    "lease_holder) "
    "VALUES (?, ?, ?, ?, ?, 0, '', ?, '', 0, ?, ?, 0, 0, 0, 0, 0, 0, ?, 0, 0, 0, 0, 0, 0, 0, 0, ?, 0, 0, 0, '', 0, 0, "
    "'', 0, '') "
    "RETURNING id";
constexpr const char* kSaveJob =
    "UPDATE jobs SET kind = ?2, status = ?3, priority = ?4, attempts = ?5, last_error = ?6, next_run_at = ?7, "
    "worker_id = ?8,"
    " lease_expires_at = ?9, updated_at = ?10, started_at = ?11, completed_at = ?12, embedded_so_far = ?13, "
    "reused_count = ?14,"
    " embedded_count = ?15, operation_count = ?16, generation = ?17, fence_counter = ?18, fence_nonce = ?19, settled = "
    "?20, epoch = ?21,"
    " errors_in_row = ?22, crashes_in_row = ?23, releases_in_row = ?24, crashes = ?25, fewest_missing = ?26, "
    "progressed = ?27,"
    " paused_since = ?28, records_in_flight = ?29, provider = ?30, prompt_tokens = ?31, pass_prompt_tokens = ?32 "
    "WHERE id = ?1";
constexpr const char* kSaveProgress =
    "UPDATE jobs SET updated_at = ?2, embedded_so_far = ?3, reused_count = ?4, embedded_count = ?5, operation_count = "
    "?6,"
    " errors_in_row = ?7, crashes_in_row = ?8, releases_in_row = ?9, fewest_missing = ?10, progressed = ?11, "
    "paused_since = ?12,"
    " records_in_flight = ?13, prompt_tokens = ?14, pass_prompt_tokens = ?15 "
    "WHERE id = ?1";
constexpr const char* kSaveLease =
    "UPDATE jobs SET lease_boot_id = ?2, lease_boot_time = ?3, lease_holder = ?4, lease_length = ?5 WHERE id = ?1";

constexpr const char* kLoadInFlight =
    "SELECT " EMBEDJOBS_IN_FLIGHT_COLUMNS " FROM in_flight WHERE job_id = ? ORDER BY text_hash";
constexpr const char* kInsertInFlight =
    "INSERT INTO in_flight (job_id, text_hash, sent, suspect, alone, strikes, set_aside) VALUES (?, ?, ?, ?, ?, ?, ?)";
constexpr const char* kClearInFlight = "DELETE FROM in_flight WHERE job_id = ?";

constexpr const char* kLoadFailure =
    "SELECT occurrences, first_failed_at, last_failed_at, last_error, last_success_at, resolved FROM failures WHERE "
    "key_id = ?";
constexpr const char* kSaveFailure =
    "INSERT INTO failures (key_id, occurrences, first_failed_at, last_failed_at, last_error, last_success_at, "
    "resolved) "
    "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) "
    "ON CONFLICT (key_id) DO UPDATE SET occurrences = ?2, first_failed_at = ?3, last_failed_at = ?4, last_error = ?5,"
    " last_success_at = ?6, resolved = ?7";
constexpr const char* kDropFailure = "DELETE FROM failures WHERE key_id = ?";

std::optional<KeyRow> read_key(Query&& row) {
  if (!row.next()) {
    return std::nullopt;
  }
  KeyRow key;
  key.id = row.integer(0);
  key.catalog_id = row.integer(1);
  key.state = {.generation = row.number(2),
               .fence_counter = row.number(3),
               .holder_nonce = row.number(4),
               .reuse_floor = row.number(5),
               .removed = row.boolean(6)};
  key.has_spec = row.boolean(7);
  key.visible_manifest_id = row.integer(8);
  key.visible_space_id = row.integer(9);
  return key;
}

/// Runs an INSERT ... RETURNING to its end.
std::int64_t inserted_id(Query&& query) {
  std::int64_t id = 0;
  while (query.next()) {
    id = query.integer(0);
  }
  return id;
}

}  // namespace

std::uint64_t current_epoch(Connection& connection) {
  return static_cast<std::uint64_t>(connection.value_or(0, kGetMeta, kEpoch));
}

std::uint64_t raise_epoch(Connection& connection) {
  connection.run(kRaiseMeta, kEpoch);
  return current_epoch(connection);
}

std::uint64_t enqueue_counter(Connection& connection) {
  return static_cast<std::uint64_t>(connection.value_or(0, kGetMeta, kEnqueueCounter));
}

void raise_enqueue_counter(Connection& connection) {
  connection.run(kRaiseMeta, kEnqueueCounter);
}

std::optional<CatalogRow> find_catalog(Connection& connection, std::string_view name) {
  Query row = connection.query(kFindCatalog, name);
  if (!row.next()) {
    return std::nullopt;
  }
  return CatalogRow{
      .id = row.integer(0), .target_space = std::string(row.text(1)), .search_space = std::string(row.text(2))};
}

CatalogRow make_catalog_row(Connection& connection, std::string_view name) {
  std::optional<CatalogRow> found = find_catalog(connection, name);
  return found ? *std::move(found) : CatalogRow{.id = inserted_id(connection.query(kInsertCatalog, name))};
}

void choose_target(Connection& connection, CatalogRow& catalog, std::string_view space) {
  if (!catalog.target_space.empty() || space.empty()) {
    return;
  }
  catalog.target_space = space;
  catalog.search_space = space;
  connection.run(kChooseTarget, catalog.id, space);
}

std::int64_t find_space(Connection& connection, std::int64_t catalog_id, std::string_view name) {
  return connection.value_or(0, kFindSpace, catalog_id, name);
}

std::int64_t make_space(Connection& connection, std::int64_t catalog_id, std::string_view name) {
  const std::int64_t found = find_space(connection, catalog_id, name);
  return found != 0 ? found : inserted_id(connection.query(kInsertSpace, catalog_id, name));
}

std::optional<KeyRow> find_key(Connection& connection, const SpecKey& key) {
  return read_key(connection.query(kFindKey, key.catalog_id, key.spec_name));
}

std::optional<KeyRow> load_key(Connection& connection, std::int64_t key_id) {
  return read_key(connection.query(kLoadKey, key_id));
}

KeyRow make_key(Connection& connection, std::int64_t catalog_id, const SpecKey& key) {
  if (std::optional<KeyRow> found = find_key(connection, key)) {
    return *found;
  }
  KeyRow row;
  row.id = inserted_id(connection.query(kInsertKey, catalog_id, key.spec_name));
  row.catalog_id = catalog_id;
  return row;
}

void save_key(Connection& connection, const KeyRow& key) {
  const rules::KeyState& state = key.state;
  connection.run(kSaveKey, key.id, state.generation, state.fence_counter, state.holder_nonce, state.reuse_floor,
                 state.removed);
}

void save_spec(Connection& connection, const KeyRow& key, WallTime now) {
  connection.run(kSaveSpec, key.id, key.has_spec, key.visible_manifest_id, key.visible_space_id, now);
}

JobRow read_job(const Query& row) {
  return core::read_job(row);
}

std::optional<JobRow> load_job(Connection& connection, JobId id) {
  Query row = connection.query(kLoadJob, id);
  return row.next() ? std::optional(read_job(row)) : std::nullopt;
}

std::optional<JobRow> find_open_job(Connection& connection, const KeyRow& key) {
  Query row = connection.query(kFindOpenJob, key.catalog_id, key.id);
  return row.next() ? std::optional(read_job(row)) : std::nullopt;
}

void insert_job(Connection& connection, JobRow& row) {
  rules::StoredJob& job = row.job;
  job.id = inserted_id(connection.query(kInsertJob, row.key_id, row.catalog_id, job.kind, job.status, job.priority,
                                        job.next_run_at, job.created_at, job.updated_at, job.generation,
                                        job.state.fewest_missing));
}

void save_job(Connection& connection, const rules::StoredJob& job) {
  connection.run(kSaveJob, job.id, job.kind, job.status, job.priority, job.attempts, job.last_error, job.next_run_at,
                 job.worker_id, job.lease_expires_at, job.updated_at, job.started_at, job.completed_at,
                 job.embedded_so_far, job.reused_count, job.embedded_count, job.operation_count, job.generation,
                 job.fence.counter, job.fence.nonce, job.state.settled, job.state.epoch, job.errors_in_row,
                 job.crashes_in_row, job.state.releases_in_row, job.state.crashes, job.state.fewest_missing,
                 job.state.progressed, job.paused_since, job.state.records_in_flight, job.provider, job.prompt_tokens,
                 job.state.pass_prompt_tokens);
}

void save_progress(Connection& connection, const rules::StoredJob& job) {
  connection.run(kSaveProgress, job.id, job.updated_at, job.embedded_so_far, job.reused_count, job.embedded_count,
                 job.operation_count, job.errors_in_row, job.crashes_in_row, job.state.releases_in_row,
                 job.state.fewest_missing, job.state.progressed, job.paused_since, job.state.records_in_flight,
                 job.prompt_tokens, job.state.pass_prompt_tokens);
}

void save_lease(Connection& connection, JobId id, const LeaseStamp& stamp) {
  connection.run(kSaveLease, id, stamp.boot_id, stamp.boot_time, stamp.holder, stamp.length);
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
  for (const rules::InFlight& row : rows) {
    connection.run(kInsertInFlight, id, row.text_hash, row.sent, row.suspect, row.alone, row.strikes, row.set_aside);
  }
}

void clear_in_flight(Connection& connection, JobId id) {
  connection.run(kClearInFlight, id);
}

Failure read_failure(const Query& row, const SpecKey& key) {
  return {.key = key,
          .occurrences = row.integer(0),
          .first_failed_at = row.time(1),
          .last_failed_at = row.time(2),
          .last_error = std::string(row.text(3)),
          .last_success_at = row.time(4),
          .resolved = row.boolean(5)};
}

Failure load_failure(Connection& connection, std::int64_t key_id, const SpecKey& key) {
  Query row = connection.query(kLoadFailure, key_id);
  return row.next() ? read_failure(row, key) : Failure{.key = key, .last_error = {}};
}

void save_failure(Connection& connection, std::int64_t key_id, const Failure& failure) {
  connection.run(kSaveFailure, key_id, failure.occurrences, failure.first_failed_at, failure.last_failed_at,
                 failure.last_error, failure.last_success_at, failure.resolved);
}

void drop_failure(Connection& connection, std::int64_t key_id) {
  connection.run(kDropFailure, key_id);
}

void note_settled(Connection& connection, const JobRow& row, const rules::Settled& settled,
                  const std::vector<rules::InFlight>& in_flight, WallTime now) {
  if (settled.succeeded || settled.failed) {
    Failure failure = load_failure(connection, row.key_id, row.job.key);
    if (settled.failed) {
      rules::note_failure(failure, row.job.last_error, now);
    } else {
      rules::note_success(failure, now);
    }
    save_failure(connection, row.key_id, failure);
  }
  if (settled.fresh_budget) {
    clear_in_flight(connection, row.job.id);
  } else {
    save_in_flight(connection, row.job.id, in_flight);
  }
}

}  // namespace embedjobs::sqlite
