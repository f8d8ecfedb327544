#include "core/pass.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace embedjobs::core {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::size_t kRowsAWrite = 1000;  // a writing transaction is short
constexpr std::size_t kRowsToHold = 2000;  // embedded, not yet persisted: above it no new chunk is sent
constexpr std::size_t kSmallestCut = 256;  // bytes
constexpr int kWriteTries = 4;             // of a chunk or manifest within a pass
constexpr int kListRounds = 3;
constexpr Duration kStopGrace = seconds(1);  // for calls that were cancelled to come back
constexpr std::size_t kNamesInMessage = 5;

Duration write_backoff(int tries) {
  return milliseconds(100) * (1 << std::min(tries, 6));
}

Duration settle_backoff(int tries) {
  return std::min<Duration>(milliseconds(100) * (1 << std::min(tries, 6)), seconds(5));
}

}  // namespace

PassContext Pass::context() const {
  return {.key = lease_.job.key,
          .job_id = lease_.job.id,
          .fence = lease_.job.fence,
          .generation = lease_.job.generation,
          .space = settings_.space,
          .epoch = lease_.job.epoch,
          .reuse_floor = lease_.reuse_floor,
          .input_cap = settings_.input_cap,
          .content_version = content_version_,
          .splitter_version = settings_.splitter_version};
}

Progress Pass::progress() const {
  return {.operation_count = operation_count_,
          .reused = reused_,
          .embedded = embedded_,
          .missing = operation_count_ - reused_ - embedded_ - set_aside_count_};
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
// -----------------------------------------------------------------------------------------------------------------

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
  if (phase_ == PassPhase::kLookAgain) {
    if (gone) {
      ending_.reset();
    } else if (answer.ok() && answer->version != content_version_) {
      ending_ = Outcome{.kind = OutcomeKind::kRetry, .error = "the document changed during the pass", .retry_at_once = true};
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
    failing_.clear();
    enter_finalize(std::make_shared<const Manifest>(), out);
  } else if (phase_ == PassPhase::kLookAgain) {
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

void Pass::enter_list(PassActions& out) {
  phase_ = PassPhase::kList;
  ++list_rounds_;
  out.push_back(ListAction{plan_});
}

void Pass::on_listed(Result<std::vector<bool>> answer, MonoTime now, PassActions& out) {
  if (phase_ != PassPhase::kList) {
    return;
  }
  if (!answer.ok() || answer->size() != plan_->size()) {
    if (answer.status().code() == Code::kLeaseLost) {
      on_lease_lost(now, out);
      return;
    }
    end_with(OutcomeKind::kRetry, answer.ok() ? "the persister answered for another number of operations than asked"
                                              : "stored vectors can't be listed: " + answer.status().message());
    advance(now, out);
    return;
  }
  const std::vector<bool>& stored = *answer;
  missing_.clear();
  next_missing_ = 0;
  skipped_.clear();
  alone_.clear();
  reused_ = 0;
  failing_.clear();
  set_aside_count_ = 0;
  for (std::uint32_t first = 0; first < plan_->size(); ++first) {
    if (!plan_->is_first_of_text(first)) {
      continue;
    }
    bool all_stored = true;
    std::int64_t operations = 0;
    for (std::uint32_t operation = first; operation != Plan::kNone; operation = plan_->next_of_text(operation)) {
      all_stored = all_stored && stored[operation];
      ++operations;
    }
    if (all_stored) {
      reused_ += operations;
    } else {
      missing_.push_back(first);
    }
  }
  embedded_ = std::min(embedded_, reused_);  // in a second round what this pass embedded is stored too
  reused_ -= embedded_;
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
  missing_.shrink_to_fit();
  phase_ = PassPhase::kEmbed;
  if (lease_.job.crashes > 0 && !recording_) {
    recording_ = true;
    out.push_back(RecordAction{});  // nothing is in flight yet: should the process die now, it was not for a text of this pass
  }
  want_progress_ = true;
  last_progress_ = now;
  advance(now, out);
}

// --- embed
// --------------------------------------------------------------------------------------------------------------------------------

bool Pass::nothing_left() const {
  return next_missing_ >= missing_.size() && alone_.empty() && again_.empty() && flying_.empty() && finished_.empty() && !persisting_;
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
  return static_cast<std::size_t>(
      std::count_if(flying_.begin(), flying_.end(), [](const auto& entry) { return entry.second.state != ChunkState::kSent; }));
}

bool Pass::next_pieces(std::size_t most_texts, std::size_t most_bytes, Chunk& chunk) {
  // What comes again goes first: a text that was alone stays so.
  if (!again_.empty()) {
    chunk = std::move(again_.front());
    again_.pop_front();
    if (chunk.pieces.size() > most_texts) {
      Chunk rest;
      rest.pieces.assign(chunk.pieces.begin() + static_cast<std::ptrdiff_t>(most_texts), chunk.pieces.end());
      chunk.pieces.resize(most_texts);
      again_.push_front(std::move(rest));
    }
    return true;
  }
  if (!alone_.empty()) {
    chunk.pieces.push_back({alone_.front()});
    chunk.alone = true;
    alone_.pop_front();
    return true;
  }
  std::size_t bytes = 0;
  while (next_missing_ < missing_.size() && chunk.pieces.size() < most_texts) {
    const std::uint32_t operation = missing_[next_missing_];
    if (!skipped_.contains(operation)) {
      bytes += plan_->operations().text(operation).size();
      if (bytes > most_bytes && !chunk.pieces.empty()) {
        break;
      }
      chunk.pieces.push_back({operation});
    }
    ++next_missing_;
  }
  return !chunk.pieces.empty();
}

bool Pass::take_chunk(std::size_t most_texts, std::size_t most_bytes, MonoTime now, PassActions& out) {
  if (!wants_chunk()) {
    return false;
  }
  Chunk chunk;
  if (!next_pieces(std::max<std::size_t>(most_texts, 1), std::max<std::size_t>(most_bytes, 1), chunk)) {
    advance(now, out);  // only skipped ones were left
    return false;
  }
  chunk.id = ++last_chunk_id_;
  // From the first crash of a generation on, what is in flight is recorded before it is sent.
  if (lease_.job.crashes > 0) {
    flying_.emplace(last_chunk_id_, Flying{std::move(chunk), ChunkState::kToRecord});
    maybe_record(out);
  } else {
    out.push_back(EmbedAction{plan_, chunk});
    flying_.emplace(last_chunk_id_, Flying{std::move(chunk), ChunkState::kSent});
  }
  return true;
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
  if (answer.code() == Code::kLeaseLost) {
    on_lease_lost(now, out);
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

void Pass::on_embedded(std::uint64_t chunk_id, Result<Matrix> answer, MonoTime now, PassActions& out) {
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
    finished_rows_ += chunk.pieces.size();
    finished_.push_back({std::move(chunk), std::move(*answer)});
  } else {
    on_embed_error(chunk, answer.status());
  }
  advance(now, out);
}

// A batch is first split or a text cut where the error says so. An error that stays ends the pass, after what is in flight is persisted.
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
  end_with(OutcomeKind::kRetry, describe(chunk) + ": " + error.message());
}

void Pass::split_chunk(const Chunk& chunk) {
  const auto middle = chunk.pieces.begin() + static_cast<std::ptrdiff_t>(chunk.pieces.size() / 2);
  again_.push_front({.pieces = {middle, chunk.pieces.end()}});
  again_.push_front({.pieces = {chunk.pieces.begin(), middle}});
}

void Pass::cut_piece(const Chunk& chunk, const Status& error) {
  Piece piece = chunk.pieces[0];
  std::size_t sent = plan_->operations().text(piece.operation).size();
  for (const std::size_t cap : {settings_.input_cap, piece.cut}) {
    sent = cap == 0 ? sent : std::min(sent, cap);
  }
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
  return fmt::format("operations {} to {} of {} ({} ... {})", first + 1, last + 1, operations.size(), operations.operation_id(first),
                     operations.operation_id(last));
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
  if (answer.code() == Code::kLeaseLost) {
    on_lease_lost(now, out);
    return;
  }
  if (!answer.ok()) {
    if (++persist_tries_ < kWriteTries && !stopping_) {
      persist_at_ = now + write_backoff(persist_tries_);
      return;
    }
    end_with(OutcomeKind::kRetry, describe(persisting_->front().chunk) + ": the vectors can't be stored: " + answer.message());
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
  if (answer.code() == Code::kLeaseLost) {
    on_lease_lost(now, out);
    return;
  }
  advance(now, out);  // a progress write that failed does not fail the job
}

// --- a host's compute
// ---------------------------------------------------------------------------------------------------------------------

void Pass::on_host_progress(std::int64_t done, std::int64_t total, MonoTime now, PassActions& out) {
  if (phase_ != PassPhase::kCompute) {
    return;
  }
  if (!host_progress_seen_) {
    host_progress_seen_ = true;
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
// ------------------------------------------------------------------------------------------------------------------

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
  if (answer.code() == Code::kLeaseLost) {
    on_lease_lost(now, out);
    return;
  }
  if (answer.ok() || (gone && answer.code() == Code::kNotFound)) {
    enter_settle({.kind = OutcomeKind::kComplete}, out);
  } else if (answer.code() == Code::kIncomplete && plan_ && list_rounds_ < kListRounds) {
    enter_list(out);
  } else if (answer.code() != Code::kIncomplete && ++finalize_tries_ < kWriteTries && !stopping_) {
    finalize_at_ = now + write_backoff(finalize_tries_);
  } else {
    end_with(OutcomeKind::kRetry, "the manifest can't be stored: " + answer.message());
  }
  advance(now, out);
}

/// Everything that was in flight is back: on to the outcome that was kept.
void Pass::finish(PassActions& out) {
  if (ending_->kind == OutcomeKind::kFail && !looked_again_ && !stopping_) {
    looked_again_ = true;
    phase_ = PassPhase::kLookAgain;
    out.push_back(ResolveAction{});
    return;
  }
  enter_settle(*ending_, out);
}

void Pass::enter_settle(Outcome outcome, PassActions& out) {
  phase_ = PassPhase::kSettle;
  outcome.progress = progress();
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
      settle_at_ = now + settle_backoff(settle_tries_++);  // an outcome is sent until it is answered, or the lease has ended
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
// -------------------------------------------------------------------------------------------------------------------------

void Pass::on_lease_lost(MonoTime /*now*/, PassActions& out) {
  if (phase_ == PassPhase::kEnded) {
    return;
  }
  phase_ = PassPhase::kEnded;
  stop_.request_stop();
  flying_.clear();
  finished_.clear();
  emit(EventKind::kLeaseLost, out);
}

void Pass::on_lease_expired(MonoTime now, PassActions& out) {
  if (settling()) {
    return;
  }
  end_with({.kind = OutcomeKind::kRelease, .error = "the lease could not be renewed in time", .reason = ReleaseReason::kStop});
  stop_.request_stop();
  flying_.clear();
  finished_.clear();
  enter_settle(*ending_, out);
  advance(now, out);
}

void Pass::hand_back(const std::string& why, MonoTime now, PassActions& out) {
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
    end_with({.kind = OutcomeKind::kRelease, .error = "gave its slot to an urgent job", .reason = ReleaseReason::kYield});
    advance(now, out);
  }
}

void Pass::on_pause(Duration wait, const std::string& why, MonoTime now, PassActions& out) {
  if (phase_ == PassPhase::kEmbed) {
    end_with({.kind = OutcomeKind::kRelease, .error = why, .reason = ReleaseReason::kPause, .delay = wait});
    advance(now, out);
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
    flying_.clear();  // calls that hang do not hold the job
    enter_settle(*ending_, out);
  }
  if (stop_grace_ && now >= *stop_grace_ && !settling()) {
    flying_.clear();
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
  for (const auto& other : {persist_at_, finalize_at_, stop_grace_}) {
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
    case PassPhase::kLookAgain:
    case PassPhase::kSettle:
    case PassPhase::kEnded: return;
  }
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
  if (!failing_.empty()) {
    end_with(OutcomeKind::kFail, failing_message());
    finish(out);
    return;
  }
  enter_finalize(manifest_, out);
}

}  // namespace embedjobs::core
