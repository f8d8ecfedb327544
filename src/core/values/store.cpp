// What a store does that leaves a function alone.
#include "embedjobs/sys/store.hpp"

#include <algorithm>

namespace embedjobs {
namespace {

Status cannot_tell(std::string_view what) {
  return {Code::kRefused, "this store does not tell " + std::string(what)};
}

}  // namespace

std::vector<Result<EnqueueResult>> Store::enqueue_all(std::span<const SpecKey> keys, JobKind kind) {
  std::vector<Result<EnqueueResult>> answers;
  answers.reserve(keys.size());
  for (std::size_t i = 0; i < keys.size(); ++i) {
    const auto earlier = std::find(keys.begin(), keys.begin() + static_cast<std::ptrdiff_t>(i), keys[i]);
    const auto place = static_cast<std::size_t>(earlier - keys.begin());
    answers.push_back(place < i ? Result<EnqueueResult>(answers[place]) : enqueue(keys[i], kind));
  }
  return answers;
}

std::vector<Status> Store::progress_all(std::span<const ProgressReport> reports) {
  std::vector<Status> answers;
  answers.reserve(reports.size());
  for (const ProgressReport& report : reports) {
    answers.push_back(progress(report.lease, report.progress));
  }
  return answers;
}

std::vector<Result<JobStatus>> Store::settle_all(std::span<const Settlement> settlements) {
  std::vector<Result<JobStatus>> answers;
  answers.reserve(settlements.size());
  for (const Settlement& settlement : settlements) {
    answers.push_back(settle(settlement.lease, settlement.outcome));
  }
  return answers;
}

void Store::set_wake(std::function<void()> /*wake*/) {}

Result<Job> Store::get(JobId /*id*/) {
  return cannot_tell("of single jobs");
}
Result<JobState> Store::job_state(JobId /*id*/) {
  return cannot_tell("the state of jobs");
}
Result<std::vector<Job>> Store::list(const JobFilter& /*filter*/) {
  return cannot_tell("which jobs it has");
}
Result<std::vector<std::optional<Job>>> Store::last_jobs(std::span<const SpecKey> /*keys*/) {
  return cannot_tell("the last jobs of specs");
}
Result<StoreCounts> Store::counts() {
  return cannot_tell("how many jobs it has");
}

Result<std::vector<Failure>> Store::failures(std::optional<std::string> /*catalog_id*/, std::size_t /*limit*/) {
  return cannot_tell("what failed");
}
Result<std::vector<Failure>> Store::failures_of(std::span<const SpecKey> /*keys*/) {
  return cannot_tell("what failed");
}
Status Store::resolve_failure(const SpecKey& /*key*/) {
  return cannot_tell("what failed");
}

Result<std::size_t> Store::purge(Duration /*age*/, std::size_t /*limit*/) {
  return std::size_t{0};
}

Result<ProviderState> Store::provider_state(std::string_view /*provider*/) {
  return cannot_tell("what is known of providers");
}
Status Store::note_provider(std::string_view /*provider*/, const ProviderNote& /*note*/) {
  return {};
}
Result<std::vector<ProviderState>> Store::providers() {
  return cannot_tell("what is known of providers");
}

Status Store::register_worker(const WorkerInfo& /*worker*/) {
  return {};
}
Status Store::unregister_worker(std::string_view /*worker_id*/) {
  return {};
}
Result<std::vector<WorkerInfo>> Store::workers() {
  return cannot_tell("who works");
}
Result<std::size_t> Store::forget_workers(Duration /*age*/) {
  return std::size_t{0};
}

}  // namespace embedjobs
