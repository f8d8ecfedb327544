// The end of a pass: the manifest becomes visible, the outcome is kept until what is in flight is back, and settled.
#include <algorithm>

#include "core/worker/pass.hpp"

namespace embedjobs::core {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr int kListRounds = 3;
constexpr Duration kStopGrace = seconds(1);  // for calls that were cancelled to come back

Duration settle_backoff(int tries) {
  return std::min<Duration>(milliseconds(100) * (1 << std::min(tries, 6)), seconds(5));
}

}  // namespace

Duration Pass::write_backoff(int tries) {
  return milliseconds(100) * (1 << std::min(tries, 6));
}

// --- the outcome that is kept

OutcomeKind Pass::outcome_of(const Status& error) {
  return error.code() == Code::kFailed ? OutcomeKind::kFail : OutcomeKind::kRetry;
}

// The first reason to end counts.
void Pass::end_with(Outcome outcome) {
  if (!ending_) {
    ending_ = std::move(outcome);
  }
}

void Pass::end_with(OutcomeKind kind, const std::string& error) {
  end_with(Outcome{.kind = kind, .error = error});
}

// --- finalize and settle

void Pass::enter_finalize(std::shared_ptr<const Manifest> manifest, PassActions& out) {
  phase_ = PassPhase::kFinalize;
  manifest_ = std::move(manifest);
  finalize_tries_ = 0;
  send_finalize(out);
}

void Pass::send_finalize(PassActions& out) {
  finalize_at_.reset();
  ++writes_out_;
  out.push_back(FinalizeAction{manifest_});
}

void Pass::on_finalized(const Status& answer, MonoTime now, PassActions& out) {
  --writes_out_;
  if (phase_ != PassPhase::kFinalize) {
    return;
  }
  const bool gone = content_version_.empty();
  if (lost_lease(answer, now, out)) {
    return;
  }
  if (answer.ok() || (gone && answer.code() == Code::kNotFound)) {
    enter_settle({.kind = OutcomeKind::kComplete}, out);
  } else if (answer.code() == Code::kIncomplete && plan_ && list_rounds_ < kListRounds) {
    enter_list(out);
  } else if (answer.code() != Code::kIncomplete && answer.code() != Code::kFailed && ++finalize_tries_ < kWriteTries &&
             !stopping_) {
    finalize_at_ = now + write_backoff(finalize_tries_);
  } else {
    end_with(outcome_of(answer), "the manifest can't be stored: " + answer.message());
  }
  advance(now, out);
}

/// Everything that was in flight is back: on to the outcome that was kept.
void Pass::finish(PassActions& out) {
  if (ending_->kind == OutcomeKind::kFail && !resolved_again_ && !stopping_) {
    resolved_again_ = true;
    phase_ = PassPhase::kResolveAgain;
    out.push_back(ResolveAction{});
    return;
  }
  enter_settle(*ending_, out);
}

void Pass::enter_settle(Outcome outcome, PassActions& out) {
  phase_ = PassPhase::kSettle;
  if (counted_) {
    outcome.progress = progress();
  }
  outcome_ = std::move(outcome);
  send_settle(out);
}

void Pass::send_settle(PassActions& out) {
  settle_at_.reset();
  out.push_back(SettleAction{*outcome_});
}

void Pass::on_settled(const Result<JobStatus>& answer, MonoTime now, PassActions& out) {
  if (phase_ != PassPhase::kSettle) {
    return;
  }
  if (!answer.ok()) {
    if (answer.status().code() == Code::kLeaseLost) {
      on_lease_lost(now, out);
    } else {
      if (answer.status().code() == Code::kUnusable) {
        emit(EventKind::kStoreUnusable, out, answer.status().message());
      }
      settle_at_ =
          now + settle_backoff(settle_tries_++);  // an outcome is sent until it is answered, or the lease has ended
    }
    return;
  }
  phase_ = PassPhase::kEnded;
  stop_.request_stop();
  switch (outcome_->kind) {
    case OutcomeKind::kComplete: emit(EventKind::kJobSucceeded, out); return;
    case OutcomeKind::kRelease: emit(EventKind::kJobReleased, out, outcome_->error); return;
    case OutcomeKind::kRetry:
    case OutcomeKind::kFail: break;
  }
  emit(*answer == JobStatus::kFailed ? EventKind::kJobFailed : EventKind::kJobRetried, out, outcome_->error);
}

// --- what ends it from outside

void Pass::on_lease_lost(MonoTime /*now*/, PassActions& out) {
  if (phase_ == PassPhase::kEnded) {
    return;
  }
  phase_ = PassPhase::kEnded;
  stop_.request_stop();
  in_flight_.clear();
  finished_.clear();
  emit(EventKind::kLeaseLost, out);
}

void Pass::on_lease_expired(MonoTime now, PassActions& out) {
  if (settling()) {
    return;
  }
  end_with({.kind = OutcomeKind::kRelease,
            .error = "the lease could not be renewed in time",
            .reason = ReleaseReason::kStop});
  stop_.request_stop();
  in_flight_.clear();
  finished_.clear();
  enter_settle(*ending_, out);
  advance(now, out);
}

void Pass::release(const std::string& why, MonoTime now, PassActions& out) {
  if (stopping_ || settling()) {
    return;
  }
  stopping_ = true;
  stop_grace_ = now + kStopGrace;
  end_with({.kind = OutcomeKind::kRelease, .error = why, .reason = ReleaseReason::kStop});
  stop_.request_stop();
  advance(now, out);
}

}  // namespace embedjobs::core
