// What says that the worker and its leases live: one renewal for all leases, and its place in the list of workers.
#include <algorithm>
#include <utility>

#include "core/worker/worker_machine.hpp"

namespace embedjobs::core {
namespace {

constexpr int kSettleTriesAfterLease = 10;

}  // namespace

// --- leases

/// When the pass is to be fenced; none: it is over, or it settles. An outcome is a fenced write: it does no harm after
/// the lease, and may still release the job. It is tried for a while.
std::optional<MonoTime> WorkerMachine::lease_end(const Slot& slot) {
  const bool settles = slot.pass.phase() == PassPhase::kSettle && slot.pass.settle_tries() < kSettleTriesAfterLease;
  return slot.pass.holds_lease() && !settles ? std::optional(slot.valid_until) : std::nullopt;
}

void WorkerMachine::fence_passes(MonoTime now, WorkerActions& out) {
  for (auto& [id, slot] : slots_) {
    if (const auto end = lease_end(slot); end && now >= *end) {
      PassActions actions;
      slot.pass.on_lease_expired(now, actions);
      if (lease_end(slot)) {  // it does not settle: its outcome was tried often enough
        slot.pass.on_lease_lost(now, actions);
      }
      step(id, std::move(actions), out);
    }
  }
}

void WorkerMachine::renew(MonoTime now, WorkerActions& out) {
  RenewAction action{.leases = {}, .passes = {}, .time_limit = tick() / 2, .sent_at = now};
  for (const auto& [id, slot] : slots_) {
    if (slot.pass.holds_lease()) {
      action.leases.push_back(slot.pass.lease());
      action.passes.push_back(id);
    }
  }
  renew_at_ = now + tick();
  renew_out_ = true;
  out.push_back(std::move(action));
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

// --- the fleet view

void WorkerMachine::register_worker(MonoTime now, WorkerActions& out) {
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
void WorkerMachine::on_unregistered(const Status& answer, MonoTime now, WorkerActions& out) {
  register_out_ = false;
  if (!answer.ok()) {
    out.push_back(
        LogAction{LogLevel::kDebug, "this worker stays in the list of workers for a day: " + answer.message()});
  }
  advance(now, out);
}

}  // namespace embedjobs::core
