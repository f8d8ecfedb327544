// Who works, and what is remembered of those who are asked for vectors.
#include "embedjobs/fleet.hpp"
#include "results.hpp"

namespace embedjobs::capi {
namespace {

using Providers = OwningList<embedjobs_providers, embedjobs_provider>;
using Workers = OwningList<embedjobs_workers, embedjobs_worker>;

void add_provider(Providers& list, const ProviderState& state) {
  embedjobs_provider& item = list.add();
  item.provider = list.keep(state.provider);
  item.space_id = list.keep(state.space_id);
  item.pause_reason = list.keep(state.pause_reason);
  item.batch_texts = static_cast<std::int64_t>(state.batch_texts);
  item.batch_bytes = static_cast<std::int64_t>(state.batch_bytes);
  item.paused_until = to_unix_ms(state.paused_until);
  item.tokens_total = state.tokens_total;
  item.tokens_today = state.tokens_today;
  item.updated_at = to_unix_ms(state.updated_at);
  item.read_at = to_unix_ms(state.read_at);
}

void add_worker(Workers& list, const WorkerStatus& status) {
  const WorkerInfo& worker = status.worker;
  embedjobs_worker& item = list.add();
  item.worker_id = list.keep(worker.worker_id);
  item.host = list.keep(worker.host);
  item.version = list.keep(worker.version);
  item.provider = list.keep(worker.provider);
  item.space_id = list.keep(worker.space_id);
  item.process_id = worker.process_id;
  item.slots = worker.slots;
  item.lease_duration_ms = std::chrono::floor<std::chrono::milliseconds>(worker.lease_duration).count();
  item.started_at = to_unix_ms(worker.started_at);
  item.last_seen_at = to_unix_ms(worker.last_seen_at);
  item.read_at = to_unix_ms(worker.read_at);
  item.running_jobs = static_cast<std::int64_t>(status.jobs.size());
  item.live = is_live(worker) ? 1 : 0;
}

}  // namespace
}  // namespace embedjobs::capi

using namespace embedjobs;  // NOLINT(google-build-using-namespace)
using capi::FromCallback;

extern "C" {

std::int32_t embedjobs_engine_providers(embedjobs_engine* engine, embedjobs_providers** out, embedjobs_error** error) {
  return capi::list_call<embedjobs_providers, capi::Providers>(
      engine, FromCallback::kRefused, __func__, out, error, [](Engine& core) { return core.providers(); },
      capi::add_provider);
}

void embedjobs_providers_destroy(embedjobs_providers* providers) {
  delete static_cast<capi::Providers*>(providers);
}

std::int32_t embedjobs_engine_workers(embedjobs_engine* engine, embedjobs_workers** out, embedjobs_error** error) {
  return capi::list_call<embedjobs_workers, capi::Workers>(
      engine, FromCallback::kRefused, __func__, out, error, [](Engine& core) { return core.workers(); },
      capi::add_worker);
}

void embedjobs_workers_destroy(embedjobs_workers* workers) {
  delete static_cast<capi::Workers*>(workers);
}

}  // extern "C"
