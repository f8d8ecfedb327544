// Crashes: counted without anyone's help, and traced to the text that causes them.
#include "conformance/scene.hpp"

using namespace embedjobs;
using namespace embedjobs::test;

namespace {

const TextHash kKiller = hash_text("killer");
const TextHash kOther = hash_text("other");

/// The worker dies: its lease ends and is put back.
void crash(Scene& scene) {
  scene.clock->advance(kLease + 1ms);
  REQUIRE(get(scene.store.reap(10)) == 1);
}

void record_sent(Scene& scene, const Lease& lease, const std::vector<TextHash>& sent,
                 const std::vector<TextHash>& answered = {}) {
  ok(scene.store.record_in_flight(ref(lease), sent, answered));
}

}  // namespace

TEST_CASE("a job that kills its worker is failed by the fifth crash in a row", "[store]") {
  Scene scene;
  scene.enqueue();
  for (int n = 1; n <= 5; ++n) {
    scene.claim_one();
    crash(scene);
    const Job job = scene.last_job();
    CHECK(scene.last_state().crashes == n);
    CHECK(job.status == (n < 5 ? JobStatus::kPending : JobStatus::kFailed));
  }
  CHECK_FALSE(scene.last_job().last_error.empty());
  CHECK(scene.claim().leases.empty());
}

TEST_CASE("a job that kills its worker five times in a row is one failure", "[failures]") {
  Scene scene;
  scene.enqueue();
  for (int n = 1; n <= 5; ++n) {
    scene.claim_one();
    crash(scene);
  }
  CHECK(get(scene.store.failures_of(std::vector{kKey}))[0].occurrences == 1);
}

TEST_CASE("a claim that puts back a crashed job counts the crash, and fails it like the reaper", "[store]") {
  Scene scene;
  scene.enqueue();
  for (int n = 1; n <= 5; ++n) {
    CHECK(scene.claim().leases.size() == 1);
    scene.clock->advance(kLease + 1ms);
  }
  const ClaimResult last = scene.claim();
  CHECK(last.expired == 1);
  CHECK(last.leases.empty());
  CHECK(scene.last_job().status == JobStatus::kFailed);
}

TEST_CASE("crashes with progress between them are forgiven", "[store]") {
  Scene scene;
  scene.enqueue();
  for (int n = 1; n <= 12; ++n) {
    const Lease lease = scene.claim_one();
    ok(scene.store.progress(ref(lease), {.operation_count = 50, .embedded = 0, .missing = 50 - n + 1}));
    ok(scene.store.progress(ref(lease), {.operation_count = 50, .embedded = 1, .missing = 50 - n}));
    crash(scene);
    CHECK(scene.last_job().status == JobStatus::kPending);
  }
}

TEST_CASE("what was in flight at a crash is suspect, until it answers", "[store]") {
  Scene scene;
  scene.enqueue();
  record_sent(scene, scene.claim_one(), {kKiller, kOther});
  crash(scene);
  Lease lease = scene.claim_one();
  REQUIRE(lease.suspects.size() == 2);
  CHECK(lease.suspects[0].alone == 0);
  record_sent(scene, lease, {kOther});
  record_sent(scene, lease, {kKiller}, {kOther});
  crash(scene);
  lease = scene.claim_one();
  REQUIRE(lease.suspects.size() == 1);
  CHECK(lease.suspects[0].text_hash == kKiller);
  CHECK(lease.suspects[0].alone == 1);
  CHECK_FALSE(lease.suspects[0].set_aside);
}

TEST_CASE("a text that is alone in flight when its process dies, again and again, is set aside; the job goes on",
          "[store]") {
  Scene scene;
  scene.enqueue();
  for (int n = 1; n <= 3; ++n) {
    record_sent(scene, scene.claim_one(), {kKiller});
    crash(scene);
  }
  CHECK(scene.last_job().status == JobStatus::kPending);
  const Lease lease = scene.claim_one();
  REQUIRE(lease.suspects.size() == 1);
  CHECK(lease.suspects[0].set_aside);
  CHECK(lease.suspects[0].text_hash == kKiller);
}

TEST_CASE("suspects come with the one first that was alone most often", "[store]") {
  Scene scene;
  scene.enqueue();
  record_sent(scene, scene.claim_one(), {kOther, kKiller});
  crash(scene);
  const Lease lease = scene.claim_one();
  record_sent(scene, lease, {kKiller});
  crash(scene);
  const Lease next = scene.claim_one();
  REQUIRE(next.suspects.size() == 2);
  CHECK(next.suspects[0].text_hash == kKiller);
  CHECK(next.suspects[0].alone == 1);
  CHECK(next.suspects[1].text_hash == kOther);
}

TEST_CASE("suspects are remembered over orderly outcomes of the same generation", "[store]") {
  Scene scene;
  scene.enqueue();
  record_sent(scene, scene.claim_one(), {kKiller, kOther});
  crash(scene);
  scene.settle(scene.claim_one(), {.kind = OutcomeKind::kRelease});
  CHECK(scene.claim_one().suspects.size() == 2);
}

TEST_CASE("a pass that ended in order left nothing in flight for the next crash to blame", "[store]") {
  Scene scene;
  scene.enqueue();
  const Lease lease = scene.claim_one();
  record_sent(scene, lease, {kOther});
  scene.settle(lease, {.kind = OutcomeKind::kRelease});
  scene.claim_one();
  crash(scene);
  CHECK(scene.claim_one().suspects.empty());
}

TEST_CASE("a new generation, a success and a removal forget the suspects", "[store]") {
  const int way = GENERATE(0, 1, 2, 3);
  Scene scene;
  scene.enqueue();
  record_sent(scene, scene.claim_one(), {kKiller, kOther});
  crash(scene);
  if (way == 0) {
    scene.enqueue();
  } else if (way == 1) {
    const Lease lease = scene.claim_one();
    scene.enqueue();
    scene.settle(lease, {.kind = OutcomeKind::kRelease});
  } else if (way == 2) {
    scene.settle(scene.claim_one());
    scene.enqueue();
  } else {
    ok(scene.store.remove_key(kKey));
    scene.enqueue();
  }
  CHECK(scene.claim_one().suspects.empty());
}

TEST_CASE("a job with nothing in flight is not blamed for the crash of its worker, but does not loop for ever",
          "[store]") {
  Scene scene;
  scene.enqueue();
  int crashes = 0;
  while (scene.last_job().status == JobStatus::kPending && crashes < 1000) {
    record_sent(scene, scene.claim_one(), {});
    crash(scene);
    CHECK(scene.last_job().crashes_in_row == 0);
    CHECK(scene.last_state().crashes == ++crashes);
  }
  CHECK(crashes == 25);
  CHECK(scene.last_job().status == JobStatus::kFailed);
}

TEST_CASE("a record sent again changes nothing", "[store]") {
  Scene scene;
  scene.enqueue();
  const Lease lease = scene.claim_one();
  record_sent(scene, lease, {kKiller, kOther});
  record_sent(scene, lease, {kKiller, kOther});
  crash(scene);
  CHECK(scene.claim_one().suspects.size() == 2);
}
