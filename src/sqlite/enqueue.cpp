#include "sqlite/enqueue.hpp"

namespace embedjobs::sqlite {

namespace {

EnqueueResult open_new_job(Connection& connection, const KeyRow& key, const SpecKey& name, JobKind kind, WallTime now) {
  JobRow row{.job = rules::new_job(name, key.state, kind, now), .key_id = key.id, .catalog_id = key.catalog_id};
  insert_job(connection, row);
  return {.job_id = row.job.id, .created = true, .generation = key.state.generation};
}

}  // namespace

EnqueueResult enqueue_generation(Connection& connection, KeyRow& key, const SpecKey& name, JobKind kind, WallTime now) {
  raise_enqueue_counter(connection);
  rules::raise_generation(key.state, kind, kind == JobKind::kManualRetry ? raise_epoch(connection) : 0);
  save_key(connection, key);
  std::optional<JobRow> open = find_open_job(connection, key);
  if (!open) {
    return open_new_job(connection, key, name, kind, now);
  }
  rules::enqueue_open(open->job, key.state, kind, now);
  save_job(connection, open->job);
  if (open->job.status == JobStatus::kPending) {
    clear_in_flight(connection, open->job.id);
  }
  return {.job_id = open->job.id, .created = false, .generation = key.state.generation};
}

void enqueue_for_switch(Connection& connection, KeyRow& key, const SpecKey& name, WallTime now) {
  raise_enqueue_counter(connection);
  rules::raise_generation(key.state, JobKind::kReconciler, 0);
  std::optional<JobRow> open = find_open_job(connection, key);
  if (open && open->job.status == JobStatus::kRunning) {
    rules::revoke(open->job, key.state, now);
  } else if (open) {
    rules::enqueue_open(open->job, key.state, open->job.kind, now);
  }
  save_key(connection, key);
  if (!open) {
    open_new_job(connection, key, name, JobKind::kReconciler, now);
    return;
  }
  save_job(connection, open->job);
  clear_in_flight(connection, open->job.id);
}

void cancel_key(Connection& connection, KeyRow& key, WallTime now) {
  std::optional<JobRow> open = find_open_job(connection, key);
  rules::cancel(open ? &open->job : nullptr, key.state, now);
  save_key(connection, key);
  if (open) {
    save_job(connection, open->job);
    clear_in_flight(connection, open->job.id);
  }
  drop_failure(connection, key.id);
}

}  // namespace embedjobs::sqlite
