// Leases while a pass runs, and the options of a worker.
#include "embedjobs/options.hpp"
#include "unit/worker_scene.hpp"

namespace embedjobs::test {
namespace {

constexpr Duration kShort = milliseconds(40);

TEST_CASE("a pass outlasts its lease eight times: 320 ms at a lease of 40 ms, in one attempt, with renewals") {
  WorkerScene scene(kShort);
  scene.embedder->on_call = [&](Texts, const CallContext&) {
    scene.runtime.run_for(milliseconds(320));
    return Status();
  };
  scene.put(lines(3));
  scene.start();
  CHECK(scene.job().status == JobStatus::kSucceeded);
  CHECK(scene.job().attempts == 1);
  CHECK(scene.worker->metrics().leases_renewed >= 3);
  CHECK(scene.worker->metrics().leases_lost == 0);
  CHECK(scene.embedder->calls.size() == 1);
}

TEST_CASE("the heartbeat renews while the pass computes: nobody else gets the job") {
  WorkerScene scene(kShort);
  std::size_t stolen = 0;
  scene.embedder->on_call = [&](Texts, const CallContext&) {
    for (std::uint64_t i = 1; i <= 30; ++i) {
      scene.runtime.run_for(milliseconds(10));
      stolen +=
          scene.backend.store->claim({.worker_id = "other", .nonce = i, .space_id = "4/test-model"})->leases.size();
    }
    return Status();
  };
  scene.put(lines(1));
  scene.start();
  CHECK(stolen == 0);
  CHECK(scene.job().status == JobStatus::kSucceeded);
}

TEST_CASE("the heartbeat stops after the pass") {
  WorkerScene scene(kShort);
  scene.put(lines(1));
  scene.start();
  REQUIRE(scene.job().status == JobStatus::kSucceeded);
  const std::size_t renewals = scene.runtime.submitted("renew");
  scene.runtime.run_for(minutes(1));
  CHECK(scene.runtime.submitted("renew") == renewals);
}

TEST_CASE("a renewal that fails for a passing reason is tried again at the next tick") {
  WorkerScene scene(kShort);
  scene.embedder->on_call = [&](Texts, const CallContext&) {
    scene.runtime.fail_next("renew", Status(Code::kRetry, "busy"));
    scene.runtime.run_for(milliseconds(320));
    return Status();
  };
  scene.put(lines(1));
  scene.start();
  CHECK(scene.job().status == JobStatus::kSucceeded);
  CHECK(scene.job().attempts == 1);
  CHECK(scene.worker->metrics().renewals_failed == 1);
}

TEST_CASE("a pass whose lease was rotated is cancelled and writes nothing more; the heartbeat stops") {
  WorkerScene scene(kShort);
  bool cancelled = false;
  scene.embedder->on_call = [&](Texts, const CallContext& context) {
    scene.clock->slept += hours(1);  // by the store's clock the lease has ended
    const auto claimed = scene.backend.store->claim({.worker_id = "other", .nonce = 7, .space_id = "4/test-model"});
    REQUIRE(claimed->leases.size() == 1);
    CHECK_FALSE(context.stop.stop_requested());
    scene.runtime.run_for(kShort / 2);
    cancelled = context.stop.stop_requested();
    return Status();
  };
  scene.put(lines(3));
  scene.start();
  CHECK(cancelled);
  CHECK(scene.events_of(EventKind::kLeaseLost).size() == 1);
  CHECK(scene.rows().empty());
  CHECK(scene.job().status == JobStatus::kRunning);
  CHECK(scene.job().worker_id == "other");
  CHECK(scene.worker->metrics().running == 0);
  const std::size_t renewals = scene.runtime.submitted("renew");
  scene.runtime.run_for(milliseconds(15));  // a tick is 13 ms
  CHECK(scene.runtime.submitted("renew") == renewals);
}

TEST_CASE("a pass that could not renew in time fences itself before its lease can be anyone else's") {
  WorkerScene scene(kShort);
  bool cancelled = false;
  scene.embedder->on_call = [&](Texts, const CallContext& context) {
    if (scene.embedder->calls.size() == 1) {
      scene.runtime.hold("renew");
      scene.runtime.run_for(kShort);
      cancelled = context.stop.stop_requested();
      scene.runtime.release();
    }
    return Status();
  };
  scene.put(lines(3));
  scene.start();
  CHECK(cancelled);
  CHECK(scene.job().status == JobStatus::kSucceeded);  // it was released, and claimed again
  CHECK(scene.worker->metrics().jobs_released == 1);
}

TEST_CASE("a pass without progress ends at the safety bound and is retried, whatever its lease") {
  WorkerScene scene(kShort);
  scene.options.safety_bound = seconds(10);
  scene.runtime.hold("embed");
  scene.put(lines(3));
  scene.start();
  scene.runtime.run_for(seconds(9));
  CHECK(scene.job().status == JobStatus::kRunning);
  scene.runtime.run_for(seconds(1));
  CHECK(scene.job().status == JobStatus::kPending);
  CHECK(scene.job().last_error == "no progress within the safety bound");
}

TEST_CASE("progress starts the safety bound anew: a long document may take longer") {
  WorkerScene scene(kShort);
  scene.options.safety_bound = seconds(10);
  scene.options.batch_size = 1;
  scene.embedder->on_call = [&](Texts, const CallContext&) {
    scene.runtime.run_for(seconds(8));
    return Status();
  };
  scene.put(lines(5));
  scene.start();
  CHECK(scene.job().status == JobStatus::kSucceeded);
  CHECK(scene.job().attempts == 1);
}

// --- options ---

TEST_CASE("options have the documented defaults") {
  const WorkerOptions options;
  CHECK(options.slots == 1);
  CHECK(options.batch_size == 32);
  CHECK(options.lease_duration == minutes(10));
  CHECK(options.embed_timeout == minutes(5));
  CHECK(options.safety_bound == hours(1));
  CHECK(options.fallback_poll == seconds(30));
  CHECK(warnings(options).empty());
}

TEST_CASE("non-positive options keep the default") {
  for (const int bad : {0, -1}) {
    WorkerOptions options{.slots = bad,
                          .batch_size = bad,
                          .batch_bytes = bad,
                          .lease_duration = Duration(bad),
                          .embed_timeout = Duration(bad),
                          .provider_concurrency = bad,
                          .safety_bound = Duration(bad),
                          .fallback_poll = Duration(bad)};
    apply_defaults(options);
    const WorkerOptions defaults;
    CHECK(options.slots == defaults.slots);
    CHECK(options.batch_size == defaults.batch_size);
    CHECK(options.batch_bytes == defaults.batch_bytes);
    CHECK(options.lease_duration == defaults.lease_duration);
    CHECK(options.embed_timeout == defaults.embed_timeout);
    CHECK(options.provider_concurrency == 0);
    CHECK(options.safety_bound == defaults.safety_bound);
    CHECK(options.fallback_poll == defaults.fallback_poll);
  }
}

TEST_CASE("a worker with non-positive options works by the defaults") {
  WorkerScene scene;
  scene.options.slots = 0;
  scene.options.batch_size = -3;
  scene.put(lines(40));
  scene.start();
  REQUIRE(scene.embedder->calls.size() == 2);
  CHECK(scene.embedder->calls[0].size() == 32);
}

TEST_CASE("the configured lease is what the worker's claims are stamped with") {
  WorkerScene scene(seconds(90));
  scene.runtime.hold("embed");
  scene.put(lines(1));
  scene.start();
  CHECK(scene.job().lease_expires_at - scene.job().started_at == seconds(90));
}

TEST_CASE("a warning says that embed_timeout is not below lease_duration") {
  WorkerOptions options;
  options.embed_timeout = options.lease_duration;
  REQUIRE(warnings(options).size() == 1);
  CHECK(warnings(options)[0].find("embed_timeout") != std::string::npos);
  CHECK(warnings(options)[0].find("lease_duration") != std::string::npos);
  options.embed_timeout -= seconds(1);
  CHECK(warnings(options).empty());
}

}  // namespace
}  // namespace embedjobs::test
