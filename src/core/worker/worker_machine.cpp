// How a worker starts and stops, and what it does with the actions and events of its passes.
#include "core/worker/worker_machine.hpp"

#include <algorithm>
#include <utility>

#include "embedjobs/sys/store_rules.hpp"

namespace embedjobs::core {
namespace {

std::size_t call_limit(const WorkerSettings& settings) {
  const auto wanted = static_cast<std::size_t>(settings.options.provider_concurrency);
  return wanted == 0 ? settings.limits.concurrent_calls : std::min(wanted, settings.limits.concurrent_calls);
}

GateLimits gate_limits(const WorkerSettings& settings) {
  return {.calls = call_limit(settings),
          .requests_per_minute = static_cast<double>(settings.options.requests_per_minute),
          .tokens_per_minute = static_cast<double>(settings.options.tokens_per_minute)};
}

std::size_t lower(long long wanted, std::size_t limit) {
  return limit == 0 ? static_cast<std::size_t>(wanted) : std::min(static_cast<std::size_t>(wanted), limit);
}

}  // namespace

WorkerMachine::WorkerMachine(WorkerSettings settings)
    : settings_(std::move(settings)),
      batch_(lower(settings_.options.batch_size, settings_.limits.batch_texts),
             lower(settings_.options.batch_bytes, settings_.limits.batch_bytes)),
      gate_(gate_limits(settings_)),
      budget_(static_cast<std::uint64_t>(settings_.options.daily_token_budget)),
      provider_(settings_.provider) {}

WorkerMetrics WorkerMachine::metrics() const {
  WorkerMetrics metrics = metrics_;
  metrics.running = static_cast<std::int64_t>(slots_.size());
  metrics.calls_in_flight = static_cast<std::int64_t>(gate_.in_flight());
  metrics.batch_size = static_cast<std::int64_t>(batch_.texts());
  metrics.provider_waiting = wait_ ? 1 : 0;
  return metrics;
}

const Pass* WorkerMachine::pass(PassId id) const {
  const auto slot = slots_.find(id);
  return slot == slots_.end() ? nullptr : &slot->second.pass;
}

std::size_t WorkerMachine::free_slots() const {
  const auto slots = static_cast<std::size_t>(settings_.options.slots);
  return slots_.size() < slots ? slots - slots_.size() : 0;
}

// --- start and stop

void WorkerMachine::start(MonoTime now, WorkerActions& out) {
  if (state_ != WorkerState::kNew) {
    return;
  }
  state_ = WorkerState::kOpening;
  claim_at_ = now;
  register_at_ = now;
  waits_for_work_ = settings_.asks_provider;
  if (waits_for_work_) {
    want_peek_ = true;
  } else {
    open_at_ = now;
  }
  advance(now, out);
}

void WorkerMachine::ask_space(WorkerActions& out) {
  open_at_.reset();
  out.push_back(SpaceAction{});
}

void WorkerMachine::on_space(Result<Space> answer, double jitter, MonoTime now, WorkerActions& out) {
  if (state_ != WorkerState::kOpening) {
    return;
  }
  if (!answer.ok()) {
    const Duration asked = answer.status().retry_after();
    const Duration wait =
        asked > Duration(0) ? std::min(asked, rules::kMaxPause) : rules::backoff(open_errors_, jitter) / 5;
    ++open_errors_;
    open_at_ = now + wait;
    if (logged_open_error_ != answer.status().message()) {  // once, however often it is tried
      logged_open_error_ = answer.status().message();
      out.push_back(LogAction{LogLevel::kWarning, "jobs wait until the embedder is ready: " + logged_open_error_});
    }
    wait_for_provider(*open_at_, answer.status().message(), now, out);
    advance(now, out);
    return;
  }
  space_ = std::move(*answer);
  provider_ = settings_.host_compute ? std::string() : settings_.provider.empty() ? space_.model : settings_.provider;
  if (const Status status = validate_provider(provider_); !status.ok() && !provider_.empty()) {
    out.push_back(LogAction{LogLevel::kWarning, "nothing is remembered of the embedder: " + status.message()});
    provider_.clear();
  }
  if (provider_.empty()) {
    begin_running(now, out);
  } else {
    budget_.asked();
    out.push_back(ProviderAction{provider_});
    advance(now, out);
  }
}

void WorkerMachine::begin_running(MonoTime now, WorkerActions& out) {
  state_ = WorkerState::kRunning;
  if (!logged_open_error_.empty()) {
    out.push_back(LogAction{LogLevel::kInfo, "the embedder is ready"});
  }
  want_claim_ = true;
  peek_at_ = now;
  renew_at_ = now;
  register_at_ = now;  // there is more to say now
  advance(now, out);
}

void WorkerMachine::wake(MonoTime now, WorkerActions& out) {
  want_claim_ = true;
  want_peek_ = want_peek_ || free_slots() == 0 || waits_for_work_;
  empty_claims_ = 0;
  advance(now, out);
}

void WorkerMachine::stop(MonoTime now, WorkerActions& out) {
  if (state_ == WorkerState::kStopping || state_ == WorkerState::kStopped) {
    return;
  }
  state_ = WorkerState::kStopping;
  for (auto& [id, slot] : slots_) {
    PassActions actions;
    slot.pass.on_stop(now, actions);
    step(id, std::move(actions), out);
  }
  advance(now, out);
}

void WorkerMachine::sign_off(WorkerActions& out) {
  if (std::exchange(registered_, false)) {
    register_out_ = true;
    out.push_back(UnregisterAction{});
    return;
  }
  state_ = WorkerState::kStopped;
  out.push_back(StoppedAction{});
}

// --- passes

void WorkerMachine::on_pass(PassId id, MonoTime now, WorkerActions& out,
                            const std::function<void(Pass&, PassActions&)>& deliver) {
  const auto slot = slots_.find(id);
  if (slot != slots_.end()) {
    PassActions actions;
    deliver(slot->second.pass, actions);
    step(id, std::move(actions), out);
  }
  advance(now, out);
}

void WorkerMachine::step(PassId id, PassActions actions, WorkerActions& out) {
  for (PassAction& action : actions) {
    if (const auto* emit = std::get_if<EmitAction>(&action)) {
      note(emit->event);
      out.push_back(EventAction{emit->event});
      continue;
    }
    if (const auto* embed = std::get_if<EmbedAction>(&action)) {
      gate_.call_began();
      ++metrics_.provider_calls;
      metrics_.provider_texts += embed->batch.texts.size();
    }
    out.push_back(PassStep{id, std::move(action)});
  }
}

void WorkerMachine::note(const Event& event) {
  switch (event.kind) {
    case EventKind::kJobClaimed: ++metrics_.jobs_claimed; break;
    case EventKind::kJobSucceeded:
      ++metrics_.jobs_succeeded;
      metrics_.operations_reused += static_cast<std::uint64_t>(event.progress.reused);
      break;
    case EventKind::kJobRetried: ++metrics_.jobs_retried; break;
    case EventKind::kJobFailed: ++metrics_.jobs_failed; break;
    case EventKind::kJobReleased: ++metrics_.jobs_released; break;
    case EventKind::kLeaseLost: ++metrics_.leases_lost; break;
    case EventKind::kLeaseRenewed: ++metrics_.leases_renewed; break;
    case EventKind::kChunkPersisted:
      ++metrics_.chunks_persisted;
      metrics_.operations_embedded += static_cast<std::uint64_t>(event.count);
      break;
    case EventKind::kJobProgress:
    case EventKind::kProviderPaused:
    case EventKind::kProviderResumed:
    case EventKind::kBatchResized:
    case EventKind::kLeaseExpired:
    case EventKind::kStoreUnusable: break;
  }
}

void WorkerMachine::note_write(const Status& answer) {
  const bool failed = !answer.ok() && answer.code() != Code::kLeaseLost && answer.code() != Code::kIncomplete;
  metrics_.persist_errors += failed ? 1U : 0U;
}

void WorkerMachine::call_passes(MonoTime now, WorkerActions& out) {
  for (auto& [id, slot] : slots_) {
    if (const auto at = slot.pass.wake_at(); at && now >= *at) {
      PassActions actions;
      slot.pass.on_time(now, actions);
      step(id, std::move(actions), out);
    }
  }
}

void WorkerMachine::drop_ended() {
  std::erase_if(slots_, [](const auto& entry) { return entry.second.pass.ended(); });
  want_claim_ = true;  // into the free slots
}

}  // namespace embedjobs::core
