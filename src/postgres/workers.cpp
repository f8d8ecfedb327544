// Who works.
#include "core/rules/fleet.hpp"
#include "postgres/postgres_store.hpp"
#include "postgres/records.hpp"

namespace embedjobs::postgres {
namespace {

constexpr const char* kRegister =
    "INSERT INTO @workers AS w (" EMBEDJOBS_WORKER_COLUMNS
    ")"
    " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9) "
    "ON CONFLICT (id) DO UPDATE SET host = EXCLUDED.host, process_id = EXCLUDED.process_id, version = EXCLUDED.version,"
    " slots = EXCLUDED.slots, provider = EXCLUDED.provider, space = EXCLUDED.space, lease_duration = "
    "EXCLUDED.lease_duration,"
    " last_seen_at = EXCLUDED.last_seen_at";
constexpr const char* kUnregister = "DELETE FROM @workers WHERE id = $1";
constexpr const char* kList = "SELECT " EMBEDJOBS_WORKER_COLUMNS " FROM @workers ORDER BY id LIMIT $1";
constexpr const char* kForget = "DELETE FROM @workers WHERE last_seen_at < $1";

}  // namespace

Status PostgresStore::register_worker(const WorkerInfo& worker) {
  const auto checked = core::checked_worker(worker);
  if (!checked.ok()) {
    return checked.status();
  }
  return database_->write([&](Connection& connection) -> Status {
    connection.run(kRegister, storable(checked->worker_id), checked->host, checked->process_id, checked->version,
                   checked->slots, checked->provider, checked->space_id, checked->lease_duration, connection.now());
    return {};
  });
}

Status PostgresStore::unregister_worker(std::string_view worker_id) {
  return database_->write([&](Connection& connection) -> Status {
    connection.run(kUnregister, storable(std::string(worker_id)));
    return {};
  });
}

Result<std::vector<WorkerInfo>> PostgresStore::workers() {
  return database_->read([&](Connection& connection) -> Result<std::vector<WorkerInfo>> {
    std::vector<WorkerInfo> workers;
    Query row = connection.query(kList, static_cast<std::int64_t>(core::kMostWorkersListed));
    while (row.next()) {
      workers.push_back(core::read_worker(row, connection.now()));
    }
    return workers;
  });
}

Result<std::size_t> PostgresStore::forget_workers(Duration age) {
  return database_->write([&](Connection& connection) -> Result<std::size_t> {
    return static_cast<std::size_t>(connection.run(kForget, connection.now() - age));
  });
}

}  // namespace embedjobs::postgres
