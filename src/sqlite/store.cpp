// A job's life between its claim and its end.
#include "core/rules/checks.hpp"
#include "core/rules/errors.hpp"
#include "sqlite/backend.hpp"
#include "sqlite/enqueue.hpp"
#include "sqlite/provider_tokens.hpp"
#include "sqlite/spec_rows.hpp"
#include "sqlite/sqlite_store.hpp"

namespace embedjobs::sqlite {
namespace {

// The job's fence is the key's current one as long as the job runs: whatever voids it (removal, expiry, a switch) ends
// the running too.
constexpr const char* kRenew =
    "UPDATE jobs SET lease_boot_id = ?4, lease_boot_time = ?5, lease_expires_at = ?6, lease_length = ?9 "
    "WHERE id = ?1 AND status = 1 AND fence_counter = ?2 AND fence_nonce = ?3"
    " AND key_id = (SELECT k.id FROM catalogs AS c CROSS JOIN keys AS k ON k.catalog_id = c.id WHERE c.name = ?7 AND "
    "k.spec_name = ?8)";

struct Held {
  KeyRow key;
  JobRow row;
};

/// Job and key of a lease; none when the lease is not the current one.
std::optional<Held> load_held(Connection& connection, const LeaseRef& lease) {
  std::optional<JobRow> row = load_job(connection, lease.job_id);
  std::optional<KeyRow> key = row ? load_key(connection, row->key_id) : std::nullopt;
  const bool current = key && row->job.key == lease.key && rules::holds(row->job, key->state, lease.fence);
  return current ? std::optional(Held{*key, *std::move(row)}) : std::nullopt;
}

/// The same call sent again, after its answer was lost: the status that the job has now.
Result<JobStatus> settled_before(Connection& connection, const LeaseRef& lease) {
  const std::optional<JobRow> row = load_job(connection, lease.job_id);
  return row && rules::settled_before(row->job, lease) ? Result<JobStatus>(row->job.status)
                                                       : core::lease_lost(lease.job_id, lease.key);
}

}  // namespace

std::shared_ptr<Store> make_store(std::shared_ptr<Database> database) {
  return std::make_shared<SqliteStore>(std::move(database));
}

Result<EnqueueResult> SqliteStore::enqueue(const SpecKey& key, JobKind kind) {
  if (Status status = core::check_enqueue(key, kind); !status.ok()) {
    return status;
  }
  auto answer = database_->write([&](Connection& connection) -> Result<EnqueueResult> {
    if (kind == JobKind::kReconciler) {
      const std::optional<KeyRow> known = find_key(connection, key);
      const std::optional<JobRow> open = known ? find_open_job(connection, *known) : std::nullopt;
      if (open || (known && known->state.removed)) {
        return EnqueueResult{
            .job_id = open ? open->job.id : 0, .created = false, .generation = known->state.generation};
      }
    }
    KeyRow row = make_key(connection, make_catalog_row(connection, key.catalog_id).id, key);
    return enqueue_generation(connection, row, key, kind, now());
  });
  if (answer.ok()) {
    database_->wake().fire();
  }
  return answer;
}

Status SqliteStore::remove_key(const SpecKey& key) {
  if (Status status = validate(key); !status.ok()) {
    return status;
  }
  return database_->write([&](Connection& connection) -> Status {
    std::optional<KeyRow> row = find_key(connection, key);
    if (!row || row->state.removed) {
      return core::no_such_spec(key);
    }
    cancel_key(connection, *row, now());
    // Where the host keeps the document, nothing else will ever clear the rows.
    if (row->has_spec && !has_document(connection, *row)) {
      drop_spec(connection, *row, now());
    }
    return {};
  });
}

Result<std::vector<bool>> SqliteStore::renew(std::span<const LeaseRef> leases, Duration lease_duration,
                                             Duration time_limit) {
  const Duration duration = lease_duration > Duration(0) ? std::min(lease_duration, kMaxLease) : rules().lease_duration;
  return database_->write_renewal(time_limit, [&](Connection& connection) -> Result<std::vector<bool>> {
    const std::string boot_id = database_->clock().boot_id();
    const Duration ends = database_->clock().boot_time() + duration;
    const WallTime ends_at = now() + duration;
    std::vector<bool> renewed;
    renewed.reserve(leases.size());
    for (const LeaseRef& lease : leases) {
      renewed.push_back(connection.run(kRenew, lease.job_id, lease.fence.counter, lease.fence.nonce, boot_id, ends,
                                       ends_at, lease.key.catalog_id, lease.key.spec_name, duration) == 1);
    }
    return renewed;
  });
}

Status SqliteStore::progress(const LeaseRef& lease, const Progress& progress) {
  return database_->write([&](Connection& connection) -> Status {
    std::optional<Held> held = load_held(connection, lease);
    if (!held) {
      return core::lease_lost(lease.job_id, lease.key);
    }
    rules::StoredJob& job = held->row.job;
    const std::uint64_t tokens = rules::apply_progress(job, progress, now());
    save_progress(connection, job);
    add_tokens(connection, job.provider, tokens, now());
    return {};
  });
}

Status SqliteStore::record_in_flight(const LeaseRef& lease, std::span<const TextHash> sent,
                                     std::span<const TextHash> answered) {
  return database_->write([&](Connection& connection) -> Status {
    std::optional<Held> held = load_held(connection, lease);
    if (!held) {
      return core::lease_lost(lease.job_id, lease.key);
    }
    rules::StoredJob& job = held->row.job;
    std::vector<rules::InFlight> rows = load_in_flight(connection, job.id);
    rules::record_in_flight(job, rows, sent, answered);
    save_in_flight(connection, job.id, rows);
    save_progress(connection, job);
    return {};
  });
}

Result<JobStatus> SqliteStore::settle(const LeaseRef& lease, const Outcome& outcome) {
  auto answer = database_->write([&](Connection& connection) -> Result<JobStatus> {
    std::optional<Held> held = load_held(connection, lease);
    if (!held) {
      return settled_before(connection, lease);
    }
    rules::StoredJob& job = held->row.job;
    const rules::Settled settled = rules::settle(job, held->key.state, outcome, rules(), now());
    save_key(connection, held->key);
    save_job(connection, job);
    std::vector<rules::InFlight> in_flight = load_in_flight(connection, job.id);
    rules::settle_in_flight(in_flight);
    note_settled(connection, held->row, settled, in_flight, now());
    add_tokens(connection, job.provider, settled.tokens, now());
    return job.status;
  });
  if (answer.ok() && *answer == JobStatus::kPending) {
    database_->wake().fire();
  }
  return answer;
}

}  // namespace embedjobs::sqlite
