// Jobs and metrics.
#include <algorithm>

#include "results.hpp"

namespace embedjobs::capi {
namespace {

using Jobs = OwningList<embedjobs_jobs, embedjobs_job>;
using Metrics = Owning<embedjobs_metrics>;

void add_job(Jobs& list, const Job& job) {
  embedjobs_job& item = list.add();
  item.id = job.id;
  item.catalog_id = list.keep(job.key.catalog_id);
  item.spec_name = list.keep(job.key.spec_name);
  item.attempts = job.attempts;
  item.last_error = list.keep(job.last_error);
  item.worker_id = list.keep(job.worker_id);
  item.next_run_at = to_unix_ms(job.next_run_at);
  item.lease_expires_at = to_unix_ms(job.lease_expires_at);
  item.created_at = to_unix_ms(job.created_at);
  item.updated_at = to_unix_ms(job.updated_at);
  item.started_at = to_unix_ms(job.started_at);
  item.completed_at = to_unix_ms(job.completed_at);
  item.embedded_so_far = job.embedded_so_far;
  item.reused_count = job.reused_count;
  item.embedded_count = job.embedded_count;
  item.operation_count = job.operation_count;
  item.generation = job.generation;
  item.prompt_tokens = job.prompt_tokens;
  item.fence = {job.fence.counter, job.fence.nonce};
  item.kind = static_cast<std::int32_t>(job.kind);
  item.status = static_cast<std::int32_t>(job.status);
}

/// kInvalidArgument: a status or kind that is none.
Status read_filter(const embedjobs_job_filter* filter, JobFilter& to) {
  if (filter == nullptr) {
    return {};
  }
  embedjobs_job_filter from{};
  if (Status status = read_struct(filter, from); !status.ok()) {
    return status;
  }
  to.catalog_id = to_optional(from.catalog_id);
  to.spec_name = to_optional(from.spec_name);
  if (from.limit > 0) {
    to.limit = std::min<std::size_t>(from.limit, 1'000'000);
  }
  if (from.by_status != 0) {
    if (from.status < EMBEDJOBS_JOB_PENDING || from.status > EMBEDJOBS_JOB_CANCELLED) {
      return {Code::kInvalidArgument, "embedjobs_job_filter.status is not an embedjobs_job_status"};
    }
    to.status = static_cast<JobStatus>(from.status);
  }
  if (from.by_kind != 0) {
    if (from.kind < EMBEDJOBS_JOB_SPEC_WRITE || from.kind > EMBEDJOBS_JOB_MANUAL_RETRY) {
      return {Code::kInvalidArgument, "embedjobs_job_filter.kind is not an embedjobs_job_kind"};
    }
    to.kind = static_cast<JobKind>(from.kind);
  }
  return {};
}

void fill_metrics(Metrics& view, const MetricsSnapshot& from) {
  view.prometheus = view.keep(render_prometheus(from));
  view.prometheus_size = view.texts.back().size();
  view.jobs_claimed = from.worker.jobs_claimed;
  view.jobs_succeeded = from.worker.jobs_succeeded;
  view.jobs_retried = from.worker.jobs_retried;
  view.jobs_failed = from.worker.jobs_failed;
  view.jobs_released = from.worker.jobs_released;
  view.leases_renewed = from.worker.leases_renewed;
  view.leases_lost = from.worker.leases_lost;
  view.operations_reused = from.worker.operations_reused;
  view.operations_embedded = from.worker.operations_embedded;
  view.provider_calls = from.worker.provider_calls;
  view.provider_errors = from.worker.provider_errors;
  view.provider_texts = from.worker.provider_texts;
  view.provider_tokens = from.worker.provider_tokens;
  view.chunks_persisted = from.worker.chunks_persisted;
  view.persist_errors = from.worker.persist_errors;
  view.running = from.worker.running;
  view.calls_in_flight = from.worker.calls_in_flight;
  view.batch_size = from.worker.batch_size;
  const StoreCounts jobs = from.jobs.value_or(StoreCounts{-1, -1, -1, -1, -1});
  view.store_pending = jobs.pending;
  view.store_running = jobs.running;
  view.store_succeeded = jobs.succeeded;
  view.store_failed = jobs.failed;
  view.store_cancelled = jobs.cancelled;
}

}  // namespace
}  // namespace embedjobs::capi

using namespace embedjobs;  // NOLINT(google-build-using-namespace)
using capi::FromCallback;

extern "C" {

std::int32_t embedjobs_engine_jobs(embedjobs_engine* engine, const embedjobs_job_filter* filter, embedjobs_jobs** out,
                                   embedjobs_error** error) {
  const auto list_jobs = [&](Engine& core) -> Result<std::vector<Job>> {
    JobFilter wanted;
    const Status status = capi::read_filter(filter, wanted);
    return status.ok() ? core.jobs(wanted) : status;
  };
  return capi::list_call<embedjobs_jobs, capi::Jobs>(engine, FromCallback::kAllowed, __func__, out, error, list_jobs,
                                                     capi::add_job);
}

void embedjobs_jobs_destroy(embedjobs_jobs* jobs) {
  delete static_cast<capi::Jobs*>(jobs);
}

std::int32_t embedjobs_engine_metrics(embedjobs_engine* engine, embedjobs_metrics** out, embedjobs_error** error) {
  const auto read = [&](Engine& core, capi::Metrics& view) -> Status {
    const auto metrics = core.metrics();
    if (metrics.ok()) {
      capi::fill_metrics(view, *metrics);
    }
    return metrics.status();
  };
  return capi::result_call<embedjobs_metrics, capi::Metrics>(engine, FromCallback::kAllowed, __func__, out, error,
                                                             read);
}

void embedjobs_metrics_destroy(embedjobs_metrics* metrics) {
  delete static_cast<capi::Metrics*>(metrics);
}

}  // extern "C"
