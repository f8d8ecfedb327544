// The worker's half that deals with the provider: who calls it next, what a call's end says of it, and what is
// remembered of it in the store.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "core/worker/worker_machine.hpp"

namespace embedjobs::core {
namespace {

constexpr std::uint64_t kMostTokensACall = 1'000'000'000;  // whatever a provider says

/// What a call's end says of the provider, whatever it says of the texts.
enum class CallEnd { kAnswer, kNothing, kPause, kSilence };

CallEnd call_end(Code code, std::size_t texts) {
  switch (code) {
    case Code::kOk:
    case Code::kBatchTooLarge:
    case Code::kInputTooLarge:
    case Code::kInputRejected: return CallEnd::kAnswer;
    case Code::kFailed:  // hide_refusal() has dealt with it
    case Code::kCancelled: return CallEnd::kNothing;
    case Code::kPaused: return CallEnd::kPause;
    case Code::kTimeout:
      return texts > 1 ? CallEnd::kNothing : CallEnd::kSilence;  // of a batch, a smaller one may succeed
    default: return CallEnd::kSilence;
  }
}

}  // namespace

// --- provider calls

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

/// With a limit of tokens a minute the first call goes alone: how many tokens a text has is a guess until it is
/// answered.
bool WorkerMachine::learns_first() const {
  return settings_.options.tokens_per_minute > 0 && !answered_once_ && gate_.in_flight() + calls_waiting() > 0;
}

/// A pass has a batch, and may call once the gate is open. A suspect may kill the process: whatever is in flight beside
/// it would be suspected too. So it waits until everything is back, and everything waits for it.
bool WorkerMachine::call_fits() const {
  if (any([](const Pass& pass) { return pass.has_alone(); })) {
    return false;
  }
  if (any([](const Pass& pass) { return pass.wants_alone(); })) {
    return gate_.in_flight() + calls_waiting() == 0;
  }
  return gate_.has_room(calls_waiting()) && !learns_first() && any([](const Pass& pass) { return pass.wants_batch(); });
}

/// A suspect goes first. Else it is the next one's turn.
WorkerMachine::Slots::iterator WorkerMachine::next_to_call() {
  const auto wants = [](const Slots::value_type& entry) { return entry.second.pass.wants_batch(); };
  const auto suspect =
      std::find_if(slots_.begin(), slots_.end(), [](const auto& entry) { return entry.second.pass.wants_alone(); });
  if (suspect != slots_.end()) {
    return suspect;
  }
  const auto after_last = std::find_if(slots_.upper_bound(last_served_), slots_.end(), wants);
  const auto next = after_last != slots_.end() ? after_last : std::find_if(slots_.begin(), slots_.end(), wants);
  last_served_ = next->first;
  return next;
}

void WorkerMachine::send_calls(MonoTime now, WorkerActions& out) {
  while (call_fits() && gate_.may_call(now, calls_waiting())) {
    const auto next = next_to_call();
    PassActions actions;
    const auto call = next->second.pass.take_batch(batch_.texts(), batch_bytes(), actions);
    gate_.spend(estimate_.tokens(call->bytes), now);
    step(next->first, std::move(actions), out);
  }
}

void WorkerMachine::release_while_paused(MonoTime now, WorkerActions& out) {
  for (auto& [id, slot] : slots_) {
    if (slot.pass.wants_batch()) {
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

void WorkerMachine::on_embedded(PassId id, std::uint64_t batch, const CallSize& size, Result<Embeddings> answer,
                                double jitter, MonoTime now, WorkerActions& out) {
  gate_.call_ended();
  answered_once_ = answered_once_ || answer.ok();
  answer = hide_refusal(std::move(answer), jitter, now);
  if (answer.ok() && answer->prompt_tokens) {
    answer->prompt_tokens = std::min(*answer->prompt_tokens, kMostTokensACall);
  }
  if (note_call(size, answer, jitter, now)) {
    memory_.set_batch(batch_.learned_texts(), batch_.learned_bytes());
    out.push_back(EventAction{{.kind = EventKind::kBatchResized, .count = static_cast<std::int64_t>(batch_.texts())}});
  }
  if (answer.ok() && !answer->prompt_tokens && budget_.a_day() > 0 && !std::exchange(logged_no_tokens_, true)) {
    out.push_back(LogAction{LogLevel::kWarning,
                            "the provider does not count prompt tokens: the daily token budget has no effect"});
  }
  learn_length(size, answer);
  log_warnings(answer, out);
  on_pass(id, now, out, [&](Pass& pass, PassActions& actions) {
    pass.know_length(length_that_passed_);
    pass.on_embedded(batch, std::move(answer), now, actions);
  });
}

/// A provider that refuses every text fails one job, which says so. For the others that is a pause.
Result<Embeddings> WorkerMachine::hide_refusal(Result<Embeddings> answer, double jitter, MonoTime now) {
  if (answer.status().code() != Code::kFailed) {
    return answer;
  }
  const bool news = gate_.refused(now, jitter, answer.status().message());
  return news ? answer : Status::paused(Duration(0), answer.status().message());
}

/// The greatest length counts: a text of many tokens passes only when it is shorter than others need to be.
void WorkerMachine::learn_length(const CallSize& size, const Result<Embeddings>& answer) {
  if (answer.ok() && size.cut && size.bytes > length_that_passed_) {
    length_that_passed_ = size.bytes;
    memory_.set_input(size.bytes);
  }
}

void WorkerMachine::log_warnings(Result<Embeddings>& answer, WorkerActions& out) {
  if (answer.ok()) {
    for (std::string& warning : answer->warnings) {
      out.push_back(LogAction{LogLevel::kWarning, std::move(warning)});
    }
  }
}

/// What the end of a call says of the provider. True: batches have another size from now on.
bool WorkerMachine::note_call(const CallSize& size, const Result<Embeddings>& answer, double jitter, MonoTime now) {
  const Code code = answer.status().code();
  metrics_.provider_errors += answer.ok() || code == Code::kCancelled ? 0U : 1U;
  switch (call_end(code, size.texts)) {
    case CallEnd::kAnswer: gate_.answered(now); break;
    case CallEnd::kPause: gate_.pause(now, answer.status().retry_after(), jitter, answer.status().message()); break;
    case CallEnd::kSilence: gate_.unanswered(now, jitter, answer.status().message()); break;
    case CallEnd::kNothing: break;
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

/// What the time changes by itself: the day's budget holds the provider until midnight, and while it can't be called
/// no pass hangs that waits for it.
void WorkerMachine::hold_while_provider_waits(MonoTime now) {
  if (state_ != WorkerState::kRunning) {
    return;
  }
  const auto until = budget_.used_up_until(now);
  gate_.hold(
      until, now,
      until ? fmt::format("the daily budget of {} tokens is used up ({} today)", budget_.a_day(), budget_.used()) : "");
  if (gate_.paused(now)) {
    for (auto& [id, slot] : slots_) {
      slot.pass.on_paused_until(gate_.paused_until());
    }
  }
}

/// Whether the day's budget decides what is done next.
bool WorkerMachine::budget_matters(MonoTime now) const {
  return !provider_.empty() && (!slots_.empty() || gate_.held(now));
}

void WorkerMachine::ask_budget(WorkerActions& out) {
  budget_.asked();
  out.push_back(ProviderAction{provider_});
}

/// When what was said of the provider is no longer true.
std::optional<MonoTime> WorkerMachine::provider_news_at(MonoTime now) const {
  if (gate_.paused(now)) {
    const bool said = wait_ && wait_->until == gate_.paused_until();
    return said ? gate_.paused_until() : now;
  }
  const bool over = !gate_.closed(now) && (wait_ || memory_.knows_pause());
  return over ? std::optional(now) : std::nullopt;
}

/// Says, once, that the provider can't be called, and why; and that it can be again.
void WorkerMachine::say_provider(MonoTime now, WorkerActions& out) {
  if (gate_.paused(now)) {
    wait_for_provider(gate_.paused_until(), gate_.reason(), now, out);
    return;
  }
  memory_.clear_pause();
  if (wait_) {
    wait_.reset();
    out.push_back(EventAction{{.kind = EventKind::kProviderResumed}});
  }
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
  memory_.set_pause(until, reason, gate_.stopped());
}

void WorkerMachine::send_note(MonoTime now, WorkerActions& out) {
  if (auto note = memory_.take(now)) {
    note->space_id = state_ == WorkerState::kOpening || space_.model.empty() ? std::string() : space_.id();
    out.push_back(NoteAction{provider_, *std::move(note)});
  }
}

void WorkerMachine::on_provider(const Result<ProviderState>& answer, MonoTime now, WorkerActions& out) {
  budget_.on_state(answer.ok() ? &*answer : nullptr, now);
  if (answer.status().code() == Code::kRefused) {  // a host's store need not remember providers
    if (budget_.a_day() > 0 && !std::exchange(logged_no_budget_, true)) {
      out.push_back(
          LogAction{LogLevel::kWarning, "the store remembers no providers: the daily token budget has no effect"});
    }
  } else if (!answer.ok()) {
    out.push_back(
        LogAction{LogLevel::kWarning, "what is known of the provider can't be read: " + answer.status().message()});
  }
  if (state_ != WorkerState::kOpening) {
    advance(now, out);
    return;
  }
  if (answer.ok()) {
    batch_.start_at(answer->batch_texts, answer->batch_bytes);
    length_that_passed_ = answer->input_bytes;
    if (!answer->pause_reason.empty()) {
      memory_.pause_is_known();
      if (open_errors_ == 0) {  // else it has just answered us
        gate_.probe(answer->stopped);
      }
    }
  }
  begin_running(now, out);
}

void WorkerMachine::on_noted(const Status& answer, MonoTime now, WorkerActions& out) {
  memory_.on_noted(answer.ok(), now);
  if (!answer.ok()) {
    out.push_back(
        LogAction{LogLevel::kWarning, "what was learned of the provider can't be stored: " + answer.message()});
  }
  advance(now, out);
}

}  // namespace embedjobs::core
