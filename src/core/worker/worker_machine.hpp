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
//
// What it does, and when: worker_due.cpp. Starting, stopping and passes: worker_machine.cpp. Claims and polling:
// worker_claim.cpp. What says that it and its leases live: worker_heartbeat.cpp. The provider: worker_provider.cpp.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/worker/batch_size.hpp"
#include "core/worker/due.hpp"
#include "core/worker/pass.hpp"
#include "core/worker/provider_gate.hpp"
#include "core/worker/provider_memory.hpp"
#include "core/worker/token_budget.hpp"
#include "core/worker/worker_actions.hpp"
#include "embedjobs/metrics.hpp"
#include "embedjobs/options.hpp"

namespace embedjobs::core {

struct WorkerSettings {
  WorkerOptions options;
  EmbedderLimits limits;
  std::string provider;  ///< Empty: the model of the space.
  std::string splitter_version;
  bool host_compute = false;
  bool asks_provider = false;  ///< The embedder has to ask its provider for its space.
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
  /// The time that wake_at() named has come. A call before it does nothing.
  void on_time(MonoTime now, WorkerActions& out) { advance(now, out); }

  void on_space(Result<Space> answer, double jitter, MonoTime now, WorkerActions& out);
  void on_claimed(Result<ClaimResult> answer, MonoTime now, WorkerActions& out);
  void on_peeked(const Result<Peek>& answer, MonoTime now, WorkerActions& out);
  void on_renewed(const RenewAction& sent, const Result<std::vector<bool>>& answer, MonoTime now, WorkerActions& out);
  void on_embedded(PassId pass, std::uint64_t batch, const CallSize& size, Result<Embeddings> answer, double jitter,
                   MonoTime now, WorkerActions& out);
  void on_provider(const Result<ProviderState>& answer, MonoTime now, WorkerActions& out);
  void on_noted(const Status& answer, MonoTime now, WorkerActions& out);
  void on_registered(const Status& answer, MonoTime now, WorkerActions& out);
  void on_unregistered(const Status& answer, MonoTime now, WorkerActions& out);
  /// Any other answer to a pass; ignored when the pass is over.
  void on_pass(PassId pass, MonoTime now, WorkerActions& out, const std::function<void(Pass&, PassActions&)>& deliver);

  /// For the metrics: the answer to a batch or a manifest.
  void note_write(const Status& answer);

  /// The nonce that the shell drew for the claim on its way, so that the same claim can be sent again.
  void claim_sent(std::uint64_t nonce, MonoTime now);

  /// When on_time() should be called: the earliest of what is due.
  [[nodiscard]] std::optional<MonoTime> wake_at(MonoTime now) const;
  /// When this is to be done, as things stand; none: nothing is to be done. After any event it is later than now.
  [[nodiscard]] std::optional<MonoTime> due_at(Due what, MonoTime now) const;
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
  using Slots = std::map<PassId, Slot>;

  void advance(MonoTime now, WorkerActions& out);
  void act(Due what, MonoTime now, WorkerActions& out);
  /// Whether this holds for any pass.
  [[nodiscard]] bool any(bool (*of_pass)(const Pass&)) const;
  /// The earliest of these of all slots.
  [[nodiscard]] std::optional<MonoTime> earliest(std::optional<MonoTime> (*of_slot)(const Slot&)) const;

  // Starting, stopping and passes.
  void ask_space(WorkerActions& out);
  void begin_running(MonoTime now, WorkerActions& out);
  void sign_off(WorkerActions& out);
  void call_passes(MonoTime now, WorkerActions& out);
  void drop_ended();
  void step(PassId id, PassActions actions, WorkerActions& out);
  void note(const Event& event);
  [[nodiscard]] std::size_t free_slots() const;

  // Claims and polling.
  void claim(WorkerActions& out);
  void begin_passes(std::vector<Lease> leases, MonoTime now, WorkerActions& out);
  void peek(WorkerActions& out);
  void open_when_due(const Result<Peek>& answer, MonoTime now);
  void yield_to_urgent(MonoTime now, WorkerActions& out);
  [[nodiscard]] MonoTime next_claim_at(MonoTime now) const;
  [[nodiscard]] std::optional<MonoTime> next_peek_at(MonoTime now) const;

  // Heartbeat.
  void fence_passes(MonoTime now, WorkerActions& out);
  void renew(MonoTime now, WorkerActions& out);
  void register_worker(MonoTime now, WorkerActions& out);
  [[nodiscard]] static std::optional<MonoTime> lease_end(const Slot& slot);
  [[nodiscard]] Duration tick() const { return settings_.lease_duration / 3; }

  // The provider.
  Slots::iterator next_to_call();
  void send_calls(MonoTime now, WorkerActions& out);
  void release_while_paused(MonoTime now, WorkerActions& out);
  void hold_while_provider_waits(MonoTime now);
  void ask_budget(WorkerActions& out);
  void say_provider(MonoTime now, WorkerActions& out);
  void wait_for_provider(MonoTime until, const std::string& reason, MonoTime now, WorkerActions& out);
  void send_note(MonoTime now, WorkerActions& out);
  Result<Embeddings> hide_refusal(Result<Embeddings> answer, double jitter, MonoTime now);
  void learn_length(const CallSize& size, const Result<Embeddings>& answer);
  void log_warnings(Result<Embeddings>& answer, WorkerActions& out);
  bool note_call(const CallSize& size, const Result<Embeddings>& answer, double jitter, MonoTime now);
  [[nodiscard]] bool call_fits() const;
  [[nodiscard]] bool learns_first() const;
  [[nodiscard]] bool budget_matters(MonoTime now) const;
  [[nodiscard]] std::optional<MonoTime> provider_news_at(MonoTime now) const;
  [[nodiscard]] bool long_pause(MonoTime now) const;
  [[nodiscard]] std::size_t batch_bytes() const;
  [[nodiscard]] std::size_t calls_waiting() const;

  WorkerSettings settings_;
  WorkerState state_ = WorkerState::kNew;
  Space space_;
  BatchSize batch_;
  std::size_t length_that_passed_ = 0;  // bytes of a text that was refused when it was longer
  ProviderGate gate_;
  TokenEstimate estimate_;
  bool answered_once_ = false;
  TokenBudget budget_;
  std::string provider_;
  ProviderMemory memory_;
  std::optional<ProviderWait> wait_;
  bool logged_no_tokens_ = false;
  bool logged_no_budget_ = false;

  Slots slots_;
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
  bool waits_for_work_ = false;  // opening: the provider is not asked before there is work
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
