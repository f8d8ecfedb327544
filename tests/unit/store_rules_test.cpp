#include "embedjobs/sys/store_rules.hpp"
#include "embedjobs/jobs.hpp"
#include "embedjobs/sys/store.hpp"

#include <catch2/catch.hpp>

using namespace embedjobs;
using namespace embedjobs::rules;
using namespace std::chrono_literals;

namespace {

const SpecKey kKey{"catalog", "spec"};
const WallTime kNow{std::chrono::hours(1000)};

struct Scene {
  KeyState key;
  StoredJob job;
  StoreOptions rules;

  Scene() {
    raise_generation(key, JobKind::kSpecWrite, 1);
    job = new_job(kKey, key, JobKind::kSpecWrite, kNow);
  }
  void claim_now() {
    claim(job, key, {.worker_id = "w", .nonce = 7, .epoch = 1, .now = kNow, .lease_expires_at = kNow + 1min});
  }
  Settled end(OutcomeKind kind, std::string error = "boom") {
    return settle(job, key, {.kind = kind, .error = std::move(error), .jitter = 0.5}, rules, kNow);
  }
};

}  // namespace

TEST_CASE("a claim raises the fence and spends an attempt") {
  Scene scene;
  scene.claim_now();
  CHECK(scene.job.status == JobStatus::kRunning);
  CHECK(scene.job.fence == Fence{1, 7});
  CHECK(scene.job.attempts == 1);
  CHECK(holds(scene.job, scene.key, scene.job.fence));
  CHECK_FALSE(holds(scene.job, scene.key, {1, 8}));
  CHECK_FALSE(holds(scene.job, scene.key, {0, 0}));
}

TEST_CASE("every outcome of a pass whose key moved on makes the job pending again with fresh budgets") {
  for (const OutcomeKind kind :
       {OutcomeKind::kComplete, OutcomeKind::kRetry, OutcomeKind::kFail, OutcomeKind::kRelease}) {
    Scene scene;
    scene.claim_now();
    raise_generation(scene.key, JobKind::kSpecWrite, 1);
    enqueue_open(scene.job, scene.key, JobKind::kSpecWrite, kNow);
    const Settled settled = scene.end(kind);
    CHECK(scene.job.status == JobStatus::kPending);
    CHECK(scene.job.attempts == 0);
    CHECK(scene.job.next_run_at == kNow);
    CHECK(settled.fresh_budget);
    CHECK_FALSE(settled.failed);
  }
}

TEST_CASE("the fifth error in a row without progress fails the job") {
  Scene scene;
  for (int i = 1; i < 5; ++i) {
    scene.claim_now();
    CHECK_FALSE(scene.end(OutcomeKind::kRetry).failed);
    CHECK(scene.job.next_run_at == kNow + 5s * (1 << i));
  }
  scene.claim_now();
  CHECK(scene.end(OutcomeKind::kRetry).failed);
  CHECK(scene.job.status == JobStatus::kFailed);
}

TEST_CASE("progress is fewer operations missing than ever before, and forgives errors") {
  Scene scene;
  scene.claim_now();
  apply_progress(scene.job, {.operation_count = 10, .missing = 10}, kNow);
  scene.job.errors_in_row = 3;
  apply_progress(scene.job, {.operation_count = 10, .embedded = 1, .missing = 10}, kNow);
  CHECK(scene.job.errors_in_row == 3);
  apply_progress(scene.job, {.operation_count = 10, .embedded = 2, .missing = 9}, kNow);
  CHECK(scene.job.errors_in_row == 0);
}

TEST_CASE("releases cost nothing, every fifth without progress costs an attempt") {
  Scene scene;
  for (int i = 1; i <= 5; ++i) {
    scene.claim_now();
    (void)scene.end(OutcomeKind::kRelease);
    CHECK(scene.job.errors_in_row == (i == 5 ? 1 : 0));
  }
  CHECK(scene.job.attempts == 1);
}

TEST_CASE("a provider's pause never costs an attempt and is at most an hour") {
  Scene scene;
  for (int i = 0; i < 50; ++i) {
    scene.claim_now();
    (void)settle(scene.job, scene.key, {.kind = OutcomeKind::kRelease, .reason = ReleaseReason::kPause, .delay = 5h},
                 scene.rules, kNow);
    CHECK(scene.job.status == JobStatus::kPending);
    CHECK(scene.job.next_run_at == kNow + 1h);
  }
  CHECK(scene.job.attempts == 0);
  CHECK(scene.job.errors_in_row == 0);
  CHECK(scene.job.paused_since == kNow);
}

TEST_CASE("five crashes in a row without progress fail the job") {
  Scene scene;
  std::vector<InFlight> in_flight;
  for (int i = 1; i <= 5; ++i) {
    scene.claim_now();
    CHECK(expire(scene.job, scene.key, in_flight, scene.rules, kNow).failed == (i == 5));
  }
}

TEST_CASE("a text that kills its process is set aside within five crashes") {
  Scene scene;
  std::vector<InFlight> in_flight;
  const TextHash killer = hash_text("killer");
  const TextHash other = hash_text("other");
  scene.claim_now();  // 1: nothing recorded yet
  (void)expire(scene.job, scene.key, in_flight, scene.rules, kNow);
  scene.claim_now();  // 2: in flight with another
  record_in_flight(scene.job, in_flight, std::vector{killer, other}, {});
  (void)expire(scene.job, scene.key, in_flight, scene.rules, kNow);
  CHECK(suspects_of(in_flight).size() == 2);
  scene.claim_now();  // 3: alone, after the other answered
  record_in_flight(scene.job, in_flight, std::vector{other}, {});
  record_in_flight(scene.job, in_flight, std::vector{killer}, std::vector{other});
  (void)expire(scene.job, scene.key, in_flight, scene.rules, kNow);
  REQUIRE(suspects_of(in_flight).size() == 1);
  CHECK_FALSE(suspects_of(in_flight)[0].set_aside);
  for (int crash = 4; crash <= 5; ++crash) {  // alone, at once
    scene.claim_now();
    record_in_flight(scene.job, in_flight, std::vector{killer}, {});
    CHECK_FALSE(expire(scene.job, scene.key, in_flight, scene.rules, kNow).failed);
  }
  REQUIRE(suspects_of(in_flight).size() == 1);
  CHECK(suspects_of(in_flight)[0].set_aside);
}

TEST_CASE("kills from outside with progress between them set nothing aside") {
  Scene scene;
  std::vector<InFlight> in_flight;
  for (int i = 0; i < 50; ++i) {
    scene.claim_now();
    apply_progress(scene.job, {.operation_count = 100, .embedded = 1, .missing = 100 - i}, kNow);
    record_in_flight(scene.job, in_flight, std::vector{hash_text("same")}, {});
    CHECK_FALSE(expire(scene.job, scene.key, in_flight, scene.rules, kNow).failed);
  }
  CHECK_FALSE(suspects_of(in_flight)[0].set_aside);
}

TEST_CASE("removal revokes the lease and cancels") {
  Scene scene;
  scene.claim_now();
  cancel(&scene.job, scene.key, kNow);
  CHECK(scene.job.status == JobStatus::kCancelled);
  CHECK(scene.key.removed);
  CHECK_FALSE(holds(scene.job, scene.key, scene.job.fence));
}

TEST_CASE("a manual retry forbids older vectors until a success that honoured it") {
  Scene scene;
  scene.claim_now();  // epoch 1
  raise_generation(scene.key, JobKind::kManualRetry, 2);
  (void)scene.end(OutcomeKind::kComplete);
  CHECK(scene.key.reuse_floor == 2);
  claim(scene.job, scene.key, {.worker_id = "w", .nonce = 9, .epoch = 2, .now = kNow, .lease_expires_at = kNow});
  (void)scene.end(OutcomeKind::kRetry);
  CHECK(scene.key.reuse_floor == 2);
  claim(scene.job, scene.key, {.worker_id = "w", .nonce = 10, .epoch = 3, .now = kNow, .lease_expires_at = kNow});
  (void)scene.end(OutcomeKind::kComplete);
  CHECK(scene.key.reuse_floor == 0);
}

TEST_CASE("a unit that fails is parked longer and longer, at most six hours") {
  Failure failure;
  const Duration expected[] = {0min, 0min, 30min, 60min, 120min, 240min, 360min, 360min};
  for (const Duration wait : expected) {
    note_failure(failure, "boom", kNow);
    CHECK(parked_until(failure) == kNow + wait);
  }
}
