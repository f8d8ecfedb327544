// Claims: who gets what, in which order, once.
#include "conformance/scene.hpp"

using namespace embedjobs;
using namespace embedjobs::test;

namespace {

SpecKey numbered(int number) {
  return {"catalog", "spec " + std::to_string(number)};
}

std::vector<JobId> ids(const ClaimResult& result) {
  std::vector<JobId> found;
  for (const Lease& lease : result.leases) {
    found.push_back(lease.job.id);
  }
  return found;
}

}  // namespace

TEST_CASE("a claim returns a job or none", "[store]") {
  Scene scene;
  CHECK(scene.claim().leases.empty());
  scene.enqueue();
  CHECK(scene.claim().leases.size() == 1);
  CHECK(scene.claim().leases.empty());
}

TEST_CASE("a claim stamps worker, attempt, fence, start and the store's own lease", "[store]") {
  Scene scene;
  const EnqueueResult enqueued = scene.enqueue();
  scene.clock->advance(3s);
  ClaimRequest request = scene.request();
  request.worker_id = "somebody";
  request.nonce = 0xffff'ffff'ffff'fffeU;  // above what a signed column holds
  const ClaimResult result = get(scene.store.claim(request));
  REQUIRE(result.leases.size() == 1);
  const Job job = result.leases[0].job;
  CHECK(job.id == enqueued.job_id);
  CHECK(job.status == JobStatus::kRunning);
  CHECK(job.worker_id == "somebody");
  CHECK(job.attempts == 1);
  CHECK(job.fence == Fence{1, request.nonce});
  CHECK(job.generation == 1);
  CHECK(job.started_at == scene.clock->wall_now());
  CHECK(job.lease_expires_at == scene.clock->wall_now() + kLease);
  CHECK(job.embedded_so_far == 0);
  CHECK_FALSE(result.leases[0].state.settled);
  CHECK(result.expired == 0);
  CHECK(result.leases[0].reuse_floor == 0);
  CHECK(result.leases[0].suspects.empty());
  const Job stored = scene.job(job.id);
  CHECK(stored.fence == job.fence);
  CHECK(stored.worker_id == "somebody");
  CHECK(stored.lease_expires_at == job.lease_expires_at);
}

TEST_CASE("the lease duration of the options is what a claim stamps; non-positive ones are the default", "[store]") {
  CHECK(Scene({.lease_duration = 500ms}).store.lease_duration() == 500ms);
  CHECK(Scene({.lease_duration = 0s}).store.lease_duration() == 10min);
  CHECK(Scene({.lease_duration = -1s, .max_attempts = -1}).store.lease_duration() == 10min);
  Scene scene({.lease_duration = 500ms});
  CHECK(scene.run().job.lease_expires_at == scene.clock->wall_now() + 500ms);
}

TEST_CASE("claims go by priority, then due time, then id", "[store]") {
  Scene scene;
  const JobId low_early = scene.enqueue(numbered(1), JobKind::kReconciler).job_id;
  scene.clock->advance(1s);
  const JobId high = scene.enqueue(numbered(2)).job_id;
  const JobId retry = scene.enqueue(numbered(3), JobKind::kManualRetry).job_id;
  const JobId low_late = scene.enqueue(numbered(4), JobKind::kReconciler).job_id;
  CHECK(ids(scene.claim(10)) == std::vector{high, retry, low_early, low_late});
}

TEST_CASE("what is claimed by age ignores priority, so that the reconciler's jobs do not starve", "[store]") {
  Scene scene;
  const JobId low = scene.enqueue(numbered(1), JobKind::kReconciler).job_id;
  scene.clock->advance(1s);
  const JobId high = scene.enqueue(numbered(2)).job_id;
  ClaimRequest request = scene.request(1);
  request.by_age = 1;
  CHECK(ids(get(scene.store.claim(request))) == std::vector{low});
  CHECK(ids(scene.claim()) == std::vector{high});
}

TEST_CASE("a claim by age and by priority takes the oldest, then the most urgent of the others", "[store]") {
  Scene scene;
  const JobId low = scene.enqueue(numbered(1), JobKind::kReconciler).job_id;
  scene.clock->advance(1s);
  const JobId low_later = scene.enqueue(numbered(2), JobKind::kReconciler).job_id;
  scene.clock->advance(1s);
  const JobId high = scene.enqueue(numbered(3)).job_id;
  ClaimRequest request = scene.request(2);
  request.by_age = 1;
  const ClaimResult mixed = get(scene.store.claim(request));
  CHECK(mixed.leases.size() == 2);
  CHECK(scene.job(low).status == JobStatus::kRunning);
  CHECK(scene.job(high).status == JobStatus::kRunning);
  CHECK(scene.job(low_later).status == JobStatus::kPending);
}

TEST_CASE("a claim takes at most max_jobs, and none when that is zero", "[store]") {
  Scene scene;
  for (int i = 0; i < 5; ++i) {
    scene.enqueue(numbered(i));
  }
  CHECK(scene.claim(0).leases.empty());
  CHECK(scene.claim(3).leases.size() == 3);
  CHECK(scene.claim(3).leases.size() == 2);
}

TEST_CASE("a job that is not due is not claimed, and is when its time has come", "[store]") {
  Scene scene;
  const Lease lease = scene.run();
  scene.settle(lease, {.kind = OutcomeKind::kRelease, .reason = ReleaseReason::kPause, .delay = 30s});
  CHECK(scene.claim().leases.empty());
  scene.clock->advance(29s);
  CHECK(scene.claim().leases.empty());
  scene.clock->advance(1s);
  CHECK(scene.claim().leases.size() == 1);
}

TEST_CASE("a wall clock that was set back delays no job beyond what a rule can ask for", "[store]") {
  Scene scene;
  scene.enqueue();
  scene.clock->set_wall_clock(-24h);
  CHECK(scene.claim().leases.size() == 1);
}

TEST_CASE("the same claim sent again finds its own effect", "[store]") {
  Scene scene;
  for (int i = 0; i < 4; ++i) {
    scene.enqueue(numbered(i));
  }
  const ClaimRequest request = scene.request(2);
  const ClaimResult first = get(scene.store.claim(request));
  const ClaimResult second = get(scene.store.claim(request));
  CHECK(ids(first) == ids(second));
  REQUIRE(second.leases.size() == 2);
  CHECK(second.leases[0].job.fence == first.leases[0].job.fence);
  CHECK(second.leases[0].job.attempts == 1);
  CHECK(scene.claim(10).leases.size() == 2);  // the two that are left
}

TEST_CASE("a claim is known again by its nonce alone, whichever worker sends it", "[store]") {
  Scene scene;
  scene.enqueue(numbered(1));
  scene.enqueue(numbered(2));
  ClaimRequest request = scene.request(1);
  request.worker_id = "first";
  const ClaimResult first = get(scene.store.claim(request));
  request.worker_id = "second";
  const ClaimResult second = get(scene.store.claim(request));
  CHECK(ids(second) == ids(first));
  REQUIRE(second.leases.size() == 1);
  CHECK(second.leases[0].job.worker_id == "first");
}

TEST_CASE("the same claim sent again renews no lease", "[store]") {
  Scene scene;
  scene.enqueue();
  const ClaimRequest request = scene.request();
  const ClaimResult first = get(scene.store.claim(request));
  scene.clock->advance(kLease / 2);
  const ClaimResult second = get(scene.store.claim(request));
  REQUIRE(second.leases.size() == 1);
  CHECK(second.leases[0].job.lease_expires_at == first.leases[0].job.lease_expires_at);
  scene.clock->advance(kLease / 2 + 1ms);
  CHECK(get(scene.store.reap(10)) == 1);
}

TEST_CASE("a claim's provider is the job's, until the next claim says another", "[store]") {
  Scene scene;
  scene.enqueue();
  ClaimRequest request = scene.request();
  request.provider = "provider one";
  const ClaimResult first = get(scene.store.claim(request));
  REQUIRE(first.leases.size() == 1);
  CHECK(first.leases[0].job.provider == "provider one");
  CHECK(scene.last_job().provider == "provider one");
  scene.settle(first.leases[0], {.kind = OutcomeKind::kRelease});
  CHECK(scene.last_job().provider == "provider one");
  CHECK(scene.claim_one().job.provider.empty());
}

TEST_CASE("the same claim sent again runs no more jobs, by the store's counts", "[history]") {
  Scene scene;
  for (int i = 0; i < 4; ++i) {
    scene.enqueue(numbered(i));
  }
  const ClaimRequest request = scene.request(2);
  const ClaimResult first = get(scene.store.claim(request));
  const ClaimResult second = get(scene.store.claim(request));
  CHECK(ids(first) == ids(second));
  CHECK(get(scene.store.counts()).running == 2);
}

TEST_CASE("the same claim sent again returns only what still runs under it", "[store]") {
  Scene scene;
  scene.enqueue(numbered(1));
  scene.enqueue(numbered(2));
  const ClaimRequest request = scene.request(2);
  const ClaimResult first = get(scene.store.claim(request));
  scene.settle(first.leases[0]);
  const ClaimResult second = get(scene.store.claim(request));
  CHECK(ids(second) == std::vector{first.leases[1].job.id});
}

TEST_CASE("a claim without a nonce, or without a space, is refused", "[store]") {
  Scene scene;
  scene.enqueue();
  ClaimRequest request = scene.request();
  request.nonce = 0;
  CHECK(scene.store.claim(request).status().code() == Code::kInvalidArgument);
  request = scene.request();
  request.space_id = "no space";
  CHECK(scene.store.claim(request).status().code() == Code::kInvalidArgument);
  CHECK(scene.last_job().status == JobStatus::kPending);
}

TEST_CASE("the first claim chooses the target space of a catalog that has none", "[catalog]") {
  Scene scene;
  scene.enqueue();
  CHECK(scene.catalog_info().target_space_id.empty());
  scene.claim_one(kNewSpace);
  CHECK(scene.catalog_info().target_space_id == kNewSpace.id());
  CHECK(scene.catalog_info().search_space_id == kNewSpace.id());
}

TEST_CASE("a worker of another space than the first claim chose does not touch the catalog, and is told so",
          "[store]") {
  Scene scene;
  scene.settle(scene.run());
  scene.enqueue(kKey);
  scene.enqueue(kOtherKey);
  scene.enqueue({"elsewhere", "spec"});
  const ClaimResult result = scene.claim(10, kNewSpace);
  REQUIRE(result.leases.size() == 1);
  CHECK(result.leases[0].job.key.catalog_id == "elsewhere");
  CHECK(result.other_space == 2);
  CHECK_THAT(result.other_space_example, containing("catalog") && containing(kSpace.id()));
  const ClaimResult ours = scene.claim(10);
  CHECK(ours.leases.size() == 2);
  CHECK(ours.other_space == 0);
}

TEST_CASE("a worker of another space does not touch the catalog and is told so", "[catalog]") {
  Scene scene;
  scene.put(kKey, "document");
  scene.put(kOtherKey, "document");
  scene.enqueue({"elsewhere", "spec"});
  const ClaimResult result = scene.claim(10, kNewSpace);
  REQUIRE(result.leases.size() == 1);
  CHECK(result.leases[0].job.key.catalog_id == "elsewhere");
  CHECK(result.other_space == 2);
  CHECK_THAT(result.other_space_example, containing("catalog") && containing(kSpace.id()));
  CHECK(scene.claim(10).other_space == 0);
}

TEST_CASE("jobs of another space that are not due are not counted", "[catalog]") {
  Scene scene;
  scene.put(kKey, "document");
  scene.settle(scene.claim_one(), {.kind = OutcomeKind::kRetry, .error = "boom"});
  CHECK(scene.claim(1, kNewSpace).other_space == 0);
}

TEST_CASE("a claim of a job resets what the last pass counted", "[store]") {
  Scene scene;
  const Lease lease = scene.run();
  ok(scene.store.progress(ref(lease), {.operation_count = 10, .reused = 2, .embedded = 3, .missing = 5}));
  scene.settle(lease, {.kind = OutcomeKind::kRelease});
  const Lease again = scene.claim_one();
  CHECK(again.job.embedded_so_far == 0);
  CHECK(again.job.reused_count == 0);
  CHECK(again.job.embedded_count == 0);
  CHECK(again.state.fewest_missing == 5);
}
