// The worker as a state machine: slots, claims, one heartbeat for all leases, polling, stop. Answers and the time go
// in, actions come out.
//
//   state      what happens
//   new        nothing until start
//   opening    asks the embedder for its space, again and again while the provider is down, and the store for what it
//              knows of the provider
//   running    claims into free slots, hands provider calls to passes, renews leases
//   stopping   passes end; a claim without an answer is asked for once more, so that what it leased is released;
//              then it signs off
//   stopped    nothing
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "core/worker/batch_size.hpp"
#include "core/worker/pass.hpp"
#include "core/worker/provider_gate.hpp"
#include "core/worker/provider_memory.hpp"
#include "core/worker/token_budget.hpp"
#include "embedjobs/metrics.hpp"
#include "embedjobs/options.hpp"

namespace embedjobs::core {

using PassId = std::uint64_t;

struct SpaceAction {};
struct ClaimAction {
  ClaimRequest request;  ///< nonce 0: the shell draws a new one; else the claim is sent again.
};
struct ProviderAction {
  std::string provider;
};
struct NoteAction {
  std::string provider;
  ProviderNote note;
};
/// "I am here", for the fleet view.
struct RegisterAction {
  std::string provider, space_id;  ///< Empty: not known yet.
};
struct UnregisterAction {};
struct PeekAction {
  std::string space_id;
};
struct RenewAction {
  std::vector<LeaseRef> leases;
  std::vector<PassId> passes;
  Duration time_limit;
  MonoTime sent_at;
};
struct PassStep {
  PassId pass = 0;
  PassAction action;
};
struct LogAction {
  LogLevel level;
  std::string message;
};
struct EventAction {
  Event event;
};
struct StoppedAction {};
using WorkerAction =
    std::variant<SpaceAction, ProviderAction, NoteAction, RegisterAction, UnregisterAction, ClaimAction, PeekAction,
                 RenewAction, PassStep, LogAction, EventAction, StoppedAction>;
using WorkerActions = std::vector<WorkerAction>;

struct WorkerSettings {
  WorkerOptions options;
  EmbedderLimits limits;
  std::string provider;  ///< Empty: the model of the space.
  std::string splitter_version;
  bool host_compute = false;
  Duration lease_duration{0};  ///< The store's.
  Duration poll_interval{0};   ///< The store's.
};

/// The provider can't be called, or has not answered yet since it could not.
struct ProviderWait {
  MonoTime since;
  MonoTime until;  ///< Of the pause under way; in the past when the probe is out.
  std::string reason;
};

enum class WorkerState { kNew, kOpening, kRunning, kStopping, kStopped };

class WorkerMachine {
 public:
  explicit WorkerMachine(WorkerSettings settings);

  void start(MonoTime now, WorkerActions& out);
  void wake(MonoTime now, WorkerActions& out);
  void stop(MonoTime now, WorkerActions& out);
  void on_time(MonoTime now, WorkerActions& out);

  void on_space(Result<Space> answer, double jitter, MonoTime now, WorkerActions& out);
  void on_claimed(Result<ClaimResult> answer, MonoTime now, WorkerActions& out);
  void on_peeked(const Result<Peek>& answer, MonoTime now, WorkerActions& out);
  void on_renewed(const RenewAction& sent, const Result<std::vector<bool>>& answer, MonoTime now, WorkerActions& out);
  void on_embedded(PassId pass, std::uint64_t batch, const CallSize& size, Result<Embeddings> answer, double jitter,
                   MonoTime now, WorkerActions& out);
  void on_provider(const Result<ProviderState>& answer, MonoTime now, WorkerActions& out);
  void on_noted(const Status& answer, MonoTime now, WorkerActions& out);
  void on_registered(const Status& answer, MonoTime now, WorkerActions& out);
  void on_unregistered(const Status& answer, WorkerActions& out);
  /// Any other answer to a pass; ignored when the pass is over.
  void on_pass(PassId pass, MonoTime now, WorkerActions& out, const std::function<void(Pass&, PassActions&)>& deliver);

  /// For the metrics: the answer to a batch or a manifest.
  void note_write(const Status& answer);

  /// The nonce that the shell drew for the claim on its way, so that the same claim can be sent again.
  void claim_sent(std::uint64_t nonce, MonoTime now);

  [[nodiscard]] std::optional<MonoTime> wake_at(MonoTime now) const;
  [[nodiscard]] WorkerState state() const { return state_; }
  [[nodiscard]] WorkerMetrics metrics() const;
  [[nodiscard]] const std::optional<ProviderWait>& provider_wait() const { return wait_; }
  [[nodiscard]] const Pass* pass(PassId id) const;

 private:
  struct Slot {
    Pass pass;
    MonoTime valid_until;  // by our own clock, counted from before the claim or renewal was sent
    MonoTime started;
  };

  void advance(MonoTime now, WorkerActions& out);
  void step(PassId id, PassActions actions, WorkerActions& out);
  void note(const Event& event);
  void claim(MonoTime now, WorkerActions& out);
  void begin_passes(std::vector<Lease> leases, MonoTime now, WorkerActions& out);
  bool send_alone(MonoTime now, WorkerActions& out);
  void send_calls(MonoTime now, WorkerActions& out);
  [[nodiscard]] bool learns_first() const;
  void release_while_paused(MonoTime now, WorkerActions& out);
  void begin_running(MonoTime now, WorkerActions& out);
  bool note_call(const CallSize& size, const Result<Embeddings>& answer, double jitter, MonoTime now);
  void note_provider(MonoTime now, WorkerActions& out);
  void hold_for_budget(MonoTime now, WorkerActions& out);
  void wait_for_provider(MonoTime until, const std::string& reason, MonoTime now, WorkerActions& out);
  void send_note(MonoTime now, WorkerActions& out);
  [[nodiscard]] std::size_t batch_bytes() const;
  [[nodiscard]] std::optional<MonoTime> budget_ask_at(MonoTime now) const;
  void renew(MonoTime now, WorkerActions& out);
  void register_worker(MonoTime now, WorkerActions& out);
  void yield_to_urgent(MonoTime now, WorkerActions& out);
  void drop_ended();
  void maybe_stopped(WorkerActions& out);
  [[nodiscard]] std::size_t free_slots() const;
  [[nodiscard]] std::size_t calls_waiting() const;
  [[nodiscard]] Duration tick() const { return settings_.lease_duration / 3; }
  [[nodiscard]] bool long_pause(MonoTime now) const;

  WorkerSettings settings_;
  WorkerState state_ = WorkerState::kNew;
  Space space_;
  BatchSize batch_;
  ProviderGate gate_;
  TokenEstimate estimate_;
  bool answered_once_ = false;
  TokenBudget budget_;
  std::string provider_;
  ProviderMemory memory_;
  std::optional<ProviderWait> wait_;
  bool logged_no_tokens_ = false;
  bool logged_no_budget_ = false;

  std::map<PassId, Slot> slots_;
  PassId last_pass_ = 0;
  PassId last_served_ = 0;  // round robin of provider calls

  // Claims.
  bool want_claim_ = false;
  bool claim_out_ = false;
  std::optional<ClaimRequest> unanswered_claim_;
  MonoTime claim_sent_at_{};
  std::uint64_t claims_ = 0;
  int claim_errors_ = 0;
  int empty_claims_ = 0;
  int claims_after_stop_ = 0;
  MonoTime claim_not_before_{};
  MonoTime claim_at_{};
  std::optional<MonoTime> open_at_;
  int open_errors_ = 0;
  std::string logged_open_error_;
  std::string logged_other_space_;

  // Polling.
  bool want_peek_ = false;
  bool peek_out_ = false;
  MonoTime peek_at_{};
  std::optional<std::uint64_t> enqueue_counter_;

  // Heartbeat.
  bool renew_out_ = false;
  MonoTime renew_at_{};

  // The fleet view: register_worker at every tick, sign off at the end. Work never waits for it.
  bool register_out_ = false;  // a register or unregister without an answer
  bool registered_ = false;
  MonoTime register_at_{};
  std::string logged_register_error_;

  WorkerMetrics metrics_;
};

}  // namespace embedjobs::core
