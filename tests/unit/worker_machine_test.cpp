// The worker's machine by itself: when it wants to be woken.
#include "core/worker/worker_machine.hpp"

#include <random>

#include "unit/worker_scene.hpp"

namespace embedjobs::test {
namespace {

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
  }

  void let_time_pass() {
    const auto at = machine_.wake_at(now_);
    const MonoTime later = now_ + milliseconds(random_() % 300 + 1);
    now_ = at ? std::min(*at, later) : later;
    machine_.on_time(now_, out_);
    check("time");
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
      const ProviderState state{
          .batch_texts = random_() % 9, .pause_reason = chance(50) ? "429" : "", .tokens_today = random_() % 5000};
      machine_.on_provider(fails ? Result<ProviderState>(error) : Result<ProviderState>(state), now_, out_);
    } else if (std::holds_alternative<core::NoteAction>(action)) {
      machine_.on_noted(fails ? error : Status(), now_, out_);
    } else if (std::holds_alternative<core::RegisterAction>(action)) {
      machine_.on_registered(fails ? error : Status(), now_, out_);
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
};

TEST_CASE("the worker never asks to be woken in the past or at once, whatever is out: no event leaves it spinning") {
  for (std::uint32_t seed = 1; seed <= 200; ++seed) {
    INFO("seed " << seed);
    Driver(seed).run();
  }
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
