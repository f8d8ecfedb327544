// One pass over a spec, as a state machine: answers and the time go in, actions come out. It never blocks, has no
// locks, and lives on the worker's logical thread.
//
//   phase      waits for                 then
//   resolve    the document              split, or compute (a host's own), or finalize (gone: an empty manifest)
//   split      its operations            list
//   list       which are stored          reserve
//   reserve    which others embed        embed
//   embed      batches, rows, progress   finalize when nothing is missing; reserve again what others embed
//   compute    the host's manifest       finalize
//   finalize   the visible manifest      settle; list again when a vector is missing
//   again      the document, once more   settle (before a terminal failure: it may be gone or changed)
//   settle     the outcome's answer      ended
//
// An outcome that is not success is kept in `ending_` until what is in flight has come back and is persisted. A lost
// lease ends everything.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "core/worker/embed_queue.hpp"
#include "core/worker/pass_actions.hpp"
#include "embedjobs/embedder.hpp"
#include "embedjobs/sys/runtime.hpp"

namespace embedjobs::core {

struct PassSettings {
  Space space;
  std::string splitter_version;
  bool host_compute = false;
  std::size_t input_cap = 0;
  Duration safety_bound = std::chrono::hours(1);
};

enum class PassPhase { kResolve, kSplit, kList, kReserve, kEmbed, kCompute, kFinalize, kResolveAgain, kSettle, kEnded };

class Pass {
 public:
  Pass(Lease lease, PassSettings settings) : lease_(std::move(lease)), settings_(std::move(settings)) {}

  void start(MonoTime now, PassActions& out);

  // Answers to actions.
  void on_resolved(Result<Document> answer, MonoTime now, PassActions& out);
  void on_split(Result<std::shared_ptr<const Plan>> answer, MonoTime now, PassActions& out);
  void on_listed(Result<std::vector<bool>> answer, MonoTime now, PassActions& out);
  void on_reserved(Result<std::vector<Reservation>> answer, MonoTime now, PassActions& out);
  void on_recorded(const Status& answer, MonoTime now, PassActions& out);
  void on_embedded(std::uint64_t batch_id, Result<Embeddings> answer, MonoTime now, PassActions& out);
  /// A long text passed at this many bytes: the first try for the next one that is refused. Never a cap.
  void know_length(std::size_t bytes) { first_cut_ = bytes; }
  void on_persisted(const Status& answer, MonoTime now, PassActions& out);
  void on_progress_written(const Status& answer, MonoTime now, PassActions& out);
  void on_computed(Result<Manifest> answer, MonoTime now, PassActions& out);
  void on_finalized(const Status& answer, MonoTime now, PassActions& out);
  void on_settled(const Result<JobStatus>& answer, MonoTime now, PassActions& out);
  // What a host's compute says while it runs.
  void on_host_progress(std::int64_t done, std::int64_t total, MonoTime now, PassActions& out);
  void on_host_persisted(std::int64_t operations, MonoTime now, PassActions& out);

  // From outside.
  /// Starts a batch of at most these sizes, if the pass has one, and answers its size. Its EmbedAction comes at once,
  /// or after a record: until then it counts in batches_waiting().
  std::optional<CallSize> take_batch(std::size_t most_texts, std::size_t most_bytes, PassActions& out);
  void on_lease_lost(MonoTime now, PassActions& out);
  /// By our own clock the lease has ended: nothing is written any more but the outcome, which its fence makes harmless
  /// and which releases the job if it is still ours.
  void on_lease_expired(MonoTime now, PassActions& out);
  void on_stop(MonoTime now, PassActions& out) { release(kStopped, now, out); }
  /// Ends the pass and releases the job, for whatever reason: calls are cancelled, what has come back is persisted.
  void release(const std::string& why, MonoTime now, PassActions& out);
  void on_yield(MonoTime now, PassActions& out);
  /// The provider pauses until `until`, longer than a lease.
  void on_pause(Duration wait, const std::string& why, MonoTime now, PassActions& out);
  /// The provider pauses until then: waiting for it is not a hang.
  void on_paused_until(MonoTime until);
  void on_time(MonoTime now, PassActions& out);

  [[nodiscard]] bool wants_batch() const;
  /// The batch that it wants is a suspect: it goes alone, in the whole process.
  [[nodiscard]] bool wants_alone() const;
  /// A suspect is on its way, or its answer is not on record yet.
  [[nodiscard]] bool has_alone() const {
    return alone_to_clear_ || (!in_flight_.empty() && in_flight_.begin()->second.batch.alone);
  }
  /// Batches that were taken, and whose EmbedAction is still to come.
  [[nodiscard]] std::size_t batches_waiting() const;
  /// When on_time() should be called.
  [[nodiscard]] std::optional<MonoTime> wake_at() const;
  /// Over, and no write of it is under way any more.
  [[nodiscard]] bool ended() const { return phase_ == PassPhase::kEnded && writes_out_ == 0; }
  /// Not lost, and not settled, as far as we know.
  [[nodiscard]] bool holds_lease() const { return phase_ != PassPhase::kEnded; }
  /// How often the outcome was sent without an answer that says something.
  [[nodiscard]] int settle_tries() const { return settle_tries_; }
  /// The outcome is on its way, or done.
  [[nodiscard]] bool settling() const { return phase_ == PassPhase::kSettle || phase_ == PassPhase::kEnded; }
  [[nodiscard]] PassPhase phase() const { return phase_; }
  [[nodiscard]] const Job& job() const { return lease_.job; }
  [[nodiscard]] LeaseRef lease() const { return {lease_.job.id, lease_.job.key, lease_.job.fence}; }
  [[nodiscard]] PassContext context() const;
  [[nodiscard]] std::stop_token stop_token() const { return stop_.get_token(); }
  [[nodiscard]] Progress progress() const;

 private:
  static constexpr const char* kStopped = "the worker stopped";
  static constexpr int kWriteTries = 4;  // of a batch or manifest within a pass
  static Duration write_backoff(int tries);

  enum class BatchState { kToRecord, kRecording, kSent };
  struct BatchInFlight {
    Batch batch;
    BatchState state = BatchState::kSent;
  };

  void advance(MonoTime now, PassActions& out);
  void advance_embed(MonoTime now, PassActions& out);
  bool lost_lease(const Status& answer, MonoTime now, PassActions& out);
  /// How a pass ends that its persister's error ends.
  static OutcomeKind outcome_of(const Status& error);
  /// Whether the persister answered for everything that it was asked. If not, the pass ends.
  template <typename T>
  bool answered(const Result<std::vector<T>>& answer, std::size_t asked, const char* failure, MonoTime now,
                PassActions& out) {
    const bool whole = answer.ok() && answer->size() == asked;
    if (!whole) {
      end_unanswered(answer.status(), failure, now, out);
    }
    return whole;
  }
  void end_unanswered(const Status& answer, const char* failure, MonoTime now, PassActions& out);
  void enter_list(PassActions& out);
  void enter_reserve(std::vector<std::uint32_t> operations, PassActions& out);
  void enter_embed(MonoTime now, PassActions& out);
  void enter_finalize(std::shared_ptr<const Manifest> manifest, PassActions& out);
  void begin_work(Document document, PassActions& out);
  void clear_rows(PassActions& out);
  void enter_settle(Outcome outcome, PassActions& out);
  void finish(PassActions& out);
  void send_settle(PassActions& out);
  void send_finalize(PassActions& out);
  void maybe_record(PassActions& out);
  void maybe_persist(MonoTime now, PassActions& out);
  void maybe_write_progress(PassActions& out);
  void end_with(OutcomeKind kind, const std::string& error);
  void end_with(Outcome outcome);
  void on_embed_error(const Batch& batch, const Status& error);
  void emit(EventKind kind, PassActions& out, std::string message = {}, std::int64_t count = 0);
  [[nodiscard]] std::string describe(const Batch& batch) const { return core::describe(plan_->operations(), batch); }
  [[nodiscard]] bool nothing_left() const;
  [[nodiscard]] bool ignores_answers() const { return settling(); }

  Lease lease_;
  PassSettings settings_;
  PassPhase phase_ = PassPhase::kResolve;
  std::stop_source stop_;
  std::optional<Outcome> ending_;
  bool stopping_ = false;
  bool resolved_again_ = false;
  int writes_out_ = 0;  // persist, finalize and compute under way

  std::shared_ptr<const Document> document_;
  std::string content_version_;
  std::shared_ptr<const Plan> plan_;
  std::shared_ptr<const Manifest> manifest_;

  // Embedding.
  std::shared_ptr<const std::vector<std::uint32_t>> to_reserve_;
  std::vector<std::uint32_t> elsewhere_;  // first operations of texts that other passes embed
  int reserve_rounds_ = 0;                // in a row that brought nothing
  std::optional<MonoTime> reserve_at_;
  EmbedQueue queue_;
  std::size_t first_cut_ = 0;
  std::map<std::uint64_t, BatchInFlight> in_flight_;
  std::uint64_t last_batch_id_ = 0;
  std::vector<EmbeddedBatch> finished_;  // to be persisted
  std::size_t finished_rows_ = 0;
  std::shared_ptr<const std::vector<EmbeddedBatch>> persisting_;
  int persist_tries_ = 0;
  std::optional<MonoTime> persist_at_;
  bool recording_ = false;
  bool alone_to_clear_ = false;
  std::vector<TextHash> answered_;
  std::string last_failure_;  // of a call, since the last that worked
  int list_rounds_ = 0;

  // Counts.
  std::int64_t operation_count_ = 0, reused_ = 0, embedded_ = 0;
  bool counted_ = false;  // what is missing is known
  bool host_progress_seen_ = false;
  std::uint64_t prompt_tokens_ = 0;
  bool want_progress_ = false, progress_out_ = false;

  // Ends.
  int finalize_tries_ = 0;
  std::optional<MonoTime> finalize_at_;
  int settle_tries_ = 0;
  std::optional<MonoTime> settle_at_;
  std::optional<Outcome> outcome_;
  std::optional<MonoTime> stop_grace_;
  MonoTime last_progress_{};
};

}  // namespace embedjobs::core
