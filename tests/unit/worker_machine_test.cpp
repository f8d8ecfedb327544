// The worker's machine by itself: when it wants to be woken, and what it does then.
#include "core/worker/worker_machine.hpp"

#include <random>
#include <set>

#include "unit/worker_scene.hpp"

namespace embedjobs::test {
namespace {

const char* name_of(core::Due what) {
  using core::Due;
  switch (what) {
    case Due::kOpen: return "open";
    case Due::kLeaseEnd: return "lease end";
    case Due::kPass: return "pass";
    case Due::kFreeSlot: return "free slot";
    case Due::kBudget: return "budget";
    case Due::kProvider: return "provider";
    case Due::kNote: return "note";
    case Due::kRegister: return "register";
    case Due::kRenew: return "renew";
    case Due::kClaim: return "claim";
    case Due::kRelease: return "release";
    case Due::kCalls: return "calls";
    case Due::kPeek: return "peek";
    case Due::kSignOff: return "sign off";
  }
  return "?";
}

template <typename T>
bool asks(const core::WorkerAction& action) {
  return std::holds_alternative<T>(action);
}
template <typename... Ts>
bool of_pass(const core::WorkerAction& action) {
  const auto* step = std::get_if<core::PassStep>(&action);
  return step != nullptr && (std::holds_alternative<Ts>(step->action) || ...);
}
bool tells(const core::WorkerAction& action, EventKind kind) {
  const auto* told = std::get_if<core::EventAction>(&action);
  return told != nullptr && told->event.kind == kind;
}

/// How it is seen that this was done; none: it need not be seen.
bool shows(core::Due what, const core::WorkerAction& action) {
  using namespace core;  // NOLINT(google-build-using-namespace)
  switch (what) {
    case Due::kOpen: return asks<SpaceAction>(action);
    case Due::kLeaseEnd: return of_pass<SettleAction>(action) || tells(action, EventKind::kLeaseLost);
    case Due::kPass: return asks<PassStep>(action);
    case Due::kBudget: return asks<ProviderAction>(action);
    case Due::kProvider: return tells(action, EventKind::kProviderResumed);
    case Due::kNote: return asks<NoteAction>(action);
    case Due::kRegister: return asks<RegisterAction>(action);
    case Due::kRenew: return asks<RenewAction>(action);
    case Due::kClaim: return asks<ClaimAction>(action);
    case Due::kCalls: return of_pass<EmbedAction>(action);
    case Due::kPeek: return asks<PeekAction>(action);
    case Due::kFreeSlot:
    case Due::kRelease:
    case Due::kSignOff: return false;  // due at once or not at all: no timer is for them
  }
  return false;
}

/// Answers the machine's requests in any order, as a store that must be polled would, at random.
class Driver {
 public:
  explicit Driver(std::uint32_t seed)
      : random_(seed),
        machine_({.options = options(), .lease_duration = seconds(1), .poll_interval = milliseconds(50)}) {}

  void run() {
    machine_.start(now_, out_);
    check("start");
    for (int i = 0; i < 400; ++i) {
      if (!pending_.empty() && chance(70)) {
        answer();
      } else if (chance(15)) {
        machine_.wake(now_, out_);
        check("wake");
      } else {
        let_time_pass();
      }
    }
  }

  /// The same, to its end: it is stopped, and everything is answered.
  void run_and_stop() {
    run();
    machine_.stop(now_, out_);
    check("stop");
    for (int i = 0; i < 1000 && machine_.state() != core::WorkerState::kStopped; ++i) {
      if (!pending_.empty()) {
        answer();
      } else {
        let_time_pass();
      }
    }
  }

  [[nodiscard]] const core::WorkerMachine& machine() const { return machine_; }
  /// What was done when a timer for it had run out.
  [[nodiscard]] const std::set<core::Due>& shown() const { return shown_; }

 private:
  static WorkerOptions options() {
    WorkerOptions options;
    options.slots = 2;
    options.fallback_poll = milliseconds(500);
    options.safety_bound = seconds(3);
    options.requests_per_minute = 300;
    options.tokens_per_minute = 30'000;
    options.daily_token_budget = 4000;
    return options;
  }
  bool chance(unsigned percent) { return random_() % 100 < percent; }

  /// The rule: what could be done now has been done, so there is no reason to be woken now.
  void check(const char* event) {
    for (auto& action : out_) {
      pending_.push_back(std::move(action));
    }
    out_.clear();
    const auto at = machine_.wake_at(now_);
    INFO("after " << event << ", " << pending_.size() << " answers are open");
    CHECK((!at || *at > now_));
    check_due();
  }

  /// The timer is for the earliest of what is due, and nothing that is due by now was left.
  void check_due() {
    std::optional<MonoTime> earliest;
    for (const core::Due what : core::kAllDue) {
      INFO(name_of(what));
      const auto at = machine_.due_at(what, now_);
      CHECK((!at || *at > now_));
      earliest = !earliest || (at && *at < *earliest) ? at : earliest;
    }
    CHECK(machine_.wake_at(now_) == earliest);
  }

  void let_time_pass() {
    const auto at = machine_.wake_at(now_);
    const MonoTime later = now_ + milliseconds(random_() % 300 + 1);
    now_ = at ? std::min(*at, later) : later;
    const std::set<core::Due> due = due_now();
    machine_.on_time(now_, out_);
    check_done(due);
    check("time");
  }

  std::set<core::Due> due_now() {
    std::set<core::Due> due;
    for (const core::Due what : core::kAllDue) {
      const auto at = machine_.due_at(what, now_);
      if (at && *at <= now_) {
        due.insert(what);
      }
    }
    return due;
  }

  /// What the timer was for was done, and before its time nothing is.
  void check_done(const std::set<core::Due>& due) {
    if (due.empty()) {
      CHECK(out_.empty());
    }
    for (const core::Due what : due) {
      INFO(name_of(what));
      const bool shown =
          std::any_of(out_.begin(), out_.end(), [what](const auto& action) { return shows(what, action); });
      if (shown) {
        shown_.insert(what);
      }
      // One that is due beside it may take its reason away; and the end of a pause may leave the probe to be answered.
      CHECK((shown || due.size() > 1 || what == core::Due::kProvider));
    }
  }

  void answer() {
    const std::size_t index = random_() % pending_.size();
    core::WorkerAction action = std::move(pending_[index]);
    pending_.erase(pending_.begin() + static_cast<std::ptrdiff_t>(index));
    const Status error(Code::kRetry, "busy");
    const bool fails = chance(25);
    if (std::holds_alternative<core::SpaceAction>(action)) {
      machine_.on_space(fails ? Result<Space>(error) : Result<Space>(Space{"m", 4, ""}), 0.5, now_, out_);
    } else if (std::holds_alternative<core::ProviderAction>(action)) {
      const ProviderState state{.batch_texts = random_() % 9,
                                .pause_reason = chance(50) ? "429" : "",
                                .tokens_today = random_() % 5000,
                                .read_at = WallTime{} + hours(24) - seconds(2)};  // the day that is budgeted ends soon
      machine_.on_provider(fails ? Result<ProviderState>(error) : Result<ProviderState>(state), now_, out_);
    } else if (std::holds_alternative<core::NoteAction>(action)) {
      machine_.on_noted(fails ? error : Status(), now_, out_);
    } else if (std::holds_alternative<core::RegisterAction>(action)) {
      machine_.on_registered(fails ? error : Status(), now_, out_);
    } else if (std::holds_alternative<core::UnregisterAction>(action)) {
      machine_.on_unregistered(fails ? error : Status(), now_, out_);
    } else if (auto* claim = std::get_if<core::ClaimAction>(&action)) {
      machine_.claim_sent(++nonce_, now_);
      machine_.on_claimed(fails ? Result<ClaimResult>(error) : Result<ClaimResult>(leases(claim->request.max_jobs)),
                          now_, out_);
    } else if (std::holds_alternative<core::PeekAction>(action)) {
      Peek peek{.enqueue_counter = random_() % 3, .urgent_waiting = chance(20)};
      if (chance(50)) {
        peek.next_due = milliseconds(random_() % 100);
      }
      machine_.on_peeked(fails ? Result<Peek>(error) : Result<Peek>(peek), now_, out_);
    } else if (auto* renew = std::get_if<core::RenewAction>(&action)) {
      machine_.on_renewed(
          *renew, fails ? Result<std::vector<bool>>(error) : Result<std::vector<bool>>(held(renew->leases.size())),
          now_, out_);
    } else if (auto* step = std::get_if<core::PassStep>(&action)) {
      answer_pass(*step, fails ? error : Status());
    }
    check("an answer");
  }

  ClaimResult leases(std::size_t most) {
    ClaimResult result;
    for (std::size_t i = random_() % (most + 1); i > 0; --i) {
      Lease& lease = result.leases.emplace_back();
      lease.job.id = ++jobs_;
      lease.job.key = {"catalog", std::to_string(jobs_)};
      lease.job.priority = static_cast<int>(random_() % 2);
      lease.job.fence = {1, nonce_};
    }
    return result;
  }
  std::vector<bool> held(std::size_t count) {
    std::vector<bool> answer(count);
    for (std::size_t i = 0; i < count; ++i) {
      answer[i] = chance(90);
    }
    return answer;
  }

  void answer_pass(core::PassStep& step, const Status& status) {
    using namespace core;  // NOLINT(google-build-using-namespace)
    const auto tell = [&](const std::function<void(Pass&, PassActions&)>& deliver) {
      machine_.on_pass(step.pass, now_, out_, deliver);
    };
    if (std::holds_alternative<ResolveAction>(step.action)) {
      tell([&](Pass& pass, PassActions& out) {
        pass.on_resolved(status.ok() ? Result<Document>(Document{"content", "v"}) : Result<Document>(status), now_,
                         out);
      });
    } else if (std::holds_alternative<SplitAction>(step.action)) {
      OperationList operations;
      for (int i = 0; i < 60; ++i) {
        operations.add("op" + std::to_string(i), "text " + std::to_string(i));
      }
      const auto plan = std::make_shared<const Plan>(std::move(operations));
      tell([&](Pass& pass, PassActions& out) { pass.on_split(plan, now_, out); });
    } else if (std::holds_alternative<ListAction>(step.action)) {
      tell([&](Pass& pass, PassActions& out) { pass.on_listed(std::vector<bool>(60), now_, out); });
    } else if (auto* reserve = std::get_if<ReserveAction>(&step.action)) {
      std::vector<Reservation> answer;
      for (std::size_t i = 0; i < reserve->operations->size(); ++i) {
        answer.push_back(static_cast<Reservation>(chance(80) ? 0 : 1 + random_() % 2));
      }
      tell([&](Pass& pass, PassActions& out) {
        pass.on_reserved(
            status.ok() ? Result<std::vector<Reservation>>(answer) : Result<std::vector<Reservation>>(status), now_,
            out);
      });
    } else if (auto* embed = std::get_if<EmbedAction>(&step.action)) {
      const std::size_t texts = embed->batch.texts.size();
      const Embeddings good{.vectors = Matrix(texts, 4), .prompt_tokens = random_() % 200};
      const Status error = chance(50) ? status : Status::paused(milliseconds(random_() % 1500), "429");
      machine_.on_embedded(step.pass, embed->batch.id, embed->batch.size(),
                           status.ok() ? Result<Embeddings>(good) : Result<Embeddings>(error), 0.5, now_, out_);
    } else if (std::holds_alternative<PersistAction>(step.action)) {
      tell([&](Pass& pass, PassActions& out) { pass.on_persisted(status, now_, out); });
    } else if (std::holds_alternative<ProgressAction>(step.action)) {
      tell([&](Pass& pass, PassActions& out) { pass.on_progress_written(status, now_, out); });
    } else if (std::holds_alternative<FinalizeAction>(step.action)) {
      tell([&](Pass& pass, PassActions& out) { pass.on_finalized(status, now_, out); });
    } else if (std::holds_alternative<SettleAction>(step.action)) {
      tell([&](Pass& pass, PassActions& out) {
        pass.on_settled(status.ok() ? Result<JobStatus>(JobStatus::kSucceeded) : Result<JobStatus>(status), now_, out);
      });
    }
  }

  std::mt19937 random_;
  core::WorkerMachine machine_;
  core::WorkerActions out_, pending_;
  MonoTime now_{hours(1)};
  std::uint64_t nonce_ = 0;
  JobId jobs_ = 0;
  std::set<core::Due> shown_;
};

TEST_CASE("the worker never asks to be woken in the past or at once, whatever is out: no event leaves it spinning") {
  for (std::uint32_t seed = 1; seed <= 200; ++seed) {
    INFO("seed " << seed);
    Driver(seed).run();
  }
}

TEST_CASE(
    "a worker's timer and what it does are one list: what is due is done when its time has come, and not before") {
  std::set<core::Due> shown;
  for (std::uint32_t seed = 1; seed <= 200; ++seed) {
    INFO("seed " << seed);
    Driver driver(seed);
    driver.run_and_stop();
    CHECK(driver.machine().state() == core::WorkerState::kStopped);
    shown.insert(driver.shown().begin(), driver.shown().end());
  }
  for (const core::Due what : core::kAllDue) {
    INFO(name_of(what));
    const bool at_once = what == core::Due::kFreeSlot || what == core::Due::kRelease || what == core::Due::kSignOff;
    CHECK(shown.contains(what) != at_once);
  }
}

TEST_CASE("a worker that is new or stopped has nothing to do") {
  core::WorkerMachine machine({.lease_duration = seconds(1), .poll_interval = milliseconds(50)});
  core::WorkerActions out;
  const MonoTime now{hours(1)};
  const auto nothing_due = [&] {
    return std::none_of(core::kAllDue.begin(), core::kAllDue.end(),
                        [&](core::Due what) { return machine.due_at(what, now).has_value(); });
  };
  CHECK(nothing_due());
  machine.wake(now, out);
  CHECK(out.empty());
  machine.stop(now, out);
  CHECK(machine.state() == core::WorkerState::kStopped);
  CHECK(nothing_due());
  CHECK_FALSE(machine.wake_at(now));
}

TEST_CASE("no wake-up is asked for in the past while a claim is out, with a store that must be polled") {
  core::WorkerMachine machine({.lease_duration = seconds(1), .poll_interval = milliseconds(50)});
  core::WorkerActions out;
  MonoTime now{hours(1)};
  machine.start(now, out);
  machine.on_space(Space{"m", 4, ""}, 0.5, now, out);
  machine.claim_sent(1, now);
  for (int i = 0; i < 10; ++i) {  // the claim does not come back, while polls fall due
    now += milliseconds(60);
    machine.on_time(now, out);
    const auto at = machine.wake_at(now);
    CHECK((!at || *at > now));
  }
}

}  // namespace
}  // namespace embedjobs::test
