// Rows as values: what a transaction loads before a transition and stores after it. Errors are the connection's
// (sticky).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/backend/job_row.hpp"
#include "embedjobs/sys/store_rules.hpp"
#include "sqlite/connection.hpp"

namespace embedjobs::sqlite {

// meta
std::uint64_t current_epoch(Connection& connection);
std::uint64_t raise_epoch(Connection& connection);
std::uint64_t enqueue_counter(Connection& connection);
void raise_enqueue_counter(Connection& connection);

struct CatalogRow {
  std::int64_t id = 0;
  std::string target_space;
  std::string search_space;
};
std::optional<CatalogRow> find_catalog(Connection& connection, std::string_view name);
/// Finds or makes it.
CatalogRow make_catalog_row(Connection& connection, std::string_view name);
/// The first choice of a target, which is then what searches read.
void choose_target(Connection& connection, CatalogRow& catalog, std::string_view space);

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
};
std::optional<KeyRow> find_key(Connection& connection, const SpecKey& key);
std::optional<KeyRow> load_key(Connection& connection, std::int64_t key_id);
KeyRow make_key(Connection& connection, std::int64_t catalog_id, const SpecKey& key);
void save_key(Connection& connection, const KeyRow& key);
void save_spec(Connection& connection, const KeyRow& key, WallTime now);

/// What decides that a lease has ended.
struct LeaseStamp {
  std::string boot_id;    ///< Empty: it can't be told.
  Duration boot_time{0};  ///< CLOCK_BOOTTIME at its end.
  std::string holder;     ///< Identity of the process.
  Duration length{0};     ///< From the claim or the renewal to the end.
};

using core::JobRow;
/// Of jobs with their names. Follow it by WHERE and ORDER BY.
#define EMBEDJOBS_SELECT_JOB \
  "SELECT " EMBEDJOBS_JOB_COLUMNS("j.lease_expires_at") \
  " FROM jobs AS j CROSS JOIN keys AS k ON k.id = j.key_id CROSS JOIN catalogs AS c ON c.id = k.catalog_id "
JobRow read_job(const Query& row);
std::optional<JobRow> load_job(Connection& connection, JobId id);
std::optional<JobRow> find_open_job(Connection& connection, const KeyRow& key);
/// Sets job.id.
void insert_job(Connection& connection, JobRow& row);
/// All but the lease's stamp, which only a claim writes.
void save_job(Connection& connection, const rules::StoredJob& job);
/// What changes while a pass runs: touches no index.
void save_progress(Connection& connection, const rules::StoredJob& job);
void save_lease(Connection& connection, JobId id, const LeaseStamp& stamp);

std::vector<rules::InFlight> load_in_flight(Connection& connection, JobId id);
void save_in_flight(Connection& connection, JobId id, const std::vector<rules::InFlight>& rows);
void clear_in_flight(Connection& connection, JobId id);

/// From the first six columns of a failure's row, as load_failure() selects them.
Failure read_failure(const Query& row, const SpecKey& key);
/// A failure with occurrences 0 where there is none.
Failure load_failure(Connection& connection, std::int64_t key_id, const SpecKey& key);
void save_failure(Connection& connection, std::int64_t key_id, const Failure& failure);
void drop_failure(Connection& connection, std::int64_t key_id);

/// Stores what a transition said beside job and key: the key's record of failing, and the in-flight rows, which a
/// fresh budget forgets.
void note_settled(Connection& connection, const JobRow& row, const rules::Settled& settled,
                  const std::vector<rules::InFlight>& in_flight, WallTime now);

}  // namespace embedjobs::sqlite
