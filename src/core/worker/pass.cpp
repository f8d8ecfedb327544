#include "core/worker/pass.hpp"

#include <fmt/format.h>

#include <algorithm>

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

PassContext Pass::context() const {
  return {.key = lease_.job.key,
          .job_id = lease_.job.id,
          .fence = lease_.job.fence,
          .generation = lease_.job.generation,
          .space = settings_.space,
          .epoch = lease_.state.epoch,
          .reuse_floor = lease_.reuse_floor,
          .input_cap = settings_.input_cap,
          .content_version = content_version_,
          .splitter_version = settings_.splitter_version,
          .prompt_tokens = prompt_tokens_};
}

Progress Pass::progress() const {
  return {.operation_count = operation_count_,
          .reused = reused_,
          .embedded = embedded_,
          .missing = operation_count_ - reused_ - embedded_ - set_aside_count_,
          .prompt_tokens = prompt_tokens_};
}

void Pass::emit(EventKind kind, PassActions& out, std::string message, std::int64_t count) {
  out.push_back(EmitAction{{.kind = kind,
                            .key = lease_.job.key,
                            .job_id = lease_.job.id,
                            .attempt = lease_.job.attempts,
                            .message = std::move(message),
                            .progress = progress(),
                            .count = count}});
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

// --- resolve, split, list

void Pass::start(MonoTime now, PassActions& out) {
  last_progress_ = now;
  emit(EventKind::kJobClaimed, out);
  out.push_back(ResolveAction{});
}

void Pass::on_resolved(Result<Document> answer, MonoTime now, PassActions& out) {
  if (ignores_answers()) {
    return;
  }
  const bool gone = !answer.ok() && answer.status().code() == Code::kGone;
  if (phase_ == PassPhase::kResolveAgain) {
    if (gone) {
      ending_.reset();
    } else if (answer.ok() && answer->version != content_version_) {
      ending_ =
          Outcome{.kind = OutcomeKind::kRetry, .error = "the document changed during the pass", .retry_at_once = true};
    }
  } else if (answer.ok()) {
    document_ = std::make_shared<const Document>(std::move(*answer));
    content_version_ = document_->version;
    phase_ = settings_.host_compute ? PassPhase::kCompute : PassPhase::kSplit;
    if (settings_.host_compute) {
      ++writes_out_;
      out.push_back(ComputeAction{document_});
    } else {
      out.push_back(SplitAction{document_});
    }
  } else if (!gone) {
    end_with(OutcomeKind::kRetry, "the document can't be loaded: " + answer.status().message());
  }
  if (gone && !ending_) {
    content_version_.clear();
    operation_count_ = reused_ = embedded_ = set_aside_count_ = 0;
    counted_ = true;
    failing_.clear();
    enter_finalize(std::make_shared<const Manifest>(), out);
  } else if (phase_ == PassPhase::kResolveAgain) {
    enter_settle(*ending_, out);
  }
  advance(now, out);
}

void Pass::on_split(Result<std::shared_ptr<const Plan>> answer, MonoTime now, PassActions& out) {
  if (phase_ != PassPhase::kSplit) {
    return;
  }
  document_.reset();
  if (answer.ok()) {
    plan_ = std::move(*answer);
    manifest_ = std::shared_ptr<const Manifest>(plan_, &plan_->operations().manifest());
    operation_count_ = static_cast<std::int64_t>(plan_->size());
    enter_list(out);
  } else {
    const bool bad = answer.status().code() == Code::kInvalidDocument || answer.status().code() == Code::kFailed;
    end_with(bad ? OutcomeKind::kFail : OutcomeKind::kRetry, answer.status().message());
  }
  advance(now, out);
}

OutcomeKind Pass::outcome_of(const Status& error) {
  return error.code() == Code::kFailed ? OutcomeKind::kFail : OutcomeKind::kRetry;
}

bool Pass::lost_lease(const Status& answer, MonoTime now, PassActions& out) {
  if (answer.code() != Code::kLeaseLost) {
    return false;
  }
  on_lease_lost(now, out);
  return true;
}

/// Whether the persister answered for everything that it was asked. If not, the pass ends.
template <typename T>
bool Pass::answered(const Result<std::vector<T>>& answer, std::size_t asked, const char* failure, MonoTime now,
                    PassActions& out) {
  if (answer.ok() && answer->size() == asked) {
    return true;
  }
  if (!lost_lease(answer.status(), now, out)) {
    end_with(
        outcome_of(answer.status()),
        fmt::format("{}: {}", failure,
                    answer.ok() ? "the persister answered for another number than asked" : answer.status().message()));
    advance(now, out);
  }
  return false;
}

void Pass::enter_list(PassActions& out) {
  phase_ = PassPhase::kList;
  ++list_rounds_;
  out.push_back(ListAction{plan_});
}

void Pass::on_listed(Result<std::vector<bool>> answer, MonoTime now, PassActions& out) {
  if (phase_ != PassPhase::kList) {
    return;
  }
  if (!answered(answer, plan_->size(), "stored vectors can't be listed", now, out)) {
    return;
  }
  forget_embedding();
  std::vector<std::uint32_t> missing;
  for (std::uint32_t first = 0; first < plan_->size(); ++first) {
    if (!plan_->is_first_of_text(first)) {
      continue;
    }
    bool all_stored = true;
    for (std::uint32_t operation = first; operation != Plan::kNone; operation = plan_->next_of_text(operation)) {
      all_stored = all_stored && (*answer)[operation];
    }
    if (all_stored) {
      reused_ += plan_->count_of_text(first);
    } else {
      missing.push_back(first);
    }
  }
  embedded_ = std::min(embedded_, reused_);  // in a second round what this pass embedded is stored too
  reused_ -= embedded_;
  counted_ = true;
  last_progress_ = now;
  if (missing.empty()) {
    enter_embed(now, out);
  } else {
    missing.shrink_to_fit();
    enter_reserve(std::move(missing), out);
  }
}

/// Another round begins.
void Pass::forget_embedding() {
  missing_.clear();
  next_missing_ = 0;
  skipped_.clear();
  alone_.clear();
  elsewhere_.clear();
  failing_.clear();
  postponed_.clear();
  single_failures_ = 0;
  reused_ = set_aside_count_ = 0;
}

void Pass::enter_reserve(std::vector<std::uint32_t> operations, PassActions& out) {
  phase_ = PassPhase::kReserve;
  reserve_at_.reset();
  to_reserve_ = std::make_shared<const std::vector<std::uint32_t>>(std::move(operations));
  ReserveAction reserve{plan_, to_reserve_, {}};
  // What can't be embedded is not held back from a pass that this one waits for.
  for (const auto* left : {&failing_, &postponed_}) {
    std::transform(left->begin(), left->end(), std::back_inserter(reserve.given_up),
                   [](const auto& entry) { return entry.first; });
  }
  out.push_back(std::move(reserve));
}

void Pass::on_reserved(Result<std::vector<Reservation>> answer, MonoTime now, PassActions& out) {
  if (phase_ != PassPhase::kReserve) {
    return;
  }
  if (!answered(answer, to_reserve_->size(), "texts can't be reserved", now, out)) {
    return;
  }
  missing_.clear();
  next_missing_ = 0;
  elsewhere_.clear();
  for (std::size_t i = 0; i < answer->size(); ++i) {
    const std::uint32_t first = (*to_reserve_)[i];
    switch ((*answer)[i]) {
      case Reservation::kMine: missing_.push_back(first); break;
      case Reservation::kStored: reused_ += plan_->count_of_text(first); break;
      case Reservation::kElsewhere: elsewhere_.push_back(first); break;
    }
  }
  if (elsewhere_.size() == to_reserve_->size()) {
    ++reserve_rounds_;
  } else {
    reserve_rounds_ = 0;
    last_progress_ = now;
  }
  to_reserve_.reset();
  enter_embed(now, out);
}

void Pass::enter_embed(MonoTime now, PassActions& out) {
  for (const Suspect& suspect : lease_.suspects) {
    const auto operation = plan_->find(suspect.text_hash);
    if (!operation || !std::binary_search(missing_.begin(), missing_.end(), *operation)) {
      continue;
    }
    if (suspect.set_aside) {
      set_aside(*operation, "its text was in flight alone each time the worker died, it is not sent again");
      set_aside_count_ += plan_->count_of_text(*operation);
    } else {
      skipped_.insert(*operation);
      alone_.push_back(*operation);
    }
  }
  phase_ = PassPhase::kEmbed;
  if (lease_.state.crashes > 0 && !recording_) {
    recording_ = true;
    out.push_back(
        RecordAction{});  // nothing is in flight yet: should the process die now, it was not for a text of this pass
  }
  want_progress_ = true;
  advance(now, out);
}

// --- a host's compute

void Pass::on_host_progress(std::int64_t done, std::int64_t total, MonoTime now, PassActions& out) {
  if (phase_ != PassPhase::kCompute) {
    return;
  }
  if (!host_progress_seen_) {
    host_progress_seen_ = counted_ = true;
    reused_ = done;
  }
  operation_count_ = std::max(operation_count_, total);
  embedded_ = std::max(embedded_, std::min(done, operation_count_) - reused_);
  want_progress_ = true;
  last_progress_ = now;
  advance(now, out);
}

void Pass::on_host_persisted(std::int64_t operations, MonoTime now, PassActions& out) {
  last_progress_ = now;
  if (!ignores_answers()) {
    emit(EventKind::kChunkPersisted, out, {}, operations);
  }
}

void Pass::on_computed(Result<Manifest> answer, MonoTime now, PassActions& out) {
  --writes_out_;
  if (phase_ != PassPhase::kCompute) {
    return;
  }
  document_.reset();
  if (answer.ok()) {
    operation_count_ = static_cast<std::int64_t>(answer->size());
    reused_ = std::min(reused_, operation_count_);
    embedded_ = operation_count_ - reused_;
    counted_ = true;
    enter_finalize(std::make_shared<const Manifest>(std::move(*answer)), out);
  } else if (answer.status().code() == Code::kLeaseLost) {
    on_lease_lost(now, out);
    return;
  } else if (answer.status().code() == Code::kFailed || answer.status().code() == Code::kInvalidDocument) {
    end_with(OutcomeKind::kFail, answer.status().message());
  } else if (answer.status().code() == Code::kPaused) {
    end_with({.kind = OutcomeKind::kRelease,
              .error = answer.status().message(),
              .reason = ReleaseReason::kPause,
              .delay = std::max<Duration>(answer.status().retry_after(), seconds(5))});
  } else if (!stopping_ || answer.status().code() != Code::kCancelled) {
    end_with(OutcomeKind::kRetry, answer.status().message());
  }
  advance(now, out);
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

// --- from outside

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

void Pass::on_yield(MonoTime now, PassActions& out) {
  if (phase_ == PassPhase::kEmbed) {
    end_with(
        {.kind = OutcomeKind::kRelease, .error = "gave its slot to an urgent job", .reason = ReleaseReason::kYield});
    advance(now, out);
  }
}

void Pass::on_pause(Duration wait, const std::string& why, MonoTime now, PassActions& out) {
  if (phase_ != PassPhase::kEmbed) {
    return;
  }
  if (last_failure_.empty()) {
    end_with({.kind = OutcomeKind::kRelease, .error = why, .reason = ReleaseReason::kPause, .delay = wait});
  } else {
    end_with(OutcomeKind::kRetry, last_failure_);  // its own failed calls made the pause: that is not free
  }
  advance(now, out);
}

void Pass::on_paused_until(MonoTime until) {
  if (phase_ == PassPhase::kEmbed) {
    last_progress_ = std::max(last_progress_, until);
  }
}

void Pass::on_time(MonoTime now, PassActions& out) {
  if (phase_ == PassPhase::kSettle && settle_at_ && now >= *settle_at_) {
    send_settle(out);
  }
  if (phase_ == PassPhase::kFinalize && finalize_at_ && now >= *finalize_at_) {
    send_finalize(out);
  }
  if (!settling() && now >= last_progress_ + settings_.safety_bound) {
    last_progress_ = now;
    end_with(OutcomeKind::kRetry, "no progress within the safety bound");
    stop_.request_stop();
    in_flight_.clear();  // calls that hang do not hold the job
    enter_settle(*ending_, out);
  }
  if (stop_grace_ && now >= *stop_grace_ && !settling()) {
    in_flight_.clear();
    finished_.clear();
    enter_settle(*ending_, out);
  }
  advance(now, out);
}

std::optional<MonoTime> Pass::wake_at() const {
  if (phase_ == PassPhase::kEnded) {
    return std::nullopt;
  }
  if (phase_ == PassPhase::kSettle) {
    return settle_at_;
  }
  MonoTime at = last_progress_ + settings_.safety_bound;
  for (const auto& other : {persist_at_, finalize_at_, reserve_at_, stop_grace_}) {
    at = other ? std::min(at, *other) : at;
  }
  return at;
}

// What can be started now, given where the pass stands.
void Pass::advance(MonoTime now, PassActions& out) {
  switch (phase_) {
    case PassPhase::kResolve:
    case PassPhase::kSplit:
    case PassPhase::kList:
    case PassPhase::kReserve:
      if (ending_) {
        finish(out);
      }
      return;
    case PassPhase::kEmbed: advance_embed(now, out); return;
    case PassPhase::kCompute:
      if (ending_ && writes_out_ == 0) {
        finish(out);
        return;
      }
      maybe_write_progress(out);
      return;
    case PassPhase::kFinalize:
      if (ending_ && writes_out_ == 0) {
        finish(out);
      }
      return;
    case PassPhase::kResolveAgain:
    case PassPhase::kSettle:
    case PassPhase::kEnded: return;
  }
}

}  // namespace embedjobs::core
