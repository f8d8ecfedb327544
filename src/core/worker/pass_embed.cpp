// The embedding half of a pass: batches go out, rows come back and are persisted, what fails is split, cut or set
// aside.
#include <fmt/format.h>

#include <algorithm>

#include "core/worker/pass.hpp"

namespace embedjobs::core {
namespace {

constexpr std::size_t kRowsAWrite = 1000;  // a writing transaction is short
constexpr std::size_t kRowsToHold = 2000;  // embedded, not yet persisted: above it no new batch is sent
constexpr std::size_t kSmallestCut = 256;  // bytes
constexpr std::int64_t kErrorsToLookClosely =
    2;  // from this pass on a failing batch is split, and a failing text is left for the next one
constexpr int kSingleFailures = 3;  // texts in a row that failed alone: it is the provider
constexpr std::size_t kNamesInMessage = 5;

// Until what another pass embeds is asked for again.
Duration reserve_backoff(int rounds) {
  return std::min<Duration>(std::chrono::milliseconds(50) * (1 << std::min(rounds, 6)), std::chrono::seconds(2));
}

}  // namespace

bool Pass::nothing_left() const {
  return next_missing_ >= missing_.size() && alone_.empty() && again_.empty() && in_flight_.empty() &&
         finished_.empty() && !persisting_;
}

bool Pass::wants_batch() const {
  if (phase_ != PassPhase::kEmbed || ending_ || stopping_ || finished_rows_ >= kRowsToHold) {
    return false;
  }
  if (!alone_.empty() || has_alone()) {
    return in_flight_.empty() && !alone_to_clear_;
  }
  if (!again_.empty()) {
    return !again_.front().alone || in_flight_.empty();
  }
  return next_missing_ < missing_.size();
}

bool Pass::wants_alone() const {
  return wants_batch() && (again_.empty() ? !alone_.empty() : again_.front().alone);
}

std::size_t Pass::batches_waiting() const {
  return static_cast<std::size_t>(std::count_if(
      in_flight_.begin(), in_flight_.end(), [](const auto& entry) { return entry.second.state != BatchState::kSent; }));
}

std::size_t Pass::bytes_of(const BatchText& text) const {
  std::size_t bytes = plan_->operations().text(text.operation).size();
  for (const std::size_t cap : {settings_.input_cap, text.cut}) {
    bytes = cap == 0 ? bytes : std::min(bytes, cap);
  }
  return bytes;
}

/// What comes again goes first: a text that was alone stays so. Batches may have become smaller since it was sent.
void Pass::take_again(std::size_t most_texts, std::size_t most_bytes, Batch& batch) {
  Batch whole = std::move(again_.front());
  again_.pop_front();
  batch.alone = whole.alone;
  auto rest = whole.texts.begin();
  for (; rest != whole.texts.end() && batch.texts.size() < most_texts; ++rest) {
    if (batch.bytes + bytes_of(*rest) > most_bytes && !batch.texts.empty()) {
      batch.full_by_bytes = true;
      break;
    }
    batch.bytes += bytes_of(*rest);
    batch.texts.push_back(*rest);
  }
  if (rest != whole.texts.end()) {
    again_.push_front({.texts = {rest, whole.texts.end()}});
  }
}

void Pass::next_texts(std::size_t most_texts, std::size_t most_bytes, Batch& batch) {
  if (!again_.empty()) {
    take_again(most_texts, most_bytes, batch);
    return;
  }
  if (!alone_.empty()) {
    batch.texts.push_back({alone_.front()});
    batch.bytes = bytes_of(batch.texts.front());
    batch.alone = true;
    alone_.pop_front();
    return;
  }
  for (; next_missing_ < missing_.size() && batch.texts.size() < most_texts; ++next_missing_) {
    const BatchText text{missing_[next_missing_]};
    if (skipped_.contains(text.operation)) {
      continue;
    }
    if (batch.bytes + bytes_of(text) > most_bytes && !batch.texts.empty()) {
      batch.full_by_bytes = true;
      break;
    }
    batch.bytes += bytes_of(text);
    batch.texts.push_back(text);
  }
}

std::optional<CallSize> Pass::take_batch(std::size_t most_texts, std::size_t most_bytes, MonoTime now,
                                         PassActions& out) {
  if (!wants_batch()) {
    return std::nullopt;
  }
  Batch batch;
  next_texts(std::max<std::size_t>(most_texts, 1), std::max<std::size_t>(most_bytes, 1), batch);
  if (batch.texts.empty()) {
    advance(now, out);  // only skipped ones were left
    return std::nullopt;
  }
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
    single_failures_ = 0;
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
    case Code::kPaused: again_.push_front(batch); return;
    case Code::kCancelled:
      if (!stopping_) {
        end_with(OutcomeKind::kRetry, describe(batch) + ": the provider call was cancelled");
      }
      return;
    case Code::kTimeout:
      if (!single) {
        split_batch(batch);
        return;
      }
      break;
    case Code::kBatchTooLarge:
    case Code::kInputTooLarge:
      if (!single) {
        split_batch(batch);
      } else {
        cut_text(batch, error);
      }
      return;
    case Code::kInputRejected:
      if (!single) {
        split_batch(batch);
      } else {
        set_aside(batch.texts[0].operation, error.message());
      }
      return;
    case Code::kFailed: end_with(OutcomeKind::kFail, describe(batch) + ": " + error.message()); return;
    default: break;
  }
  last_failure_ = describe(batch) + ": " + error.message();
  if (lease_.job.errors_in_row >= kErrorsToLookClosely && !single) {
    split_batch(batch);
  } else if (lease_.job.errors_in_row >= kErrorsToLookClosely && ++single_failures_ < kSingleFailures) {
    postpone(batch.texts[0].operation, error);
  } else {
    end_with(OutcomeKind::kRetry, last_failure_);
  }
}

/// One text may be what the provider chokes on, pass after pass: the others go on, and the next pass begins with less.
void Pass::postpone(std::uint32_t operation, const Status& error) {
  skipped_.insert(operation);
  postponed_.emplace_back(operation, error.message());
}

void Pass::split_batch(const Batch& batch) {
  const auto middle = batch.texts.begin() + static_cast<std::ptrdiff_t>(batch.texts.size() / 2);
  again_.push_front({.texts = {middle, batch.texts.end()}});
  again_.push_front({.texts = {batch.texts.begin(), middle}});
}

void Pass::cut_text(const Batch& batch, const Status& error) {
  BatchText text = batch.texts[0];
  const std::size_t sent = bytes_of(text);
  if (sent <= kSmallestCut) {
    set_aside(text.operation, error.message());
    return;
  }
  text.cut = std::max(kSmallestCut, sent / 2);
  again_.push_front({.texts = {text}, .alone = batch.alone});
}

void Pass::set_aside(std::uint32_t operation, const std::string& why) {
  skipped_.insert(operation);
  failing_.emplace_back(operation, why);
}

std::string Pass::describe(const Batch& batch) const {
  const OperationList& operations = plan_->operations();
  const std::uint32_t first = batch.texts.front().operation;
  const std::uint32_t last = batch.texts.back().operation;
  if (batch.texts.size() == 1) {
    return fmt::format("operation {} of {} ({})", first + 1, operations.size(), operations.operation_id(first));
  }
  return fmt::format("operations {} to {} of {} ({} ... {})", first + 1, last + 1, operations.size(),
                     operations.operation_id(first), operations.operation_id(last));
}

std::string Pass::failing_message() const {
  std::string message = fmt::format("{} of {} operations can't be embedded: ", failing_.size(), operation_count_);
  for (std::size_t i = 0; i < std::min(failing_.size(), kNamesInMessage); ++i) {
    const auto& [operation, why] = failing_[i];
    message += fmt::format("{}{} ({})", i == 0 ? "" : ", ", plan_->operations().operation_id(operation), why);
  }
  return failing_.size() > kNamesInMessage ? message + ", ..." : message;
}

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
  } while (end != finished_.end() && rows + end->batch.texts.size() <= kRowsAWrite);
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

void Pass::advance_embed(MonoTime now, PassActions& out) {
  if (stopping_) {
    // Chunks that wait for their record were never sent.
    std::erase_if(in_flight_, [](const auto& entry) { return entry.second.state == BatchState::kToRecord; });
  }
  while (next_missing_ < missing_.size() && skipped_.contains(missing_[next_missing_])) {
    ++next_missing_;
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
  if (elsewhere_.empty() && !postponed_.empty()) {
    const auto& [operation, why] = postponed_.front();
    end_with(OutcomeKind::kRetry,
             fmt::format("{}: {}{}", describe({.texts = {{operation}}}), why,
                         postponed_.size() > 1 ? fmt::format(" (and {} more)", postponed_.size() - 1) : ""));
    finish(out);
  } else if (elsewhere_.empty() && !failing_.empty()) {
    end_with(OutcomeKind::kFail, failing_message());
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
