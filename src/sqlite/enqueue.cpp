#include "sqlite/enqueue.hpp"

namespace embedjobs::sqlite {

EnqueueResult enqueue_generation(Connection& connection, KeyRow& key, const SpecKey& name, JobKind kind, WallTime now) {
  const std::uint64_t epoch = kind == JobKind::kManualRetry ? raise_epoch(connection) : 0;
  core::raise_generation(key.state, kind, epoch);
  save_key(connection, key);
  raise_enqueue_counter(connection);
  if (std::optional<JobRow> open = find_open_job(connection, key)) {
    core::enqueue_open(open->job, key.state, kind, now);
    save_job(connection, open->job);
    if (open->job.status == JobStatus::kPending) {
      clear_in_flight(connection, open->job.id);
    }
    return {.job_id = open->job.id, .created = false, .generation = key.state.generation};
  }
  JobRow row{.job = core::new_job(name, key.state, kind, now), .key_id = key.id, .catalog_id = key.catalog_id};
  insert_job(connection, row);
  return {.job_id = row.job.id, .created = true, .generation = key.state.generation};
}

void enqueue_and_revoke(Connection& connection, KeyRow& key, const SpecKey& name, const StoreOptions& rules, WallTime now) {
  enqueue_generation(connection, key, name, JobKind::kReconciler, now);
  std::optional<JobRow> open = find_open_job(connection, key);
  if (!open || open->job.status != JobStatus::kRunning) {
    return;
  }
  // The generation was raised, so that this starts over and counts no crash.
  std::vector<core::InFlight> in_flight;
  const core::Settled settled = core::expire(open->job, key.state, in_flight, rules, now);
  save_key(connection, key);
  save_job(connection, open->job);
  note_settled(connection, *open, settled, nullptr, now);
}

void cancel_key(Connection& connection, KeyRow& key, WallTime now) {
  std::optional<JobRow> open = find_open_job(connection, key);
  core::cancel(open ? &open->job : nullptr, key.state, now);
  save_key(connection, key);
  if (open) {
    save_job(connection, open->job);
    clear_in_flight(connection, open->job.id);
  }
  drop_failure(connection, key.id);
}

}  // namespace embedjobs::sqlite
