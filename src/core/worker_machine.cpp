#include "core/worker_machine.hpp"

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

/// An outcome is a fenced write: it does no harm after the lease, and may still hand the job back. It is tried for a while.
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

/// What a call's end says of the provider, whatever it says of the texts.
enum class Heard { kAnswer, kNothing, kPause, kSilence };

Heard heard(Code code, std::size_t texts) {
  switch (code) {
    case Code::kOk:
    case Code::kBatchTooLarge:
    case Code::kInputTooLarge:
    case Code::kInputRejected:
    case Code::kFailed: return Heard::kAnswer;
    case Code::kCancelled: return Heard::kNothing;
    case Code::kPaused: return Heard::kPause;
    case Code::kTimeout: return texts > 1 ? Heard::kNothing : Heard::kSilence;  // of a batch, a smaller one may succeed
    default: return Heard::kSilence;
  }
}

constexpr std::uint64_t kMostTokensACall = 1'000'000'000;  // whatever a provider says

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
  const auto slots = static_cast<std::size_t>(settings_.options.workers);
  return slots_.size() < slots ? slots - slots_.size() : 0;
}

std::size_t WorkerMachine::calls_waiting() const {
  std::size_t waiting = 0;
  for (const auto& [id, slot] : slots_) {
    waiting += slot.pass.chunks_waiting();
  }
  return waiting;
}

bool WorkerMachine::long_pause(MonoTime now) const {
  return gate_.pause_length(now) > settings_.lease_duration;
}

// --- start and stop
// -----------------------------------------------------------------------------------------------------------------------

void WorkerMachine::start(MonoTime now, WorkerActions& out) {
  if (state_ != WorkerState::kNew) {
    return;
  }
  state_ = WorkerState::kOpening;
  look_at_ = now;
  sign_at_ = now;
  out.push_back(SpaceAction{});
  sign_on(now, out);
}

void WorkerMachine::on_space(Result<Space> answer, double jitter, MonoTime now, WorkerActions& out) {
  if (state_ != WorkerState::kOpening) {
    return;
  }
  if (!answer.ok()) {
    const Duration asked = answer.status().retry_after();
    const Duration wait = asked > Duration(0) ? std::min(asked, kMaxPause) : backoff(open_errors_, jitter) / 5;
    ++open_errors_;
    open_at_ = now + wait;
    if (told_open_error_ != answer.status().message()) {  // once, however often it is tried
      told_open_error_ = answer.status().message();
      out.push_back(LogAction{LogLevel::kWarning, "jobs wait until the embedder is ready: " + told_open_error_});
    }
    wait_for_provider(*open_at_, answer.status().message(), now, out);
    tell_store(now, out);
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
    tell_store(now, out);
  }
}

void WorkerMachine::on_provider(const Result<ProviderState>& answer, MonoTime now, WorkerActions& out) {
  budget_.told(answer.ok() ? &*answer : nullptr, now);
  if (!answer.ok()) {
    out.push_back(LogAction{LogLevel::kWarning, "what is known of the provider can't be read: " + answer.status().message()});
  }
  if (state_ != WorkerState::kOpening) {
    advance(now, out);
    return;
  }
  if (answer.ok()) {
    batch_.start_at(answer->batch_texts, answer->batch_bytes);
    if (!answer->pause_reason.empty()) {
      memory_.pause_is_known();
      if (open_errors_ == 0) {  // else it has just answered us
        gate_.probe();
      }
    }
  }
  begin_running(now, out);
}

void WorkerMachine::on_noted(const Status& answer, MonoTime now, WorkerActions& out) {
  memory_.told(answer.ok(), now);
  if (!answer.ok()) {
    out.push_back(LogAction{LogLevel::kWarning, "what was learned of the provider can't be stored: " + answer.message()});
  }
  advance(now, out);
}

void WorkerMachine::begin_running(MonoTime now, WorkerActions& out) {
  state_ = WorkerState::kRunning;
  if (!told_open_error_.empty()) {
    out.push_back(LogAction{LogLevel::kInfo, "the embedder is ready"});
  }
  want_look_ = true;
  peek_at_ = now;
  renew_at_ = now;
  sign_at_ = now;  // there is more to say now
  advance(now, out);
}

void WorkerMachine::wake(MonoTime now, WorkerActions& out) {
  want_look_ = true;
  want_peek_ = want_peek_ || free_slots() == 0;
  empty_looks_ = 0;
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
  if (state_ != WorkerState::kStopping || !slots_.empty() || claim_out_ || unanswered_claim_ || sign_out_) {
    return;
  }
  if (std::exchange(signed_on_, false)) {
    sign_out_ = true;
    out.push_back(UnregisterAction{});
    return;
  }
  state_ = WorkerState::kStopped;
  out.push_back(StoppedAction{});
}

// --- the fleet view
// -----------------------------------------------------------------------------------------------------------------------

void WorkerMachine::sign_on(MonoTime now, WorkerActions& out) {
  if ((state_ != WorkerState::kOpening && state_ != WorkerState::kRunning) || sign_out_ || now < sign_at_) {
    return;
  }
  sign_at_ = now + tick();
  sign_out_ = true;
  out.push_back(RegisterAction{.provider = provider_, .space_id = space_.model.empty() ? std::string() : space_.id()});
}

/// A database that refuses this (no right to the table, no room) may still do the work: it is said once, and tried at every tick.
void WorkerMachine::on_registered(const Status& answer, MonoTime now, WorkerActions& out) {
  sign_out_ = false;
  signed_on_ = answer.ok();
  if (!answer.ok() && told_sign_error_ != answer.message()) {
    out.push_back(LogAction{LogLevel::kWarning, "this worker is missing in the list of workers, and works: " + answer.message()});
  }
  told_sign_error_ = answer.message();
  advance(now, out);
}

/// Tried once: an entry that stays is forgotten after a day.
void WorkerMachine::on_unregistered(const Status& answer, WorkerActions& out) {
  sign_out_ = false;
  if (!answer.ok()) {
    out.push_back(LogAction{LogLevel::kDebug, "this worker stays in the list of workers for a day: " + answer.message()});
  }
  maybe_stopped(out);
}

// --- claims
// -------------------------------------------------------------------------------------------------------------------------------

void WorkerMachine::look(MonoTime now, WorkerActions& out) {
  if (claim_out_ || now < claim_not_before_) {
    return;
  }
  if (unanswered_claim_) {  // whether it took effect is open: ask the same again
    claim_out_ = true;
    out.push_back(ClaimAction{*unanswered_claim_});
    return;
  }
  if (now >= look_at_) {
    want_look_ = true;
  }
  const std::size_t slots = free_slots();
  if (state_ != WorkerState::kRunning || !want_look_ || slots == 0 || long_pause(now)) {
    return;
  }
  want_look_ = false;
  claim_out_ = true;
  ClaimRequest request{.worker_id = settings_.options.worker_id, .max_jobs = slots, .space_id = space_.id(), .provider = provider_};
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
    want_look_ = true;
    const bool stopping = state_ == WorkerState::kStopping;
    // A claim that may have taken effect is asked for again: as long as its leases would be worth something, or to hand them back.
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
  if (answer->other_space > 0 && answer->other_space_example != told_other_space_) {
    told_other_space_ = answer->other_space_example;
    out.push_back(LogAction{LogLevel::kWarning, fmt::format("{} due jobs are left to another worker: {}, this worker embeds into {}",
                                                            answer->other_space, answer->other_space_example, space_.id())});
  }
  claims_ += answer->leases.size();
  if (answer->leases.empty()) {
    ++empty_looks_;
    look_at_ = now + settings_.options.fallback_poll;
    want_peek_ = true;  // learn when the next job is due
  } else {
    empty_looks_ = 0;
    want_look_ = true;
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
    const auto slot = slots_.emplace(id, Slot{Pass(std::move(lease), settings), claim_sent_at_ + settings_.lease_duration, now}).first;
    PassActions actions;
    if (state_ != WorkerState::kRunning) {
      slot->second.pass.on_stop(now, actions);
    } else if (now >= slot->second.valid_until) {
      slot->second.pass.hand_back("the claim's answer took longer than a lease", now, actions);
    } else {
      slot->second.pass.start(now, actions);
    }
    renew_at_ = std::min(renew_at_, claim_sent_at_ + tick());
    step(id, std::move(actions), out);
  }
}

// --- polling
// ------------------------------------------------------------------------------------------------------------------------------

void WorkerMachine::on_peeked(const Result<Peek>& answer, MonoTime now, WorkerActions& out) {
  peek_out_ = false;
  const Duration interval = settings_.poll_interval > Duration(0) ? settings_.poll_interval : settings_.options.fallback_poll;
  peek_at_ = now + interval;
  if (answer.ok()) {
    if (enqueue_counter_ && *enqueue_counter_ != answer->enqueue_counter) {
      want_look_ = true;
      empty_looks_ = 0;
    }
    enqueue_counter_ = answer->enqueue_counter;
    if (answer->next_due) {
      // Due, and yet a look found nothing: somebody else is at it. Look again later and later.
      const Duration least = doubling(milliseconds(10), empty_looks_, seconds(1));
      look_at_ = std::min(look_at_, now + std::max(*answer->next_due, least));
    }
    if (answer->urgent_waiting) {
      yield_to_urgent(now, out);
    }
  } else {
    look_at_ = std::min<MonoTime>(look_at_, now + seconds(1));
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
// ----------------------------------------------------------------------------------------------------------------------------

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

void WorkerMachine::on_renewed(const RenewAction& sent, const Result<std::vector<bool>>& answer, MonoTime now, WorkerActions& out) {
  renew_out_ = false;
  if (!answer.ok() || answer->size() != sent.passes.size()) {
    ++metrics_.renewals_failed;
    out.push_back(LogAction{LogLevel::kWarning, "renewal failed, trying again at the next tick: " + answer.status().message()});
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
      actions.push_back(EmitAction{{.kind = EventKind::kLeaseRenewed, .key = job.key, .job_id = job.id, .attempt = job.attempts}});
    } else if (!slot->second.pass.settling()) {  // the answer to a settle says more than a renewal that came after it
      slot->second.pass.on_lease_lost(now, actions);
    }
    step(slot->first, std::move(actions), out);
  }
  advance(now, out);
}

// --- provider calls
// -----------------------------------------------------------------------------------------------------------------------

// A suspect may kill the process: whatever is in flight beside it would be suspected too. So it waits until everything is back, and
// everything waits for it. True when a suspect is about.
bool WorkerMachine::hand_out_alone(MonoTime now, WorkerActions& out) {
  for (auto& [id, slot] : slots_) {
    if (slot.pass.has_alone()) {
      return true;
    }
  }
  for (auto& [id, slot] : slots_) {
    if (!slot.pass.wants_alone()) {
      continue;
    }
    if (gate_.in_flight() + calls_waiting() == 0 && gate_.may_call(now, 0)) {
      PassActions actions;
      if (const auto call = slot.pass.take_chunk(1, 1, now, actions)) {
        gate_.spend(estimate_.tokens(call->bytes), now);
      }
      step(id, std::move(actions), out);
    }
    return true;
  }
  return false;
}

/// With a limit of tokens a minute the first call goes alone: how many tokens a text has is a guess until it is answered.
bool WorkerMachine::learns_first() const {
  return settings_.options.tokens_per_minute > 0 && !answered_once_ && gate_.in_flight() + calls_waiting() > 0;
}

void WorkerMachine::hand_out_calls(MonoTime now, WorkerActions& out) {
  if (state_ != WorkerState::kRunning || hand_out_alone(now, out)) {
    return;
  }
  std::size_t without = 0;
  auto next = slots_.upper_bound(last_served_);
  while (without < slots_.size() && gate_.may_call(now, calls_waiting()) && !learns_first()) {
    if (next == slots_.end()) {
      next = slots_.begin();
    }
    PassActions actions;
    const auto call = next->second.pass.take_chunk(batch_.texts(), batch_bytes(), now, actions);
    if (call) {
      gate_.spend(estimate_.tokens(call->bytes), now);
    }
    without = call ? 0 : without + 1;
    last_served_ = call ? next->first : last_served_;
    const PassId id = next->first;
    ++next;
    step(id, std::move(actions), out);
  }
}

void WorkerMachine::hand_back_while_paused(MonoTime now, WorkerActions& out) {
  if (gate_.paused(now)) {
    for (auto& [id, slot] : slots_) {
      slot.pass.on_paused_until(gate_.paused_until());
    }
  }
  if (!long_pause(now)) {
    return;
  }
  for (auto& [id, slot] : slots_) {
    if (slot.pass.wants_chunk()) {
      PassActions actions;
      slot.pass.on_pause(gate_.paused_until() - now, "waiting for the provider: " + gate_.reason(), now, actions);
      step(id, std::move(actions), out);
    }
  }
}

std::size_t WorkerMachine::batch_bytes() const {
  const std::size_t tokens = settings_.limits.batch_tokens;
  return tokens == 0 ? batch_.bytes() : std::min(batch_.bytes(), estimate_.bytes(tokens));
}

void WorkerMachine::on_embedded(PassId id, std::uint64_t chunk, const CallSize& size, Result<Embeddings> answer, double jitter,
                                MonoTime now, WorkerActions& out) {
  gate_.call_ended();
  answered_once_ = answered_once_ || answer.ok();
  if (answer.ok() && answer->prompt_tokens) {
    answer->prompt_tokens = std::min(*answer->prompt_tokens, kMostTokensACall);
  }
  if (hear_call(size, answer, jitter, now)) {
    memory_.set_batch(batch_.learned_texts(), batch_.learned_bytes());
    out.push_back(EventAction{{.kind = EventKind::kBatchResized, .count = static_cast<std::int64_t>(batch_.texts())}});
  }
  if (answer.ok() && !answer->prompt_tokens && budget_.a_day() > 0 && !std::exchange(told_no_tokens_, true)) {
    out.push_back(LogAction{LogLevel::kWarning, "the provider does not count prompt tokens: the daily token budget has no effect"});
  }
  on_pass(id, now, out, [&](Pass& pass, PassActions& actions) { pass.on_embedded(chunk, std::move(answer), now, actions); });
}

/// What the end of a call says of the provider. True: batches have another size from now on.
bool WorkerMachine::hear_call(const CallSize& size, const Result<Embeddings>& answer, double jitter, MonoTime now) {
  const Code code = answer.status().code();
  metrics_.provider_errors += answer.ok() || code == Code::kCancelled ? 0U : 1U;
  switch (heard(code, size.texts)) {
    case Heard::kAnswer: gate_.answered(now); break;
    case Heard::kPause: gate_.pause(now, answer.status().retry_after(), jitter, answer.status().message()); break;
    case Heard::kSilence: gate_.unanswered(now, jitter, answer.status().message()); break;
    case Heard::kNothing: break;
  }
  if (answer.ok() && answer->prompt_tokens) {
    const std::uint64_t tokens = *answer->prompt_tokens;
    metrics_.provider_tokens += tokens;
    gate_.correct(static_cast<double>(tokens) - estimate_.tokens(size.bytes));
    estimate_.learn(size.bytes, tokens);
    budget_.spent(tokens);
  }
  if (code == Code::kTimeout || code == Code::kBatchTooLarge) {
    return batch_.too_much(size);
  }
  return answer.ok() && batch_.worked(size);
}

// --- the provider's state
// -----------------------------------------------------------------------------------------------------------------

/// Says, once, that the provider can't be called, and why; and that it can be again.
void WorkerMachine::look_at_provider(MonoTime now, WorkerActions& out) {
  look_at_budget(now, out);
  if (gate_.paused(now)) {
    wait_for_provider(gate_.paused_until(), gate_.reason(), now, out);
  } else if (!gate_.closed(now)) {
    memory_.clear_pause();
    if (wait_) {
      wait_.reset();
      out.push_back(EventAction{{.kind = EventKind::kProviderResumed}});
    }
  }
}

void WorkerMachine::look_at_budget(MonoTime now, WorkerActions& out) {
  const auto until = budget_.used_up_until(now);
  gate_.hold(until, now, until ? fmt::format("the daily budget of {} tokens is used up ({} today)", budget_.a_day(), budget_.used()) : "");
  if (const auto at = budget_look_at(now); at && now >= *at) {
    budget_.asked();
    out.push_back(ProviderAction{provider_});
  }
}

std::optional<MonoTime> WorkerMachine::budget_look_at(MonoTime now) const {
  const bool matters = !slots_.empty() || gate_.held(now);
  return matters && !provider_.empty() ? budget_.look_at() : std::nullopt;
}

void WorkerMachine::wait_for_provider(MonoTime until, const std::string& reason, MonoTime now, WorkerActions& out) {
  if (!wait_) {
    wait_ = ProviderWait{now, until, reason};
    ++metrics_.provider_pauses;
    out.push_back(EventAction{{.kind = EventKind::kProviderPaused, .message = reason, .delay = until - now}});
  } else if (wait_->until == until) {
    return;
  }
  wait_->until = until;
  wait_->reason = reason;
  memory_.set_pause(until, reason);
}

void WorkerMachine::tell_store(MonoTime now, WorkerActions& out) {
  if (provider_.empty()) {
    return;
  }
  if (auto note = memory_.take(now)) {
    note->space_id = state_ == WorkerState::kOpening || space_.model.empty() ? std::string() : space_.id();
    out.push_back(NoteAction{provider_, *std::move(note)});
  }
}

// --- passes
// -------------------------------------------------------------------------------------------------------------------------------

void WorkerMachine::on_pass(PassId id, MonoTime now, WorkerActions& out, const std::function<void(Pass&, PassActions&)>& deliver) {
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
      metrics_.provider_texts += embed->chunk.pieces.size();
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
    want_look_ = true;
  }
}

// --- time
// ---------------------------------------------------------------------------------------------------------------------------------

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
    look_at_provider(now, out);
  }
  tell_store(now, out);
  sign_on(now, out);
  if (state_ == WorkerState::kRunning || state_ == WorkerState::kStopping) {
    renew(now, out);
    look(now, out);
  }
  if (state_ == WorkerState::kRunning) {
    hand_back_while_paused(now, out);
    hand_out_calls(now, out);
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
  if ((running || state_ == WorkerState::kOpening) && !sign_out_) {
    earlier(sign_at_);
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
      earlier(std::max({want_look_ ? now : look_at_, claim_not_before_, unpaused}));
    }
    if (!peek_out_ && !claim_out_ && settings_.poll_interval > Duration(0)) {
      earlier(peek_at_);
    }
    if (gate_.ready_at() > now) {
      earlier(gate_.ready_at());
    }
    if (const auto look = budget_look_at(now)) {
      earlier(*look);
    }
  }
  return at;
}

}  // namespace embedjobs::core
