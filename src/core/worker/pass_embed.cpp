// The embedding half of a pass: texts are reserved, batches go out, rows come back and are persisted. What is to be
// embedded, and in which order, the queue knows.
#include <algorithm>

#include "core/rules/limits.hpp"
#include "core/worker/pass.hpp"

namespace embedjobs::core {
namespace {

constexpr std::size_t kRowsToHold = 2000;  // embedded, not yet persisted: above it no new batch is sent
// After so many passes in a row that failed, a failing batch is split, and a failing text is left for the next pass.
constexpr std::int64_t kErrorsToLookClosely = 2;

// Until what another pass embeds is asked for again.
Duration reserve_backoff(int rounds) {
  return std::min<Duration>(std::chrono::milliseconds(50) * (1 << std::min(rounds, 6)), std::chrono::seconds(2));
}

}  // namespace

// --- what other passes embed is theirs

void Pass::enter_reserve(std::vector<std::uint32_t> operations, PassActions& out) {
  phase_ = PassPhase::kReserve;
  reserve_at_.reset();
  to_reserve_ = std::make_shared<const std::vector<std::uint32_t>>(std::move(operations));
  // What can't be embedded is not held back from a pass that this one waits for.
  out.push_back(ReserveAction{plan_, to_reserve_, queue_.given_up()});
}

void Pass::on_reserved(Result<std::vector<Reservation>> answer, MonoTime now, PassActions& out) {
  if (phase_ != PassPhase::kReserve) {
    return;
  }
  if (!answered(answer, to_reserve_->size(), "texts can't be reserved", now, out)) {
    return;
  }
  std::vector<std::uint32_t> missing;
  elsewhere_.clear();
  for (std::size_t i = 0; i < answer->size(); ++i) {
    const std::uint32_t first = (*to_reserve_)[i];
    switch ((*answer)[i]) {
      case Reservation::kMine: missing.push_back(first); break;
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
  queue_.add(std::move(missing), lease_.suspects);
  enter_embed(now, out);
}

void Pass::enter_embed(MonoTime now, PassActions& out) {
  phase_ = PassPhase::kEmbed;
  if (lease_.state.crashes > 0 && !recording_) {
    recording_ = true;
    // Nothing is in flight yet: should the process die now, it was not for a text of this pass.
    out.push_back(RecordAction{});
  }
  want_progress_ = true;
  advance(now, out);
}

// --- batches go out

bool Pass::nothing_left() const {
  return queue_.empty() && in_flight_.empty() && finished_.empty() && !persisting_;
}

bool Pass::wants_batch() const {
  return phase_ == PassPhase::kEmbed && !ending_ && !stopping_ && finished_rows_ < kRowsToHold && !has_alone() &&
         !queue_.empty() && (in_flight_.empty() || !queue_.next_is_alone());
}

bool Pass::wants_alone() const {
  return wants_batch() && queue_.next_is_alone();
}

std::size_t Pass::batches_waiting() const {
  return static_cast<std::size_t>(std::count_if(
      in_flight_.begin(), in_flight_.end(), [](const auto& entry) { return entry.second.state != BatchState::kSent; }));
}

std::optional<CallSize> Pass::take_batch(std::size_t most_texts, std::size_t most_bytes, PassActions& out) {
  if (!wants_batch()) {
    return std::nullopt;
  }
  Batch batch = queue_.take(most_texts, most_bytes);
  batch.id = ++last_batch_id_;
  const CallSize size = batch.size();
  // From the first crash of a generation on, what is in flight is recorded before it is sent.
  if (lease_.state.crashes > 0) {
    in_flight_.emplace(last_batch_id_, BatchInFlight{std::move(batch), BatchState::kToRecord});
    maybe_record(out);
  } else {
    out.push_back(EmbedAction{plan_, batch});
    in_flight_.emplace(last_batch_id_, BatchInFlight{std::move(batch), BatchState::kSent});
  }
  return size;
}

void Pass::maybe_record(PassActions& out) {
  const auto to_record = [](const auto& entry) { return entry.second.state == BatchState::kToRecord; };
  if (recording_ || (!alone_to_clear_ && std::none_of(in_flight_.begin(), in_flight_.end(), to_record))) {
    return;
  }
  recording_ = true;
  RecordAction record;
  for (auto& [id, sent] : in_flight_) {
    if (sent.state == BatchState::kToRecord) {
      sent.state = BatchState::kRecording;
    }
    for (const BatchText& text : sent.batch.texts) {
      record.sent.push_back(plan_->operations().text_hash(text.operation));
    }
  }
  record.answered.swap(answered_);
  out.push_back(std::move(record));
}

void Pass::on_recorded(const Status& answer, MonoTime now, PassActions& out) {
  recording_ = false;
  alone_to_clear_ = false;
  if (ignores_answers()) {
    return;
  }
  if (lost_lease(answer, now, out)) {
    return;
  }
  if (!answer.ok()) {
    end_with(OutcomeKind::kRetry, "what is in flight can't be recorded: " + answer.message());
  }
  for (auto entry = in_flight_.begin(); entry != in_flight_.end();) {
    BatchInFlight& sent = entry->second;
    if (sent.state != BatchState::kRecording) {
      ++entry;
    } else if (!answer.ok() || ending_ || stopping_) {
      entry = in_flight_.erase(entry);  // never sent
    } else {
      sent.state = BatchState::kSent;
      out.push_back(EmbedAction{plan_, sent.batch});
      ++entry;
    }
  }
  advance(now, out);
}

void Pass::on_embedded(std::uint64_t batch_id, Result<Embeddings> answer, MonoTime now, PassActions& out) {
  const auto entry = in_flight_.find(batch_id);
  if (entry == in_flight_.end() || ignores_answers()) {
    return;
  }
  Batch batch = std::move(entry->second.batch);
  in_flight_.erase(entry);
  if (lease_.state.crashes > 0 && answer.status().code() != Code::kCancelled) {
    for (const BatchText& text : batch.texts) {
      answered_.push_back(plan_->operations().text_hash(text.operation));
    }
    alone_to_clear_ = batch.alone;
  }
  if (answer.ok()) {
    queue_.worked();
    last_failure_.clear();
    prompt_tokens_ += answer->prompt_tokens.value_or(0);
    finished_rows_ += batch.texts.size();
    finished_.push_back({std::move(batch), std::move(answer->vectors)});
  } else {
    on_embed_error(batch, answer.status());
  }
  advance(now, out);
}

// A batch is first split or a text cut where the error says so. An error that stays ends the pass, after what is in
// flight is persisted.
void Pass::on_embed_error(const Batch& batch, const Status& error) {
  const bool single = batch.texts.size() == 1;
  switch (error.code()) {
    case Code::kPaused: queue_.put_back(batch); return;
    case Code::kCancelled:
      if (!stopping_) {
        end_with(OutcomeKind::kRetry, describe(batch) + ": the provider call was cancelled");
      }
      return;
    case Code::kTimeout:
      if (!single) {
        queue_.split(batch);
        return;
      }
      break;
    case Code::kBatchTooLarge:
    case Code::kInputTooLarge:
      if (!single) {
        queue_.split(batch);
      } else {
        queue_.cut(batch, first_cut_, error.message());
      }
      return;
    case Code::kInputRejected:
      if (!single) {
        queue_.split(batch);
      } else {
        queue_.set_aside(batch.texts.front().operation, error.message());
      }
      return;
    case Code::kFailed: end_with(OutcomeKind::kFail, describe(batch) + ": " + error.message()); return;
    default: break;
  }
  last_failure_ = describe(batch) + ": " + error.message();
  if (lease_.job.errors_in_row >= kErrorsToLookClosely && !single) {
    queue_.split(batch);
  } else if (lease_.job.errors_in_row < kErrorsToLookClosely ||
             !queue_.postpone(batch.texts.front().operation, error.message())) {
    end_with(OutcomeKind::kRetry, last_failure_);
  }
}

// --- rows come back, and are persisted

void Pass::maybe_persist(MonoTime now, PassActions& out) {
  if (persist_at_ && now >= *persist_at_) {
    persist_at_.reset();
    ++writes_out_;
    out.push_back(PersistAction{plan_, persisting_});
    return;
  }
  if (persisting_ || finished_.empty()) {
    return;
  }
  auto chunk = std::make_shared<std::vector<EmbeddedBatch>>();
  std::size_t rows = 0;
  auto end = finished_.begin();
  do {
    rows += end->batch.texts.size();
    chunk->push_back(std::move(*end));
    ++end;
  } while (end != finished_.end() && rows + end->batch.texts.size() <= kMaxRowsPerTransaction);
  finished_.erase(finished_.begin(), end);
  persisting_ = std::move(chunk);
  persist_tries_ = 0;
  ++writes_out_;
  out.push_back(PersistAction{plan_, persisting_});
}

void Pass::on_persisted(const Status& answer, MonoTime now, PassActions& out) {
  --writes_out_;
  if (ignores_answers()) {
    return;
  }
  if (lost_lease(answer, now, out)) {
    return;
  }
  if (!answer.ok()) {
    if (answer.code() != Code::kFailed && ++persist_tries_ < kWriteTries && !stopping_) {
      persist_at_ = now + write_backoff(persist_tries_);
      return;
    }
    end_with(outcome_of(answer),
             describe(persisting_->front().batch) + ": the vectors can't be stored: " + answer.message());
    persisting_.reset();
    finished_.clear();
    finished_rows_ = 0;
  } else {
    std::int64_t operations = 0;
    for (const EmbeddedBatch& finished : *persisting_) {
      finished_rows_ -= finished.batch.texts.size();
      for (const BatchText& text : finished.batch.texts) {
        operations += plan_->count_of_text(text.operation);
      }
    }
    persisting_.reset();
    embedded_ += operations;
    last_progress_ = now;
    want_progress_ = true;
    emit(EventKind::kChunkPersisted, out, {}, operations);
  }
  advance(now, out);
}

// --- progress

void Pass::maybe_write_progress(PassActions& out) {
  if (want_progress_ && !progress_out_) {
    want_progress_ = false;
    progress_out_ = true;
    out.push_back(ProgressAction{progress()});
    emit(EventKind::kJobProgress, out);
  }
}

void Pass::on_progress_written(const Status& answer, MonoTime now, PassActions& out) {
  progress_out_ = false;
  if (ignores_answers()) {
    return;
  }
  if (lost_lease(answer, now, out)) {
    return;
  }
  advance(now, out);  // a progress write that failed does not fail the job
}

// --- what comes next

void Pass::advance_embed(MonoTime now, PassActions& out) {
  if (stopping_) {
    // Batches that wait for their record were never sent.
    std::erase_if(in_flight_, [](const auto& entry) { return entry.second.state == BatchState::kToRecord; });
  }
  maybe_record(out);
  maybe_persist(now, out);
  maybe_write_progress(out);
  if (ending_) {
    if (in_flight_.empty() && finished_.empty() && !persisting_) {
      finish(out);
    }
    return;
  }
  if (!nothing_left() || recording_) {
    return;
  }
  if (elsewhere_.empty() && queue_.any_postponed()) {
    end_with(OutcomeKind::kRetry, queue_.postponed_message());
    finish(out);
  } else if (elsewhere_.empty() && queue_.any_set_aside()) {
    end_with(OutcomeKind::kFail, queue_.set_aside_message());
    finish(out);
  } else if (elsewhere_.empty()) {
    enter_finalize(manifest_, out);
  } else if (!reserve_at_) {
    reserve_at_ = now + reserve_backoff(reserve_rounds_);
  } else if (now >= *reserve_at_) {
    enter_reserve(std::move(elsewhere_), out);
  }
}

}  // namespace embedjobs::core
