#include "postgres/enqueue.hpp"

#include "postgres/job_records.hpp"

namespace embedjobs::postgres {
namespace {

constexpr const char* kRaiseEnqueueCounter = "SELECT nextval('@enqueue_counter')";

}  // namespace

void enqueue_for_switch(Connection& connection, KeyRow& key, const SpecKey& name) {
  connection.run_later(kRaiseEnqueueCounter);
  rules::raise_generation(key.state, JobKind::kReconciler, 0);
  std::optional<JobRow> open = lock_open_job(connection, key);
  const bool had_in_flight = open && may_be_in_flight(open->job);
  if (open && open->job.status == JobStatus::kRunning) {
    rules::revoke(open->job, key.state, connection.now());
  } else if (open) {
    rules::enqueue_open(open->job, key.state, open->job.kind, connection.now());
  }
  save_keys(connection, {&key, 1});
  if (!open) {
    JobRow row{.job = rules::new_job(name, key.state, JobKind::kReconciler, connection.now()),
               .key_id = key.id,
               .catalog_id = key.catalog_id};
    insert_job(connection, row);
    return;
  }
  save_jobs(connection, {&*open, 1});
  if (had_in_flight) {
    clear_in_flight(connection, open->job.id);
  }
}

}  // namespace embedjobs::postgres
