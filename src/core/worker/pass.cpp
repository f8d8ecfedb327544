#include "core/worker/pass.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace embedjobs::core {
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
          .missing = operation_count_ - reused_ - embedded_ - queue_.operations_unsent(),
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

// --- resolve, split, list

void Pass::start(MonoTime now, PassActions& out) {
  last_progress_ = now;
  emit(EventKind::kJobClaimed, out);
  out.push_back(ResolveAction{});
}

void Pass::on_resolved(Result<Document> answer, MonoTime now, PassActions& out) {
  enum class Found { kDocument, kGone, kNoAnswer };
  const Found found = answer.ok()                             ? Found::kDocument
                      : answer.status().code() == Code::kGone ? Found::kGone
                                                              : Found::kNoAnswer;
  switch (phase_) {
    case PassPhase::kResolve:
      switch (found) {
        case Found::kDocument: begin_work(std::move(*answer), out); break;
        case Found::kGone: clear_rows(out); break;
        case Found::kNoAnswer:
          end_with(OutcomeKind::kRetry, "the document can't be loaded: " + answer.status().message());
          break;
      }
      break;
    case PassPhase::kResolveAgain:  // the failure that is kept counts, unless the document is another one or gone
      switch (found) {
        case Found::kDocument:
          if (answer->version != content_version_) {
            ending_ = Outcome{
                .kind = OutcomeKind::kRetry, .error = "the document changed during the pass", .retry_at_once = true};
          }
          enter_settle(*ending_, out);
          break;
        case Found::kGone:
          ending_.reset();
          clear_rows(out);
          break;
        case Found::kNoAnswer: enter_settle(*ending_, out); break;
      }
      break;
    case PassPhase::kSplit:
    case PassPhase::kList:
    case PassPhase::kReserve:
    case PassPhase::kEmbed:
    case PassPhase::kCompute:
    case PassPhase::kFinalize:
    case PassPhase::kSettle:
    case PassPhase::kEnded: return;  // the pass went on without it
  }
  advance(now, out);
}

void Pass::begin_work(Document document, PassActions& out) {
  document_ = std::make_shared<const Document>(std::move(document));
  content_version_ = document_->version;
  if (settings_.host_compute) {
    phase_ = PassPhase::kCompute;
    ++writes_out_;
    out.push_back(ComputeAction{document_});
  } else {
    phase_ = PassPhase::kSplit;
    out.push_back(SplitAction{document_});
  }
}

/// The document is gone: its manifest is empty.
void Pass::clear_rows(PassActions& out) {
  content_version_.clear();
  operation_count_ = reused_ = embedded_ = 0;
  queue_ = EmbedQueue();
  counted_ = true;
  enter_finalize(std::make_shared<const Manifest>(), out);
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

bool Pass::lost_lease(const Status& answer, MonoTime now, PassActions& out) {
  if (answer.code() != Code::kLeaseLost) {
    return false;
  }
  on_lease_lost(now, out);
  return true;
}

void Pass::end_unanswered(const Status& answer, const char* failure, MonoTime now, PassActions& out) {
  if (!lost_lease(answer, now, out)) {
    end_with(outcome_of(answer),
             fmt::format("{}: {}", failure,
                         answer.ok() ? "the persister answered for another number than asked" : answer.message()));
    advance(now, out);
  }
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
  queue_ = EmbedQueue(plan_, settings_.input_cap);
  elsewhere_.clear();
  reused_ = 0;
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
              .delay = std::max<Duration>(answer.status().retry_after(), std::chrono::seconds(5))});
  } else if (!stopping_ || answer.status().code() != Code::kCancelled) {
    end_with(OutcomeKind::kRetry, answer.status().message());
  }
  advance(now, out);
}

// --- from outside

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
    // The failure that was kept may have been dropped since: the document is gone.
    end_with({.kind = OutcomeKind::kRelease, .error = kStopped, .reason = ReleaseReason::kStop});
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
