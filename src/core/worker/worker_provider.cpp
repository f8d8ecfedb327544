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
    case Code::kInputRejected:
    case Code::kFailed: return CallEnd::kAnswer;
    case Code::kCancelled: return CallEnd::kNothing;
    case Code::kPaused: return CallEnd::kPause;
    case Code::kTimeout:
      return texts > 1 ? CallEnd::kNothing : CallEnd::kSilence;  // of a batch, a smaller one may succeed
    default: return CallEnd::kSilence;
  }
}

}  // namespace

// --- provider calls

// A suspect may kill the process: whatever is in flight beside it would be suspected too. So it waits until everything
// is back, and everything waits for it. True when a suspect is about.
bool WorkerMachine::send_alone(MonoTime now, WorkerActions& out) {
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
      if (const auto call = slot.pass.take_batch(1, 1, actions)) {
        gate_.spend(estimate_.tokens(call->bytes), now);
      }
      step(id, std::move(actions), out);
    }
    return true;
  }
  return false;
}

/// With a limit of tokens a minute the first call goes alone: how many tokens a text has is a guess until it is
/// answered.
bool WorkerMachine::learns_first() const {
  return settings_.options.tokens_per_minute > 0 && !answered_once_ && gate_.in_flight() + calls_waiting() > 0;
}

void WorkerMachine::send_calls(MonoTime now, WorkerActions& out) {
  if (state_ != WorkerState::kRunning || send_alone(now, out)) {
    return;
  }
  std::size_t without = 0;
  auto next = slots_.upper_bound(last_served_);
  while (without < slots_.size() && gate_.may_call(now, calls_waiting()) && !learns_first()) {
    if (next == slots_.end()) {
      next = slots_.begin();
    }
    PassActions actions;
    const auto call = next->second.pass.take_batch(batch_.texts(), batch_bytes(), actions);
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

void WorkerMachine::release_while_paused(MonoTime now, WorkerActions& out) {
  if (gate_.paused(now)) {
    for (auto& [id, slot] : slots_) {
      slot.pass.on_paused_until(gate_.paused_until());
    }
  }
  if (!long_pause(now)) {
    return;
  }
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
  on_pass(id, now, out,
          [&](Pass& pass, PassActions& actions) { pass.on_embedded(batch, std::move(answer), now, actions); });
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

/// Says, once, that the provider can't be called, and why; and that it can be again.
void WorkerMachine::note_provider(MonoTime now, WorkerActions& out) {
  hold_for_budget(now, out);
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

void WorkerMachine::hold_for_budget(MonoTime now, WorkerActions& out) {
  const auto until = budget_.used_up_until(now);
  gate_.hold(
      until, now,
      until ? fmt::format("the daily budget of {} tokens is used up ({} today)", budget_.a_day(), budget_.used()) : "");
  if (const auto at = budget_ask_at(now); at && now >= *at) {
    budget_.asked();
    out.push_back(ProviderAction{provider_});
  }
}

std::optional<MonoTime> WorkerMachine::budget_ask_at(MonoTime now) const {
  const bool matters = !slots_.empty() || gate_.held(now);
  return matters && !provider_.empty() ? budget_.ask_at() : std::nullopt;
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

void WorkerMachine::send_note(MonoTime now, WorkerActions& out) {
  if (provider_.empty()) {
    return;
  }
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
  memory_.on_noted(answer.ok(), now);
  if (!answer.ok()) {
    out.push_back(
        LogAction{LogLevel::kWarning, "what was learned of the provider can't be stored: " + answer.message()});
  }
  advance(now, out);
}

}  // namespace embedjobs::core
