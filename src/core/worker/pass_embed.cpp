// The embedding half of a pass: chunks go out, rows come back and are persisted, what fails is split, cut or set aside.
#include <fmt/format.h>

#include <algorithm>

#include "core/worker/pass.hpp"

namespace embedjobs::core {
namespace {

constexpr std::size_t kRowsAWrite = 1000;  // a writing transaction is short
constexpr std::size_t kRowsToHold = 2000;  // embedded, not yet persisted: above it no new chunk is sent
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
  return next_missing_ >= missing_.size() && alone_.empty() && again_.empty() && flying_.empty() && finished_.empty() &&
         !persisting_;
}

bool Pass::wants_chunk() const {
  if (phase_ != PassPhase::kEmbed || ending_ || stopping_ || finished_rows_ >= kRowsToHold) {
    return false;
  }
  if (!alone_.empty() || has_alone()) {
    return flying_.empty() && !alone_to_clear_;
  }
  if (!again_.empty()) {
    return !again_.front().alone || flying_.empty();
  }
  return next_missing_ < missing_.size();
}

bool Pass::wants_alone() const {
  return wants_chunk() && (again_.empty() ? !alone_.empty() : again_.front().alone);
}

std::size_t Pass::chunks_waiting() const {
  return static_cast<std::size_t>(std::count_if(
      flying_.begin(), flying_.end(), [](const auto& entry) { return entry.second.state != ChunkState::kSent; }));
}

std::size_t Pass::bytes_of(const Piece& piece) const {
  std::size_t bytes = plan_->operations().text(piece.operation).size();
  for (const std::size_t cap : {settings_.input_cap, piece.cut}) {
    bytes = cap == 0 ? bytes : std::min(bytes, cap);
  }
  return bytes;
}

/// What comes again goes first: a text that was alone stays so. Batches may have become smaller since it was sent.
void Pass::take_again(std::size_t most_texts, std::size_t most_bytes, Chunk& chunk) {
  Chunk whole = std::move(again_.front());
  again_.pop_front();
  chunk.alone = whole.alone;
  auto rest = whole.pieces.begin();
  for (; rest != whole.pieces.end() && chunk.pieces.size() < most_texts; ++rest) {
    if (chunk.bytes + bytes_of(*rest) > most_bytes && !chunk.pieces.empty()) {
      chunk.full_by_bytes = true;
      break;
    }
    chunk.bytes += bytes_of(*rest);
    chunk.pieces.push_back(*rest);
  }
  if (rest != whole.pieces.end()) {
    again_.push_front({.pieces = {rest, whole.pieces.end()}});
  }
}

void Pass::next_pieces(std::size_t most_texts, std::size_t most_bytes, Chunk& chunk) {
  if (!again_.empty()) {
    take_again(most_texts, most_bytes, chunk);
    return;
  }
  if (!alone_.empty()) {
    chunk.pieces.push_back({alone_.front()});
    chunk.bytes = bytes_of(chunk.pieces.front());
    chunk.alone = true;
    alone_.pop_front();
    return;
  }
  for (; next_missing_ < missing_.size() && chunk.pieces.size() < most_texts; ++next_missing_) {
    const Piece piece{missing_[next_missing_]};
    if (skipped_.contains(piece.operation)) {
      continue;
    }
    if (chunk.bytes + bytes_of(piece) > most_bytes && !chunk.pieces.empty()) {
      chunk.full_by_bytes = true;
      break;
    }
    chunk.bytes += bytes_of(piece);
    chunk.pieces.push_back(piece);
  }
}

std::optional<CallSize> Pass::take_chunk(std::size_t most_texts, std::size_t most_bytes, MonoTime now,
                                         PassActions& out) {
  if (!wants_chunk()) {
    return std::nullopt;
  }
  Chunk chunk;
  next_pieces(std::max<std::size_t>(most_texts, 1), std::max<std::size_t>(most_bytes, 1), chunk);
  if (chunk.pieces.empty()) {
    advance(now, out);  // only skipped ones were left
    return std::nullopt;
  }
  chunk.id = ++last_chunk_id_;
  const CallSize size = chunk.size();
  // From the first crash of a generation on, what is in flight is recorded before it is sent.
  if (lease_.job.crashes > 0) {
    flying_.emplace(last_chunk_id_, Flying{std::move(chunk), ChunkState::kToRecord});
    maybe_record(out);
  } else {
    out.push_back(EmbedAction{plan_, chunk});
    flying_.emplace(last_chunk_id_, Flying{std::move(chunk), ChunkState::kSent});
  }
  return size;
}

void Pass::maybe_record(PassActions& out) {
  const auto to_record = [](const auto& entry) { return entry.second.state == ChunkState::kToRecord; };
  if (recording_ || (!alone_to_clear_ && std::none_of(flying_.begin(), flying_.end(), to_record))) {
    return;
  }
  recording_ = true;
  RecordAction record;
  for (auto& [id, flying] : flying_) {
    if (flying.state == ChunkState::kToRecord) {
      flying.state = ChunkState::kRecording;
    }
    for (const Piece& piece : flying.chunk.pieces) {
      record.sent.push_back(plan_->operations().text_hash(piece.operation));
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
  for (auto entry = flying_.begin(); entry != flying_.end();) {
    Flying& flying = entry->second;
    if (flying.state != ChunkState::kRecording) {
      ++entry;
    } else if (!answer.ok() || ending_ || stopping_) {
      entry = flying_.erase(entry);  // never sent
    } else {
      flying.state = ChunkState::kSent;
      out.push_back(EmbedAction{plan_, flying.chunk});
      ++entry;
    }
  }
  advance(now, out);
}

void Pass::on_embedded(std::uint64_t chunk_id, Result<Embeddings> answer, MonoTime now, PassActions& out) {
  const auto entry = flying_.find(chunk_id);
  if (entry == flying_.end() || ignores_answers()) {
    return;
  }
  Chunk chunk = std::move(entry->second.chunk);
  flying_.erase(entry);
  if (lease_.job.crashes > 0 && answer.status().code() != Code::kCancelled) {
    for (const Piece& piece : chunk.pieces) {
      answered_.push_back(plan_->operations().text_hash(piece.operation));
    }
    alone_to_clear_ = chunk.alone;
  }
  if (answer.ok()) {
    single_failures_ = 0;
    last_failure_.clear();
    prompt_tokens_ += answer->prompt_tokens.value_or(0);
    finished_rows_ += chunk.pieces.size();
    finished_.push_back({std::move(chunk), std::move(answer->vectors)});
  } else {
    on_embed_error(chunk, answer.status());
  }
  advance(now, out);
}

// A batch is first split or a text cut where the error says so. An error that stays ends the pass, after what is in
// flight is persisted.
void Pass::on_embed_error(const Chunk& chunk, const Status& error) {
  const bool single = chunk.pieces.size() == 1;
  switch (error.code()) {
    case Code::kPaused: again_.push_front(chunk); return;
    case Code::kCancelled:
      if (!stopping_) {
        end_with(OutcomeKind::kRetry, describe(chunk) + ": the provider call was cancelled");
      }
      return;
    case Code::kTimeout:
      if (!single) {
        split_chunk(chunk);
        return;
      }
      break;
    case Code::kBatchTooLarge:
    case Code::kInputTooLarge:
      if (!single) {
        split_chunk(chunk);
      } else {
        cut_piece(chunk, error);
      }
      return;
    case Code::kInputRejected:
      if (!single) {
        split_chunk(chunk);
      } else {
        set_aside(chunk.pieces[0].operation, error.message());
      }
      return;
    case Code::kFailed: end_with(OutcomeKind::kFail, describe(chunk) + ": " + error.message()); return;
    default: break;
  }
  last_failure_ = describe(chunk) + ": " + error.message();
  if (lease_.job.errors_in_row >= kErrorsToLookClosely && !single) {
    split_chunk(chunk);
  } else if (lease_.job.errors_in_row >= kErrorsToLookClosely && ++single_failures_ < kSingleFailures) {
    postpone(chunk.pieces[0].operation, error);
  } else {
    end_with(OutcomeKind::kRetry, last_failure_);
  }
}

/// One text may be what the provider chokes on, pass after pass: the others go on, and the next pass begins with less.
void Pass::postpone(std::uint32_t operation, const Status& error) {
  skipped_.insert(operation);
  postponed_.emplace_back(operation, error.message());
}

void Pass::split_chunk(const Chunk& chunk) {
  const auto middle = chunk.pieces.begin() + static_cast<std::ptrdiff_t>(chunk.pieces.size() / 2);
  again_.push_front({.pieces = {middle, chunk.pieces.end()}});
  again_.push_front({.pieces = {chunk.pieces.begin(), middle}});
}

void Pass::cut_piece(const Chunk& chunk, const Status& error) {
  Piece piece = chunk.pieces[0];
  const std::size_t sent = bytes_of(piece);
  if (sent <= kSmallestCut) {
    set_aside(piece.operation, error.message());
    return;
  }
  piece.cut = std::max(kSmallestCut, sent / 2);
  again_.push_front({.pieces = {piece}, .alone = chunk.alone});
}

void Pass::set_aside(std::uint32_t operation, const std::string& why) {
  skipped_.insert(operation);
  failing_.emplace_back(operation, why);
}

std::string Pass::describe(const Chunk& chunk) const {
  const OperationList& operations = plan_->operations();
  const std::uint32_t first = chunk.pieces.front().operation;
  const std::uint32_t last = chunk.pieces.back().operation;
  if (chunk.pieces.size() == 1) {
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
  auto group = std::make_shared<std::vector<FinishedChunk>>();
  std::size_t rows = 0;
  auto end = finished_.begin();
  do {
    rows += end->chunk.pieces.size();
    group->push_back(std::move(*end));
    ++end;
  } while (end != finished_.end() && rows + end->chunk.pieces.size() <= kRowsAWrite);
  finished_.erase(finished_.begin(), end);
  persisting_ = std::move(group);
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
             describe(persisting_->front().chunk) + ": the vectors can't be stored: " + answer.message());
    persisting_.reset();
    finished_.clear();
    finished_rows_ = 0;
  } else {
    std::int64_t operations = 0;
    for (const FinishedChunk& finished : *persisting_) {
      finished_rows_ -= finished.chunk.pieces.size();
      for (const Piece& piece : finished.chunk.pieces) {
        operations += plan_->count_of_text(piece.operation);
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
    std::erase_if(flying_, [](const auto& entry) { return entry.second.state == ChunkState::kToRecord; });
  }
  while (next_missing_ < missing_.size() && skipped_.contains(missing_[next_missing_])) {
    ++next_missing_;
  }
  maybe_record(out);
  maybe_persist(now, out);
  maybe_write_progress(out);
  if (ending_) {
    if (flying_.empty() && finished_.empty() && !persisting_) {
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
             fmt::format("{}: {}{}", describe({.pieces = {{operation}}}), why,
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
