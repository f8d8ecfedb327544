// A job's life between its claim and its end.
#include <fmt/format.h>

#include "core/checks.hpp"
#include "postgres/backend.hpp"
#include "postgres/enqueue.hpp"
#include "postgres/postgres_store.hpp"
#include "postgres/providers.hpp"
#include "postgres/spec.hpp"

namespace embedjobs::postgres {
namespace {

constexpr const char* kEnqueue = "SELECT job_id, created, generation FROM @enqueue_at($1, $2, $3::int, $4)";

// A lease's row is there as long as its job runs under that fence: whatever voids the fence (removal, expiry, a switch) deletes it. Locked
// in the order of ids, and before they are written, so that two processes never wait for each other.
constexpr const char* kRenew =
    "WITH held AS ("
    " SELECT l.job_id, u.place FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::text[], $5::text[]) WITH ORDINALITY"
    "  AS u (job_id, fence_counter, fence_nonce, catalog_id, spec_name, place)"
    " JOIN @leases AS l ON l.job_id = u.job_id AND l.fence_counter = u.fence_counter AND l.fence_nonce = u.fence_nonce"
    " JOIN @jobs AS j ON j.id = l.job_id"
    " JOIN @keys AS k ON k.id = j.key_id AND k.spec_name = u.spec_name"
    " JOIN @catalogs AS c ON c.id = k.catalog_id AND c.name = u.catalog_id"
    " ORDER BY l.job_id FOR NO KEY UPDATE OF l),"
    " renewed AS (UPDATE @leases AS l SET lease_until = $6, expires_at = $7 FROM held AS h WHERE l.job_id = h.job_id)"
    " SELECT place FROM held";

Status lease_lost(const LeaseRef& lease) {
  return {Code::kLeaseLost, fmt::format("job {} ({}/{}): the lease is lost", lease.job_id, lease.key.catalog_id, lease.key.spec_name)};
}

bool is_current(const std::optional<Held>& held, const LeaseRef& lease) {
  return held && held->row.job.key == lease.key && core::holds(held->row.job, held->key.state, lease.fence);
}

/// The same call sent again, after its answer was lost: the status that the job has now.
Result<JobStatus> settled_before(Connection& connection, const LeaseRef& lease) {
  const std::optional<JobRow> row = load_job(connection, lease.job_id);
  if (row && row->job.key == lease.key && lease.fence.nonce != 0 && row->job.fence == lease.fence && row->job.settled) {
    return row->job.status;
  }
  return lease_lost(lease);
}

}  // namespace

std::shared_ptr<Store> make_store(std::shared_ptr<Database> database) {
  return std::make_shared<PostgresStore>(std::move(database));
}

Result<EnqueueResult> PostgresStore::enqueue(const SpecKey& key, JobKind kind) {
  if (Status status = core::check_enqueue(key, kind); !status.ok()) {
    return status;
  }
  auto answer = database_->write([&](Connection& connection) -> Result<EnqueueResult> {
    Query row = connection.query(kEnqueue, key.catalog_id, key.spec_name, kind, connection.now());
    if (!row.next()) {
      return Status(Code::kInternal, "enqueue gave no row");
    }
    return EnqueueResult{.job_id = row.integer(0), .created = row.boolean(1), .generation = row.number(2)};
  });
  if (answer.ok()) {
    database_->wake().fire();
  }
  return answer;
}

Status PostgresStore::remove_key(const SpecKey& key) {
  if (Status status = validate(key); !status.ok()) {
    return status;
  }
  return database_->write([&](Connection& connection) -> Status {
    std::optional<KeyRow> row = lock_key(connection, key);
    if (!row || row->state.removed) {
      return {Code::kNotFound, fmt::format("{}/{}: no such spec", key.catalog_id, key.spec_name)};
    }
    cancel_key(connection, *row);
    // Where the host keeps the document, nothing else will ever clear the rows.
    if (row->has_spec && !has_document(connection, *row)) {
      drop_spec(connection, *row);
    }
    return {};
  });
}

Result<std::vector<bool>> PostgresStore::renew(std::span<const LeaseRef> leases, Duration lease_duration, Duration time_limit) {
  const Duration duration = lease_duration > Duration(0) ? std::min(lease_duration, core::kMaxLease) : rules().lease_duration;
  std::vector<std::int64_t> ids, counters, nonces;
  std::vector<std::string_view> catalogs, specs;
  for (const LeaseRef& lease : leases) {
    ids.push_back(lease.job_id);
    counters.push_back(static_cast<std::int64_t>(lease.fence.counter));
    nonces.push_back(static_cast<std::int64_t>(lease.fence.nonce));
    catalogs.push_back(lease.key.catalog_id);
    specs.push_back(lease.key.spec_name);
  }
  return database_->write_renewal(time_limit, [&](Connection& connection) -> Result<std::vector<bool>> {
    std::vector<bool> renewed(leases.size(), false);
    const Moment& moment = connection.moment();
    Query row = connection.query(kRenew, ids, counters, nonces, catalogs, specs, moment.lease + duration, moment.wall + duration);
    while (row.next()) {
      renewed[static_cast<std::size_t>(row.integer(0)) - 1] = true;
    }
    return renewed;
  });
}

Status PostgresStore::progress(const LeaseRef& lease, const Progress& progress) {
  return database_->write([&](Connection& connection) -> Status {
    std::optional<Held> held = lock_job_only(connection, lease.job_id);
    if (!is_current(held, lease)) {
      return lease_lost(lease);
    }
    Job& job = held->row.job;
    const std::uint64_t tokens = core::apply_progress(job, progress, connection.now());
    save_progress(connection, job);
    add_tokens(connection, job.provider, tokens);
    return {};
  });
}

Status PostgresStore::record_in_flight(const LeaseRef& lease, std::span<const TextHash> sent, std::span<const TextHash> answered) {
  return database_->write([&](Connection& connection) -> Status {
    std::optional<Held> held = lock_job_only(connection, lease.job_id);
    if (!is_current(held, lease)) {
      return lease_lost(lease);
    }
    Job& job = held->row.job;
    std::vector<core::InFlight> rows = load_in_flight(connection, job.id);
    core::record_in_flight(job, rows, sent, answered);
    save_in_flight(connection, job.id, rows);
    save_progress(connection, job);
    return {};
  });
}

Result<JobStatus> PostgresStore::settle(const LeaseRef& lease, const Outcome& outcome) {
  auto answer = database_->write([&](Connection& connection) -> Result<JobStatus> {
    std::optional<Held> held = lock_job(connection, lease.job_id);
    if (!is_current(held, lease)) {
      return settled_before(connection, lease);
    }
    Job& job = held->row.job;
    const bool flew = may_fly(job);
    std::vector<core::InFlight> in_flight = flew ? load_in_flight(connection, job.id) : std::vector<core::InFlight>();
    const core::Settled settled = core::settle(job, held->key.state, outcome, rules(), connection.now());
    core::land_in_flight(in_flight);
    note_settled(connection, *held, settled, in_flight, flew);
    save_keys(connection, {&held->key, 1});
    save_jobs(connection, {&held->row, 1});
    add_tokens(connection, job.provider, settled.tokens);
    if (job.status == JobStatus::kPending) {
      notify(connection, schema());
    }
    return job.status;
  });
  if (answer.ok() && *answer == JobStatus::kPending) {
    database_->wake().fire();
  }
  return answer;
}

}  // namespace embedjobs::postgres
