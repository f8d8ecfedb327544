// The worker's claims: what it asks the store for, what it does with the leases, and how it learns that there is work.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "core/worker/worker_machine.hpp"

namespace embedjobs::core {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::uint64_t kClaimsPerAgeTurn = 4;  // every fourth claim goes by age, so that no priority starves
constexpr int kClaimTriesAfterStop = 3;

Duration doubling(Duration first, int times, Duration most) {
  return std::min<Duration>(first * (1 << std::min(times, 16)), most);
}

}  // namespace

// --- claims

/// Of a new claim. Not while its jobs would wait for the provider longer than a lease.
MonoTime WorkerMachine::next_claim_at(MonoTime now) const {
  const MonoTime wanted = want_claim_ ? claim_not_before_ : std::max(claim_at_, claim_not_before_);
  return long_pause(now) ? std::max(wanted, gate_.paused_until()) : wanted;
}

void WorkerMachine::claim(WorkerActions& out) {
  claim_out_ = true;
  if (unanswered_claim_) {  // whether it took effect is open: ask the same again
    out.push_back(ClaimAction{*unanswered_claim_});
    return;
  }
  want_claim_ = false;
  const std::size_t slots = free_slots();
  ClaimRequest request{
      .worker_id = settings_.options.worker_id, .max_jobs = slots, .space_id = space_.id(), .provider = provider_};
  // Counted without a step for each: a host may ask for any number of slots.
  request.by_age = static_cast<std::size_t>((claims_ + slots) / kClaimsPerAgeTurn - claims_ / kClaimsPerAgeTurn);
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

/// At once when the last claim found nothing. Else only a store that can't wake us is asked, now and then.
std::optional<MonoTime> WorkerMachine::next_peek_at(MonoTime now) const {
  if (want_peek_) {
    return now;
  }
  if (waits_for_work_) {
    return peek_at_;
  }
  return settings_.poll_interval > Duration(0) ? std::optional(peek_at_) : std::nullopt;
}

void WorkerMachine::peek(WorkerActions& out) {
  want_peek_ = false;
  peek_out_ = true;
  out.push_back(PeekAction{waits_for_work_ ? std::string() : space_.id()});  // "": not known yet
}

/// Before the space is known: the provider is asked for it when a job is due.
void WorkerMachine::open_when_due(const Result<Peek>& answer, MonoTime now) {
  if (!answer.ok() || !answer->next_due) {
    return;
  }
  if (*answer->next_due > Duration(0)) {
    peek_at_ = std::min<MonoTime>(peek_at_, now + *answer->next_due);
  } else {
    waits_for_work_ = false;
    open_at_ = now;
  }
}

void WorkerMachine::on_peeked(const Result<Peek>& answer, MonoTime now, WorkerActions& out) {
  peek_out_ = false;
  const Duration interval =
      settings_.poll_interval > Duration(0) ? settings_.poll_interval : settings_.options.fallback_poll;
  peek_at_ = now + interval;
  if (waits_for_work_) {
    open_when_due(answer, now);
  } else if (answer.ok()) {
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

}  // namespace embedjobs::core
