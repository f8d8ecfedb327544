// Threads that call one store at the same moment: together they do what they would have done one after another.
//
//   EMBEDJOBS_RACE_ROUNDS=N   how often each race is run, on a new database (default: what the database asks for)
#include <array>
#include <barrier>
#include <cstdlib>
#include <exception>
#include <functional>
#include <map>
#include <set>
#include <thread>

#include "conformance/scene.hpp"

using namespace embedjobs;
using namespace embedjobs::test;

namespace {

constexpr std::size_t kRacers = 4;
constexpr std::size_t kTurns = 3;
constexpr std::size_t kRaceKeys = 6;

/// Lets another thread go on whenever the store asks for the time, which most calls do in their middle.
class YieldingClock final : public Clock {
 public:
  MonoTime now() override { return other_first().now(); }
  WallTime wall_now() override { return other_first().wall_now(); }
  Duration boot_time() override { return other_first().boot_time(); }
  std::string boot_id() override { return clock_.boot_id(); }
  void advance(Duration time) { clock_.advance(time); }

 private:
  ManualClock& other_first() {
    std::this_thread::yield();
    return clock_;
  }
  ManualClock clock_;
};

Code code_of(const Status& status) {
  return status.code();
}
template <typename T>
Code code_of(const Result<T>& result) {
  return result.status().code();
}

/// A new database with pending jobs, and threads that call its store. Catch's assertions are for one thread: each
/// thread keeps its answers, and the case looks at them afterwards.
class Race {
 public:
  Race() {
    for (std::size_t i = 0; i < kRaceKeys; ++i) {
      keys.push_back({"catalog", "spec " + std::to_string(i)});
      get(store.enqueue(keys.back(), JobKind::kSpecWrite));
    }
  }

  std::unique_ptr<Database> database = make_database();
  std::shared_ptr<YieldingClock> clock = std::make_shared<YieldingClock>();
  Backend backend = database->open({.lease_duration = kLease}, clock);
  Store& store = *backend.store;
  std::vector<SpecKey> keys;
  std::atomic<std::size_t> sent_again = 0;  ///< Calls whose answer was kRetry. They may have taken effect.

  /// Runs `turn` on all threads, which start at the same moment.
  void together(const std::function<void(std::size_t racer)>& turn) {
    std::barrier start(static_cast<std::ptrdiff_t>(kRacers));
    std::atomic<std::size_t> thrown = 0;
    std::vector<std::thread> threads;
    for (std::size_t racer = 0; racer < kRacers; ++racer) {
      threads.emplace_back([&, racer] {
        start.arrive_and_wait();
        try {
          turn(racer);
        } catch (const std::exception&) {
          ++thrown;
        }
      });
    }
    for (std::thread& thread : threads) {
      thread.join();
    }
    REQUIRE(thrown == 0);
  }

  template <typename Call>
  auto answer(const Call& call) {
    auto result = call();
    for (int i = 0; i < 1000 && code_of(result) == Code::kRetry; ++i) {
      ++sent_again;
      result = call();
    }
    return result;
  }

  Result<EnqueueResult> enqueue(const SpecKey& key) {
    return answer([&] { return store.enqueue(key, JobKind::kSpecWrite); });
  }
  std::vector<Lease> claim(std::size_t max_jobs) {
    const ClaimRequest request{.worker_id = "worker", .max_jobs = max_jobs, .nonce = ++nonce_, .space_id = kSpace.id()};
    const Result<ClaimResult> result = answer([&] { return store.claim(request); });
    return result.ok() ? result->leases : std::vector<Lease>();
  }
  /// Claims until nothing is due. A claim that others were in the way of may have left something.
  std::vector<Lease> claim_rest() {
    std::vector<Lease> all;
    for (std::vector<Lease> some = claim(2); !some.empty(); some = claim(2)) {
      all.insert(all.end(), some.begin(), some.end());
    }
    return all;
  }
  Result<JobStatus> settle(const Lease& lease, const Outcome& outcome) {
    return answer([&] { return store.settle(ref(lease), outcome); });
  }
  std::vector<Job> last_jobs() {
    std::vector<Job> jobs;
    for (const std::optional<Job>& job : get(store.last_jobs(keys))) {
      REQUIRE(job.has_value());
      jobs.push_back(*job);
    }
    return jobs;
  }
  Peek peek() { return get(store.peek(kSpace.id())); }

 private:
  std::atomic<std::uint64_t> nonce_ = 0;
};

template <typename T>
using PerRacer = std::array<std::vector<T>, kRacers>;

template <typename T>
std::vector<T> together_of(const PerRacer<T>& parts) {
  std::vector<T> all;
  for (const std::vector<T>& part : parts) {
    all.insert(all.end(), part.begin(), part.end());
  }
  return all;
}

/// Bounded by a number, not by a clock.
void repeat(const std::function<void(Race&)>& race) {
  const char* asked = std::getenv("EMBEDJOBS_RACE_ROUNDS");
  const int rounds = asked != nullptr ? std::atoi(asked) : make_database()->race_rounds();
  for (int round = 1; round <= rounds; ++round) {
    INFO("round " << round);
    Race one;
    race(one);
  }
}

/// No lease was given twice.
void all_differ(const std::vector<Lease>& leases) {
  std::set<std::pair<JobId, std::uint64_t>> given;
  for (const Lease& lease : leases) {
    INFO("job " << lease.job.id << ", fence " << lease.job.fence.counter);
    REQUIRE(given.insert({lease.job.id, lease.job.fence.counter}).second);
  }
}

}  // namespace

TEST_CASE("threads that enqueue the same keys at the same time: each enqueue is a generation of its own",
          "[store][race]") {
  repeat([](Race& race) {
    const std::uint64_t counter = race.peek().enqueue_counter;
    PerRacer<EnqueueResult> answers;
    race.together([&](std::size_t racer) {
      for (std::size_t call = 0; call < kTurns * kRaceKeys; ++call) {
        answers[racer].push_back(race.enqueue(race.keys[call % kRaceKeys]).value());
      }
    });
    std::map<JobId, std::set<std::uint64_t>> generations;
    for (const EnqueueResult& answer : together_of(answers)) {
      REQUIRE_FALSE(answer.created);
      REQUIRE(generations[answer.job_id].insert(answer.generation).second);
    }
    REQUIRE(generations.size() == kRaceKeys);
    for (const Job& job : race.last_jobs()) {
      REQUIRE(generations.contains(job.id));
      REQUIRE(job.generation >= 1 + kRacers * kTurns);
      REQUIRE(job.generation <= 1 + kRacers * kTurns + race.sent_again);
      REQUIRE(job.status == JobStatus::kPending);
    }
    REQUIRE(race.peek().enqueue_counter != counter);
    REQUIRE(race.peek().urgent_waiting);
  });
}

TEST_CASE("threads that enqueue a new key at the same time make one job", "[store][race]") {
  repeat([](Race& race) {
    race.keys = {{"catalog", "new"}, {"new catalog", "new"}};
    PerRacer<EnqueueResult> answers;
    race.together([&](std::size_t racer) {
      for (const SpecKey& key : race.keys) {
        answers[racer].push_back(race.enqueue(key).value());
      }
    });
    std::map<JobId, int> made;
    for (const EnqueueResult& answer : together_of(answers)) {
      made[answer.job_id] += answer.created ? 1 : 0;
    }
    REQUIRE(made.size() == race.keys.size());
    for (const Job& job : race.last_jobs()) {
      REQUIRE((made[job.id] == 1 || race.sent_again > 0));
    }
  });
}

TEST_CASE("threads that claim at the same time share the jobs of the queue: each is claimed once", "[store][race]") {
  repeat([](Race& race) {
    PerRacer<Lease> leases;
    race.together([&](std::size_t racer) { leases[racer] = race.claim_rest(); });
    std::vector<Lease> all = together_of(leases);
    const std::vector<Lease> left = race.claim_rest();
    all.insert(all.end(), left.begin(), left.end());
    all_differ(all);
    REQUIRE(all.size() == kRaceKeys);
    for (const Job& job : race.last_jobs()) {
      REQUIRE(job.status == JobStatus::kRunning);
      REQUIRE(job.attempts == 1);
      REQUIRE(job.fence.counter == 1);
    }
    REQUIRE(race.peek().running);
    REQUIRE_FALSE(race.peek().next_pending_due.has_value());
  });
}

TEST_CASE("threads that reap at the same time put back each ended lease once", "[store][race]") {
  repeat([](Race& race) {
    REQUIRE(race.claim_rest().size() == kRaceKeys);
    race.clock->advance(kLease + 1ms);
    const auto reap = [&] { return race.answer([&] { return race.store.reap(2); }).value(); };
    std::atomic<std::size_t> reaped = 0;
    race.together([&](std::size_t) {
      for (std::size_t some = reap(); some > 0; some = reap()) {
        reaped += some;
      }
    });
    for (std::size_t some = reap(); some > 0; some = reap()) {
      reaped += some;  // what others were in the way of
    }
    REQUIRE((reaped == kRaceKeys || (reaped < kRaceKeys && race.sent_again > 0)));
    for (const Job& job : race.last_jobs()) {
      REQUIRE(job.status == JobStatus::kPending);
      REQUIRE(get(race.store.job_state(job.id)).crashes == 1);
    }
    REQUIRE_FALSE(race.peek().running);
  });
}

TEST_CASE("one pass that is settled by several threads at the same time ends once", "[store][race]") {
  repeat([](Race& race) {
    const std::vector<Lease> leases = race.claim_rest();
    REQUIRE(leases.size() == kRaceKeys);
    PerRacer<Code> codes;
    race.together([&](std::size_t racer) {
      for (const Lease& lease : leases) {
        (void)race.answer([&] { return race.store.renew(std::vector{ref(lease)}, 0s, 10s); });
        (void)race.answer([&] { return race.store.progress(ref(lease), {.operation_count = 9, .missing = 9}); });
        codes[racer].push_back(code_of(race.settle(lease, {.kind = OutcomeKind::kRelease})));
      }
    });
    for (const Code code : together_of(codes)) {
      REQUIRE(code == Code::kOk);  // the others find its effect
    }
    for (const Job& job : race.last_jobs()) {
      REQUIRE(job.status == JobStatus::kPending);
      REQUIRE(job.attempts == 0);
      REQUIRE(get(race.store.job_state(job.id)).releases_in_row == 1);
    }
    REQUIRE_FALSE(race.peek().running);
  });
}

TEST_CASE("threads that enqueue, claim, renew, report, settle and reap at the same time lose nothing",
          "[store][race]") {
  repeat([](Race& race) {
    std::atomic<std::size_t> made = kRaceKeys;
    std::atomic<std::size_t> wrong = 0;
    PerRacer<Lease> leases;
    const auto run = [&](const Lease& lease) {
      const auto renewed = race.answer([&] { return race.store.renew(std::vector{ref(lease)}, 0s, 10s); });
      wrong += renewed.ok() && renewed->at(0) ? 0U : 1U;
      wrong += race.answer([&] { return race.store.progress(ref(lease), {.operation_count = 1}); }).ok() ? 0U : 1U;
      wrong += race.settle(lease, {}).ok() ? 0U : 1U;
    };
    race.together([&](std::size_t racer) {
      for (std::size_t call = 0; call < kTurns * kRaceKeys; ++call) {
        made += race.enqueue(race.keys[call % kRaceKeys]).value().created ? 1U : 0U;
        for (const Lease& lease : race.claim(2)) {
          leases[racer].push_back(lease);
          run(lease);
        }
        wrong += race.answer([&] { return race.store.reap(10); }).value();  // no lease has ended
        (void)race.store.peek(kSpace.id());
      }
    });
    std::vector<Lease> all = together_of(leases);
    for (std::vector<Lease> some = race.claim(1); !some.empty(); some = race.claim(1)) {
      all.push_back(some[0]);
      run(some[0]);
    }
    REQUIRE(wrong == 0);
    all_differ(all);
    std::set<JobId> jobs;
    for (const Lease& lease : all) {
      jobs.insert(lease.job.id);
    }
    REQUIRE((jobs.size() == made || (jobs.size() > made && race.sent_again > 0)));
    for (const Job& job : race.last_jobs()) {
      REQUIRE(job.status == JobStatus::kSucceeded);
      REQUIRE(job.generation >= 1 + kRacers * kTurns);
      REQUIRE(job.generation <= 1 + kRacers * kTurns + race.sent_again);
    }
    REQUIRE_FALSE(race.peek().next_due.has_value());
  });
}
