// The worker's passes, leases and times. What it says to its provider, and hears from it, is in worker_provider.cpp.
#include "core/worker/worker_machine.hpp"
#include "embedjobs/sys/store_rules.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace embedjobs::core {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::uint64_t kClaimsPerAgeTurn = 4;  // every fourth claim goes by age, so that no priority starves
constexpr int kClaimTriesAfterStop = 3;
constexpr int kSettleTriesAfterLease = 10;

Duration doubling(Duration first, int times, Duration most) {
  return std::min<Duration>(first * (1 << std::min(times, 16)), most);
}

template <typename... Fs>
struct Overloaded : Fs... {
  using Fs::operator()...;
};

/// An outcome is a fenced write: it does no harm after the lease, and may still release the job. It is tried for a
/// while.
bool still_settling(const Pass& pass) {
  return pass.phase() == PassPhase::kSettle && pass.settle_tries() < kSettleTriesAfterLease;
}

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

std::size_t WorkerMachine::calls_waiting() const {
  std::size_t waiting = 0;
  for (const auto& [id, slot] : slots_) {
    waiting += slot.pass.batches_waiting();
  }
  return waiting;
}

bool WorkerMachine::long_pause(MonoTime now) const {
  return gate_.pause_length(now) > settings_.lease_duration;
}

// --- start and stop

void WorkerMachine::start(MonoTime now, WorkerActions& out) {
  if (state_ != WorkerState::kNew) {
    return;
  }
  state_ = WorkerState::kOpening;
  claim_at_ = now;
  register_at_ = now;
  out.push_back(SpaceAction{});
  register_worker(now, out);
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
    send_note(now, out);
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
    send_note(now, out);
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
  want_peek_ = want_peek_ || free_slots() == 0;
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

void WorkerMachine::maybe_stopped(WorkerActions& out) {
  if (state_ != WorkerState::kStopping || !slots_.empty() || claim_out_ || unanswered_claim_ || register_out_) {
    return;
  }
  if (std::exchange(registered_, false)) {
    register_out_ = true;
    out.push_back(UnregisterAction{});
    return;
  }
  state_ = WorkerState::kStopped;
  out.push_back(StoppedAction{});
}

// --- the fleet view

void WorkerMachine::register_worker(MonoTime now, WorkerActions& out) {
  if ((state_ != WorkerState::kOpening && state_ != WorkerState::kRunning) || register_out_ || now < register_at_) {
    return;
  }
  register_at_ = now + tick();
  register_out_ = true;
  out.push_back(RegisterAction{.provider = provider_, .space_id = space_.model.empty() ? std::string() : space_.id()});
}

/// A database that refuses this (no right to the table, no room) may still do the work: it is said once, and tried at
/// every tick.
void WorkerMachine::on_registered(const Status& answer, MonoTime now, WorkerActions& out) {
  register_out_ = false;
  registered_ = answer.ok();
  if (!answer.ok() && logged_register_error_ != answer.message()) {
    out.push_back(
        LogAction{LogLevel::kWarning, "this worker is missing in the list of workers, and works: " + answer.message()});
  }
  logged_register_error_ = answer.message();
  advance(now, out);
}

/// Tried once: an entry that stays is forgotten after a day.
void WorkerMachine::on_unregistered(const Status& answer, WorkerActions& out) {
  register_out_ = false;
  if (!answer.ok()) {
    out.push_back(
        LogAction{LogLevel::kDebug, "this worker stays in the list of workers for a day: " + answer.message()});
  }
  maybe_stopped(out);
}

// --- claims

void WorkerMachine::claim(MonoTime now, WorkerActions& out) {
  if (claim_out_ || now < claim_not_before_) {
    return;
  }
  if (unanswered_claim_) {  // whether it took effect is open: ask the same again
    claim_out_ = true;
    out.push_back(ClaimAction{*unanswered_claim_});
    return;
  }
  if (now >= claim_at_) {
    want_claim_ = true;
  }
  const std::size_t slots = free_slots();
  if (state_ != WorkerState::kRunning || !want_claim_ || slots == 0 || long_pause(now)) {
    return;
  }
  want_claim_ = false;
  claim_out_ = true;
  ClaimRequest request{
      .worker_id = settings_.options.worker_id, .max_jobs = slots, .space_id = space_.id(), .provider = provider_};
  for (std::size_t i = 0; i < slots; ++i) {
    request.by_age += (claims_ + i) % kClaimsPerAgeTurn == kClaimsPerAgeTurn - 1 ? 1U : 0U;
  }
  unanswered_claim_ = request;
  out.push_back(ClaimAction{std::move(request)});
}

void WorkerMachine::claim_sent(std::uint64_t nonce, MonoTime now) {
  if (unanswered_claim_ && unanswered_claim_->nonce == 0) {
    unanswered_claim_->nonce = nonce;
    claim_sent_at_ = now;
  }
}

void WorkerMachine::on_claimed(Result<ClaimResult> answer, MonoTime now, WorkerActions& out) {
  claim_out_ = false;
  if (!answer.ok()) {
    claim_not_before_ = now + doubling(milliseconds(100), claim_errors_++, seconds(5));
    want_claim_ = true;
    const bool stopping = state_ == WorkerState::kStopping;
    // A claim that may have taken effect is asked for again: as long as its leases would be worth something, or to hand
    // them back.
    const bool too_old = now - claim_sent_at_ > settings_.lease_duration / 2;
    if (stopping ? ++claims_after_stop_ >= kClaimTriesAfterStop : too_old) {
      unanswered_claim_.reset();
    }
    out.push_back(LogAction{LogLevel::kWarning, "claim failed: " + answer.status().message()});
    if (answer.status().code() == Code::kUnusable) {
      out.push_back(EventAction{{.kind = EventKind::kStoreUnusable, .message = answer.status().message()}});
    }
    advance(now, out);
    return;
  }
  claim_errors_ = 0;
  unanswered_claim_.reset();
  if (answer->expired > 0) {
    metrics_.leases_expired += answer->expired;
    out.push_back(EventAction{{.kind = EventKind::kLeaseExpired, .count = static_cast<std::int64_t>(answer->expired)}});
  }
  if (answer->other_space > 0 && answer->other_space_example != logged_other_space_) {
    logged_other_space_ = answer->other_space_example;
    out.push_back(LogAction{LogLevel::kWarning,
                            fmt::format("{} due jobs are left to another worker: {}, this worker embeds into {}",
                                        answer->other_space, answer->other_space_example, space_.id())});
  }
  claims_ += answer->leases.size();
  if (answer->leases.empty()) {
    ++empty_claims_;
    claim_at_ = now + settings_.options.fallback_poll;
    want_peek_ = true;  // learn when the next job is due
  } else {
    empty_claims_ = 0;
    want_claim_ = true;
  }
  begin_passes(std::move(answer->leases), now, out);
  advance(now, out);
}

void WorkerMachine::begin_passes(std::vector<Lease> leases, MonoTime now, WorkerActions& out) {
  const PassSettings settings{.space = space_,
                              .splitter_version = settings_.splitter_version,
                              .host_compute = settings_.host_compute,
                              .input_cap = settings_.limits.input_bytes,
                              .safety_bound = settings_.options.safety_bound};
  for (Lease& lease : leases) {
    const PassId id = ++last_pass_;
    const auto slot =
        slots_.emplace(id, Slot{Pass(std::move(lease), settings), claim_sent_at_ + settings_.lease_duration, now})
            .first;
    PassActions actions;
    if (state_ != WorkerState::kRunning) {
      slot->second.pass.on_stop(now, actions);
    } else if (now >= slot->second.valid_until) {
      slot->second.pass.release("the claim's answer took longer than a lease", now, actions);
    } else {
      slot->second.pass.start(now, actions);
    }
    renew_at_ = std::min(renew_at_, claim_sent_at_ + tick());
    step(id, std::move(actions), out);
  }
}

// --- polling

void WorkerMachine::on_peeked(const Result<Peek>& answer, MonoTime now, WorkerActions& out) {
  peek_out_ = false;
  const Duration interval =
      settings_.poll_interval > Duration(0) ? settings_.poll_interval : settings_.options.fallback_poll;
  peek_at_ = now + interval;
  if (answer.ok()) {
    if (enqueue_counter_ && *enqueue_counter_ != answer->enqueue_counter) {
      want_claim_ = true;
      empty_claims_ = 0;
    }
    enqueue_counter_ = answer->enqueue_counter;
    if (answer->next_due) {
      // Due, and yet a look found nothing: somebody else is at it. Look again later and later.
      const Duration least = doubling(milliseconds(10), empty_claims_, seconds(1));
      claim_at_ = std::min(claim_at_, now + std::max(*answer->next_due, least));
    }
    if (answer->urgent_waiting) {
      yield_to_urgent(now, out);
    }
  } else {
    claim_at_ = std::min<MonoTime>(claim_at_, now + seconds(1));
  }
  advance(now, out);
}

void WorkerMachine::yield_to_urgent(MonoTime now, WorkerActions& out) {
  if (free_slots() > 0) {
    return;
  }
  auto chosen = slots_.end();
  for (auto slot = slots_.begin(); slot != slots_.end(); ++slot) {
    const bool candidate = slot->second.pass.job().priority > 0 && slot->second.pass.phase() == PassPhase::kEmbed;
    if (candidate && (chosen == slots_.end() || slot->second.started < chosen->second.started)) {
      chosen = slot;
    }
  }
  if (chosen != slots_.end()) {
    PassActions actions;
    chosen->second.pass.on_yield(now, actions);
    step(chosen->first, std::move(actions), out);
  }
}

// --- heartbeat

void WorkerMachine::renew(MonoTime now, WorkerActions& out) {
  if (renew_out_ || now < renew_at_ || slots_.empty()) {
    return;
  }
  RenewAction action{.leases = {}, .passes = {}, .time_limit = tick() / 2, .sent_at = now};
  for (const auto& [id, slot] : slots_) {
    if (slot.pass.phase() != PassPhase::kEnded) {
      action.leases.push_back(slot.pass.lease());
      action.passes.push_back(id);
    }
  }
  renew_at_ = now + tick();
  if (!action.leases.empty()) {
    renew_out_ = true;
    out.push_back(std::move(action));
  }
}

void WorkerMachine::on_renewed(const RenewAction& sent, const Result<std::vector<bool>>& answer, MonoTime now,
                               WorkerActions& out) {
  renew_out_ = false;
  if (!answer.ok() || answer->size() != sent.passes.size()) {
    ++metrics_.renewals_failed;
    out.push_back(
        LogAction{LogLevel::kWarning, "renewal failed, trying again at the next tick: " + answer.status().message()});
    advance(now, out);
    return;
  }
  for (std::size_t i = 0; i < sent.passes.size(); ++i) {
    const auto slot = slots_.find(sent.passes[i]);
    if (slot == slots_.end()) {
      continue;
    }
    PassActions actions;
    if ((*answer)[i]) {
      slot->second.valid_until = std::max(slot->second.valid_until, sent.sent_at + settings_.lease_duration);
      const Job& job = slot->second.pass.job();
      actions.push_back(
          EmitAction{{.kind = EventKind::kLeaseRenewed, .key = job.key, .job_id = job.id, .attempt = job.attempts}});
    } else if (!slot->second.pass.settling()) {  // the answer to a settle says more than a renewal that came after it
      slot->second.pass.on_lease_lost(now, actions);
    }
    step(slot->first, std::move(actions), out);
  }
  advance(now, out);
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

void WorkerMachine::drop_ended() {
  const std::size_t before = slots_.size();
  std::erase_if(slots_, [](const auto& entry) { return entry.second.pass.ended(); });
  if (slots_.size() != before) {
    want_claim_ = true;
  }
}

// --- time

void WorkerMachine::on_time(MonoTime now, WorkerActions& out) {
  if (state_ == WorkerState::kOpening && open_at_ && now >= *open_at_) {
    open_at_.reset();
    out.push_back(SpaceAction{});
  }
  for (auto& [id, slot] : slots_) {
    PassActions actions;
    if (now >= slot.valid_until) {
      slot.pass.on_lease_expired(now, actions);  // we fence ourselves, before anybody else can hold the lease
      if (!still_settling(slot.pass)) {
        slot.pass.on_lease_lost(now, actions);
      }
    }
    if (const auto at = slot.pass.wake_at(); at && now >= *at) {
      slot.pass.on_time(now, actions);
    }
    step(id, std::move(actions), out);
  }
  advance(now, out);
}

// Whatever happened, this is what can be started now.
void WorkerMachine::advance(MonoTime now, WorkerActions& out) {
  drop_ended();
  if (state_ == WorkerState::kRunning) {
    note_provider(now, out);
  }
  send_note(now, out);
  register_worker(now, out);
  if (state_ == WorkerState::kRunning || state_ == WorkerState::kStopping) {
    renew(now, out);
    claim(now, out);
  }
  if (state_ == WorkerState::kRunning) {
    release_while_paused(now, out);
    send_calls(now, out);
    const bool polls = settings_.poll_interval > Duration(0) && now >= peek_at_;
    if (!peek_out_ && !claim_out_ && (want_peek_ || polls)) {
      want_peek_ = false;
      peek_out_ = true;
      out.push_back(PeekAction{space_.id()});
    }
  }
  drop_ended();
  maybe_stopped(out);
}

std::optional<MonoTime> WorkerMachine::wake_at(MonoTime now) const {
  std::optional<MonoTime> at;
  const auto earlier = [&at](MonoTime other) { at = at ? std::min(*at, other) : other; };
  if (state_ == WorkerState::kOpening && open_at_) {
    earlier(*open_at_);
  }
  if (const auto tell = memory_.wake_at(); tell && !provider_.empty() && state_ != WorkerState::kStopped) {
    earlier(*tell);
  }
  const bool running = state_ == WorkerState::kRunning;
  if ((running || state_ == WorkerState::kOpening) && !register_out_) {
    earlier(register_at_);
  }
  if (running || state_ == WorkerState::kStopping) {
    for (const auto& [id, slot] : slots_) {
      if (const auto pass_at = slot.pass.wake_at()) {
        earlier(*pass_at);
      }
      if (slot.pass.phase() != PassPhase::kEnded) {
        if (!still_settling(slot.pass)) {
          earlier(slot.valid_until);
        }
        if (!renew_out_) {
          earlier(renew_at_);
        }
      }
    }
    if (!claim_out_ && unanswered_claim_) {
      earlier(claim_not_before_);
    }
  }
  if (running) {
    if (!claim_out_ && free_slots() > 0) {
      const MonoTime unpaused = long_pause(now) ? gate_.paused_until() : now;
      earlier(std::max({want_claim_ ? now : claim_at_, claim_not_before_, unpaused}));
    }
    if (!peek_out_ && !claim_out_ && settings_.poll_interval > Duration(0)) {
      earlier(peek_at_);
    }
    if (gate_.ready_at() > now) {
      earlier(gate_.ready_at());
    }
    if (const auto look = budget_ask_at(now)) {
      earlier(*look);
    }
  }
  return at;
}

}  // namespace embedjobs::core
