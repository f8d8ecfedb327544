// Leases: renewed by their holder, ended by a clock that nobody can set, taken by fence.
#include "conformance/scene.hpp"

using namespace embedjobs;
using namespace embedjobs::test;

namespace {

bool renew(Scene& scene, const Lease& lease, Duration duration = 0s) {
  const auto answer = get(scene.store.renew(std::vector{ref(lease)}, duration, 1s));
  REQUIRE(answer.size() == 1);
  return answer[0];
}

/// Nothing that a holder may do can be done with `lease`.
void no_right(Scene& scene, const LeaseRef& lease) {
  CHECK(get(scene.store.renew(std::vector{lease}, 0s, 1s)) == std::vector{false});
  lost(scene.store.progress(lease, {.operation_count = 7, .embedded = 7}));
  lost(scene.store.record_in_flight(lease, std::vector{hash_text("new")}, {}));
  lost(scene.store.settle(lease, {.kind = OutcomeKind::kFail, .error = "not the holder"}).status());
}

}  // namespace

TEST_CASE("a lease ends after its duration, and not before", "[store]") {
  Scene scene;
  const Lease lease = scene.run();
  scene.clock->advance(kLease - 1ms);
  CHECK(get(scene.store.reap(10)) == 0);
  CHECK(scene.claim().leases.empty());
  scene.clock->advance(2ms);
  CHECK(get(scene.store.reap(10)) == 1);
  const Job job = scene.job(lease.job.id);
  CHECK(job.status == JobStatus::kPending);
  CHECK(job.worker_id.empty());
  CHECK(job.next_run_at == scene.clock->wall_now());
}

TEST_CASE("a claim takes over what has expired, without a reaper", "[store]") {
  Scene scene;
  const Lease lease = scene.run();
  scene.clock->advance(kLease + 1ms);
  const ClaimResult result = scene.claim();
  CHECK(result.expired == 1);
  REQUIRE(result.leases.size() == 1);
  CHECK(result.leases[0].job.id == lease.job.id);
  CHECK(result.leases[0].job.fence.counter == lease.job.fence.counter + 1);
  CHECK(result.leases[0].state.crashes == 1);
  CHECK(result.leases[0].job.attempts == 2);
}

TEST_CASE("a lease of half a second is one", "[store]") {
  Scene scene({.lease_duration = 500ms});
  const Lease lease = scene.run();
  scene.clock->advance(499ms);
  CHECK(get(scene.store.reap(10)) == 0);
  CHECK(renew(scene, lease));
  scene.clock->advance(499ms);
  CHECK(get(scene.store.reap(10)) == 0);
  scene.clock->advance(2ms);
  CHECK(get(scene.store.reap(10)) == 1);
}

TEST_CASE("the wall clock neither ends nor lengthens a lease", "[store]") {
  const Duration by = GENERATE(Duration(24h), Duration(-24h));
  Scene scene;
  const Lease lease = scene.run();
  scene.clock->set_wall_clock(by);
  CHECK(get(scene.store.reap(10)) == 0);
  CHECK(scene.claim().leases.empty());
  CHECK(renew(scene, lease));
  scene.clock->advance(kLease + 1ms);
  CHECK(scene.claim().leases.size() == 1);
}

TEST_CASE("time that the machine slept counts", "[store]") {
  Scene scene;
  scene.run();
  scene.clock->suspend(kLease + 1ms);
  CHECK(get(scene.store.reap(10)) == 1);
}

TEST_CASE("a renewal extends the lease by the duration asked for, or by the store's own", "[store]") {
  Scene scene;
  const Lease lease = scene.run();
  scene.clock->advance(1min);
  CHECK(renew(scene, lease));
  CHECK(scene.job(lease.job.id).lease_expires_at == scene.clock->wall_now() + kLease);
  CHECK(renew(scene, lease, -5s));
  CHECK(scene.job(lease.job.id).lease_expires_at == scene.clock->wall_now() + kLease);
  CHECK(renew(scene, lease, 2s));
  CHECK(scene.job(lease.job.id).lease_expires_at == scene.clock->wall_now() + 2s);
  scene.clock->advance(2001ms);
  CHECK(get(scene.store.reap(10)) == 1);
}

TEST_CASE("a lease beyond reason overflows nothing", "[store]") {
  Scene scene({.lease_duration = Duration::max()});
  const Lease lease = scene.run();
  CHECK(renew(scene, lease, Duration::max()));
  CHECK(scene.job(lease.job.id).lease_expires_at > scene.clock->wall_now());
  CHECK(get(scene.store.reap(10)) == 0);
}

TEST_CASE("a pass outlasts its lease many times over, as long as it renews", "[store]") {
  Scene scene;
  const Lease lease = scene.run();
  for (int i = 0; i < 24; ++i) {
    scene.clock->advance(kLease / 3);
    CHECK(renew(scene, lease));
    CHECK(get(scene.store.reap(10)) == 0);
  }
  CHECK(scene.settle(lease) == JobStatus::kSucceeded);
  CHECK(scene.last_job().attempts == 1);
}

TEST_CASE("a lease that has ended but was not taken can still be renewed", "[store]") {
  Scene scene;
  const Lease lease = scene.run();
  scene.clock->advance(kLease * 2);
  CHECK(renew(scene, lease));
  CHECK(get(scene.store.reap(10)) == 0);
  CHECK(scene.settle(lease) == JobStatus::kSucceeded);
}

TEST_CASE("a lease that has ended but was not taken still publishes progress", "[store]") {
  Scene scene;
  const Lease lease = scene.run();
  scene.clock->advance(kLease * 2);
  ok(scene.store.progress(ref(lease), {.operation_count = 3, .embedded = 1, .missing = 2}));
  CHECK(scene.job(lease.job.id).embedded_count == 1);
  CHECK(scene.job(lease.job.id).status == JobStatus::kRunning);
}

TEST_CASE("a lease that has ended but was not taken still records what is in flight", "[store]") {
  Scene scene;
  const Lease lease = scene.run();
  scene.clock->advance(kLease * 2);
  ok(scene.store.record_in_flight(ref(lease), std::vector{hash_text("sent late")}, {}));
  const Lease next = scene.claim_one();
  REQUIRE(next.suspects.size() == 1);
  CHECK(next.suspects[0].text_hash == hash_text("sent late"));
}

TEST_CASE("a lease that has ended but was not taken still settles, and no crash counts", "[store]") {
  Scene scene;
  const Lease lease = scene.run();
  scene.clock->advance(kLease * 2);
  CHECK(scene.settle(lease) == JobStatus::kSucceeded);
  CHECK(get(scene.store.reap(10)) == 0);
  CHECK(scene.last_state().crashes == 0);
}

TEST_CASE("a renewal answers for each lease by itself", "[store]") {
  Scene scene;
  const Lease kept = scene.run(kKey);
  const Lease settled = scene.run(kOtherKey);
  scene.settle(settled);
  const Lease third = scene.run({"catalog", "third"});
  LeaseRef wrong_counter = ref(kept);
  ++wrong_counter.fence.counter;
  LeaseRef wrong_nonce = ref(kept);
  ++wrong_nonce.fence.nonce;
  LeaseRef wrong_job = ref(kept);
  wrong_job.job_id = third.job.id;
  LeaseRef unknown = ref(kept);
  unknown.job_id = 999'999;
  const std::vector leases{ref(kept), ref(settled), ref(third), wrong_counter, wrong_nonce, wrong_job, unknown};
  CHECK(get(scene.store.renew(leases, 0s, 1s)) == std::vector{true, false, true, false, false, false, false});
  CHECK(get(scene.store.renew({}, 0s, 1s)).empty());
}

TEST_CASE("a lease is of one job and its key: with another key it is lost, though the fences of one claim are equal",
          "[store]") {
  Scene scene;
  scene.enqueue(kKey);
  scene.enqueue(kOtherKey);
  const std::vector<Lease> leases = scene.claim(2).leases;
  REQUIRE(leases.size() == 2);
  REQUIRE(leases[0].job.fence == leases[1].job.fence);
  const SpecKey key = GENERATE(SpecKey{}, SpecKey{"no", "such"});
  LeaseRef wrong = ref(leases[0]);
  wrong.key = key.catalog_id.empty() ? leases[1].job.key : key;

  no_right(scene, wrong);
  const Job before = scene.job(wrong.job_id);
  CHECK(before.status == JobStatus::kRunning);
  CHECK(before.operation_count == 0);
  CHECK(scene.settle(leases[0]) == JobStatus::kSucceeded);
  no_right(scene, wrong);  // nor is it the same outcome sent again
  CHECK(scene.job(leases[1].job.id).status == JobStatus::kRunning);
  CHECK(scene.settle(leases[1]) == JobStatus::kSucceeded);
}

TEST_CASE("a fence with a zero for a nonce is none, whatever the job's state", "[store]") {
  Scene scene;
  const JobId id = scene.enqueue().job_id;
  const auto refused = [&](JobStatus status) {
    for (const std::uint64_t counter : {0U, 1U, 2U}) {
      no_right(scene, {id, kKey, {counter, 0}});
    }
    CHECK(scene.job(id).status == status);
  };
  refused(JobStatus::kPending);
  Lease lease = scene.claim_one();
  refused(JobStatus::kRunning);
  scene.settle(lease, {.kind = OutcomeKind::kRelease});
  refused(JobStatus::kPending);
  lease = scene.claim_one();
  scene.settle(lease);
  refused(JobStatus::kSucceeded);
}

TEST_CASE("a holder whose lease was taken changes nothing", "[store]") {
  Scene scene;
  const Lease stale = scene.run();
  scene.clock->advance(kLease + 1ms);
  const Lease current = scene.claim_one();
  const Job before = scene.job(current.job.id);

  CHECK_FALSE(renew(scene, stale));
  lost(scene.store.progress(ref(stale), {.operation_count = 7, .embedded = 7}));
  lost(scene.store.record_in_flight(ref(stale), std::vector{hash_text("new")}, {}));
  for (const OutcomeKind kind :
       {OutcomeKind::kComplete, OutcomeKind::kRetry, OutcomeKind::kFail, OutcomeKind::kRelease}) {
    lost(scene.store.settle(ref(stale), {.kind = kind, .error = "late"}).status());
  }

  const Job after = scene.job(current.job.id);
  CHECK(after.status == JobStatus::kRunning);
  CHECK(after.operation_count == before.operation_count);
  CHECK(after.fence == before.fence);
  CHECK(after.last_error == before.last_error);
  CHECK(after.lease_expires_at == before.lease_expires_at);
  CHECK(scene.settle(current) == JobStatus::kSucceeded);
}

TEST_CASE("a holder whose lease was taken writes no rows", "[catalog]") {
  Scene scene;
  scene.put(kKey, "document");
  const Lease stale = scene.claim_one();
  scene.clock->advance(kLease + 1ms);
  const Lease current = scene.claim_one();
  ok(scene.persist(current, {{"a", "new"}}));
  const Job before = scene.job(current.job.id);

  CHECK_FALSE(renew(scene, stale));
  lost(scene.store.progress(ref(stale), {.operation_count = 7, .embedded = 7}));
  lost(scene.store.settle(ref(stale), {.error = "late"}).status());
  lost(scene.catalog.list_existing(scene.context(stale), manifest_of({{"a", "new"}})).status());
  lost(scene.persist(stale, {{"b", "old"}}));
  lost(scene.persist(stale, {}));
  lost(scene.finalize(stale, {}));

  const Job after = scene.job(current.job.id);
  CHECK(after.status == JobStatus::kRunning);
  CHECK(after.operation_count == before.operation_count);
  CHECK(after.fence == before.fence);
  CHECK(after.last_error == before.last_error);
  CHECK(scene.rows() == seen({{"a", "new"}}));
  scene.complete(current, {{"a", "new"}});
}

TEST_CASE("a holder whose lease expired and was put back, but not claimed, changes nothing", "[store]") {
  Scene scene;
  const Lease lease = scene.run();
  scene.clock->advance(kLease + 1ms);
  REQUIRE(get(scene.store.reap(1)) == 1);
  CHECK_FALSE(renew(scene, lease));
  lost(scene.store.settle(ref(lease), {}).status());
  CHECK(scene.job(lease.job.id).status == JobStatus::kPending);
}

TEST_CASE("a holder whose lease expired and was put back, but not claimed, writes no rows", "[catalog]") {
  Scene scene;
  const Lease lease = scene.run();
  scene.clock->advance(kLease + 1ms);
  REQUIRE(get(scene.store.reap(1)) == 1);
  lost(scene.persist(lease, {{"a", "text"}}));
  CHECK(scene.job(lease.job.id).status == JobStatus::kPending);
}

TEST_CASE("the reaper puts back at most as many as it is told, and leaves live leases alone", "[store]") {
  Scene scene;
  for (int i = 0; i < 5; ++i) {
    scene.enqueue({"catalog", std::to_string(i)});
  }
  REQUIRE(scene.claim(5).leases.size() == 5);
  scene.clock->advance(kLease / 2);
  const Lease live = scene.run();
  scene.clock->advance(kLease / 2 + 1ms);
  CHECK(get(scene.store.reap(3)) == 3);
  CHECK(get(scene.store.reap(3)) == 2);
  CHECK(get(scene.store.reap(3)) == 0);
  CHECK(scene.job(live.job.id).status == JobStatus::kRunning);
}

TEST_CASE("a claim that meets more expired leases than it may put back takes the rest the next time", "[store]") {
  Scene scene;
  constexpr std::size_t kJobs = 130;
  for (std::size_t i = 0; i < kJobs; ++i) {
    scene.enqueue({"catalog", std::to_string(i)});
  }
  REQUIRE(scene.claim(kJobs).leases.size() == kJobs);
  scene.clock->advance(kLease + 1ms);
  std::size_t expired = 0;
  std::size_t claimed = 0;
  for (int i = 0; i < 3; ++i) {
    const ClaimResult result = scene.claim(kJobs);
    expired += result.expired;
    claimed += result.leases.size();
  }
  CHECK(expired == kJobs);
  CHECK(claimed == kJobs);
}
