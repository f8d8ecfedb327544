// Who works, and on what.
#include <fmt/format.h>

#include "commands.hpp"
#include "json.hpp"
#include "text.hpp"

namespace embedjobs::command {
namespace {

std::string name_of(const Job& job) {
  return job.key.catalog_id + "/" + job.key.spec_name;
}

/// A line a worker; one a job that it holds, where it holds any.
void print_json(const WorkerStatus& status) {
  const WorkerInfo& worker = status.worker;
  print_line(JsonObject()
                 .text("worker_id", worker.worker_id)
                 .text_or_null("host", worker.host)
                 .integer("process_id", worker.process_id)
                 .text_or_null("version", worker.version)
                 .integer("slots", worker.slots)
                 .text_or_null("provider", worker.provider)
                 .text_or_null("space_id", worker.space_id)
                 .boolean("live", is_live(worker))
                 .time("started_at", worker.started_at)
                 .time("last_seen_at", worker.last_seen_at)
                 .integer("running_jobs", static_cast<std::int64_t>(status.jobs.size()))
                 .str());
  for (const Job& job : status.jobs) {
    print_line(JsonObject()
                   .text("worker_id", worker.worker_id)
                   .integer("job_id", job.id)
                   .text("catalog_id", job.key.catalog_id)
                   .text("spec_name", job.key.spec_name)
                   .time("job_started_at", job.started_at)
                   .time("lease_expires_at", job.lease_expires_at)
                   .str());
  }
}

void add_rows(const WorkerStatus& status, Table& table) {
  const WorkerInfo& worker = status.worker;
  const bool heard_of = worker.last_seen_at != WallTime{};
  const std::string seen =
      !heard_of ? "never" : format_rfc3339(worker.last_seen_at) + (is_live(worker) ? "" : " (silent)");
  table.add({worker.worker_id, worker.host, heard_of ? std::to_string(worker.process_id) : "", worker.version,
             fmt::format("{}/{}", status.jobs.size(), heard_of ? std::to_string(worker.slots) : "?"),
             heard_of ? format_rfc3339(worker.started_at) : "", seen, worker.space_id});
  for (const Job& job : status.jobs) {
    table.add({fmt::format("  job {}", job.id), name_of(job), "", "", "", format_rfc3339(job.started_at),
               "lease until " + format_rfc3339(job.lease_expires_at), ""});
  }
}

int run_workers(const Session& session) {
  const Result<std::unique_ptr<Engine>> engine = open_for_reading(session);
  if (!engine.ok()) {
    return fail(engine.status());
  }
  const Result<std::vector<WorkerStatus>> fleet = (*engine)->workers();
  if (!fleet.ok()) {
    return fail(fleet.status());
  }
  Table table({"WORKER", "HOST", "PID", "VERSION", "JOBS", "STARTED", "LAST SEEN", "SPACE"});
  for (const WorkerStatus& status : *fleet) {
    if (session.json) {
      print_json(status);
    } else {
      add_rows(status, table);
    }
  }
  if (!session.json) {
    print(table.empty() ? "no workers\n" : table.str());
  }
  return kSuccess;
}

}  // namespace

void add_fleet(CLI::App& app, Session& session) {
  CLI::App* workers = app.add_subcommand("workers", "Show who works, and which jobs each holds");
  workers->footer(
      "A worker is heard of every third of a lease, and gone when it stops; one that died is shown as silent for a "
      "day. With --json one "
      "object a worker, and one for each job that it holds.\nExample:\n  embedjobs workers --json | jq -r "
      "'select(.live) | .host'");
  workers->callback([&session] { session.action = [&session] { return run_workers(session); }; });
}

}  // namespace embedjobs::command
