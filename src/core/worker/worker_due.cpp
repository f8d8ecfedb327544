// What the worker does, and when: due_at() says when each thing is due, act() does it. The timer is the earliest of
// them, and every event does what is due by now; so neither knows of anything that the other does not.
#include <algorithm>

#include "core/worker/worker_machine.hpp"

namespace embedjobs::core {
namespace {

std::optional<MonoTime> when(bool wanted, std::optional<MonoTime> at) {
  return wanted ? at : std::nullopt;
}

std::optional<MonoTime> earlier(std::optional<MonoTime> a, std::optional<MonoTime> b) {
  return a && b ? std::min(*a, *b) : a ? a : b;
}

}  // namespace

std::optional<MonoTime> WorkerMachine::due_at(Due what, MonoTime now) const {
  const bool opening = state_ == WorkerState::kOpening;
  const bool running = state_ == WorkerState::kRunning;
  const bool stopping = state_ == WorkerState::kStopping;
  switch (what) {
    case Due::kOpen: return when(opening, open_at_);
    case Due::kLeaseEnd: return earliest(lease_end);
    case Due::kPass: return earliest([](const Slot& slot) { return slot.pass.wake_at(); });
    case Due::kFreeSlot: return when(any([](const Pass& pass) { return pass.ended(); }), now);
    case Due::kBudget: return when(running && budget_matters(now), budget_.ask_at());
    case Due::kProvider: return when(running, provider_news_at(now));
    case Due::kNote: return when(state_ != WorkerState::kStopped && !provider_.empty(), memory_.wake_at());
    case Due::kRegister: return when((opening || running) && !register_out_, register_at_);
    case Due::kRenew: return when(!renew_out_ && any([](const Pass& pass) { return pass.holds_lease(); }), renew_at_);
    case Due::kClaim:
      return unanswered_claim_ ? when((running || stopping) && !claim_out_, claim_not_before_)
                               : when(running && !claim_out_ && free_slots() > 0, next_claim_at(now));
    case Due::kRelease:
      return when(running && long_pause(now) && any([](const Pass& pass) { return pass.wants_batch(); }), now);
    case Due::kCalls: return when(running && call_fits(), gate_.ready_at());
    case Due::kPeek:
      return when((running || (opening && waits_for_work_)) && !peek_out_ && !claim_out_, next_peek_at(now));
    case Due::kSignOff:
      return when(stopping && slots_.empty() && !claim_out_ && !unanswered_claim_ && !register_out_, now);
  }
  return std::nullopt;
}

void WorkerMachine::act(Due what, MonoTime now, WorkerActions& out) {
  switch (what) {
    case Due::kOpen: ask_space(out); return;
    case Due::kLeaseEnd: fence_passes(now, out); return;
    case Due::kPass: call_passes(now, out); return;
    case Due::kFreeSlot: drop_ended(); return;
    case Due::kBudget: ask_budget(out); return;
    case Due::kProvider: say_provider(now, out); return;
    case Due::kNote: send_note(now, out); return;
    case Due::kRegister: register_worker(now, out); return;
    case Due::kRenew: renew(now, out); return;
    case Due::kClaim: claim(out); return;
    case Due::kRelease: release_while_paused(now, out); return;
    case Due::kCalls: send_calls(now, out); return;
    case Due::kPeek: peek(out); return;
    case Due::kSignOff: sign_off(out); return;
  }
}

/// Whatever happened, this is what can be started now.
void WorkerMachine::advance(MonoTime now, WorkerActions& out) {
  hold_while_provider_waits(now);
  for (const Due what : kAllDue) {
    if (const auto at = due_at(what, now); at && *at <= now) {
      act(what, now, out);
    }
  }
}

std::optional<MonoTime> WorkerMachine::wake_at(MonoTime now) const {
  std::optional<MonoTime> at;
  for (const Due what : kAllDue) {
    at = earlier(at, due_at(what, now));
  }
  return at;
}

bool WorkerMachine::any(bool (*of_pass)(const Pass&)) const {
  return std::any_of(slots_.begin(), slots_.end(), [&](const auto& entry) { return of_pass(entry.second.pass); });
}

std::optional<MonoTime> WorkerMachine::earliest(std::optional<MonoTime> (*of_slot)(const Slot&)) const {
  std::optional<MonoTime> at;
  for (const auto& [id, slot] : slots_) {
    at = earlier(at, of_slot(slot));
  }
  return at;
}

}  // namespace embedjobs::core
