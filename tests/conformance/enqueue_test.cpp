// Enqueue and removal: generations, open jobs, tombstones.
#include "conformance/scene.hpp"

using namespace embedjobs;
using namespace embedjobs::test;

TEST_CASE("enqueue makes a pending job that is due now", "[store]") {
  Scene scene;
  const EnqueueResult result = scene.enqueue();
  CHECK(result.created);
  CHECK(result.generation == 1);
  const Job job = scene.job(result.job_id);
  CHECK(job.key == kKey);
  CHECK(job.kind == JobKind::kSpecWrite);
  CHECK(job.status == JobStatus::kPending);
  CHECK(job.attempts == 0);
  CHECK(job.next_run_at == scene.clock->wall_now());
  CHECK(job.created_at == scene.clock->wall_now());
  CHECK(job.generation == 1);
  CHECK(job.last_error.empty());
}

TEST_CASE("a key has at most one open job, and each enqueue is a generation", "[store]") {
  Scene scene;
  const EnqueueResult first = scene.enqueue();
  const EnqueueResult second = scene.enqueue();
  CHECK_FALSE(second.created);
  CHECK(second.job_id == first.job_id);
  CHECK(second.generation == 2);
  const Lease lease = scene.claim_one();
  CHECK(lease.job.generation == 2);
  const EnqueueResult third = scene.enqueue();
  CHECK_FALSE(third.created);
  CHECK(third.job_id == first.job_id);
}

TEST_CASE("a key has at most one open job in the list, however often it is enqueued", "[history]") {
  Scene scene;
  scene.enqueue();
  scene.enqueue();
  scene.claim_one();
  scene.enqueue();
  CHECK(get(scene.store.list({})).size() == 1);
}

TEST_CASE("an enqueue for a pending job raises its priority and makes it due now, with fresh budgets", "[store]") {
  Scene scene;
  const Lease lease = scene.run(kKey, JobKind::kReconciler);
  scene.settle(lease, {.kind = OutcomeKind::kRetry, .error = "boom"});
  CHECK(scene.job(lease.job.id).next_run_at > scene.clock->wall_now());
  CHECK(scene.claim().leases.empty());
  scene.clock->advance(1s);
  scene.enqueue();
  const Job job = scene.job(lease.job.id);
  CHECK(job.priority == 0);
  CHECK(job.kind == JobKind::kSpecWrite);
  CHECK(job.next_run_at == scene.clock->wall_now());
  CHECK(job.attempts == 0);
  CHECK(job.errors_in_row == 0);
}

TEST_CASE("the reconciler never touches an open job", "[store]") {
  Scene scene;
  const EnqueueResult open = scene.enqueue();
  const EnqueueResult reconciled = scene.enqueue(kKey, JobKind::kReconciler);
  CHECK_FALSE(reconciled.created);
  CHECK(reconciled.job_id == open.job_id);
  CHECK(reconciled.generation == 1);
  CHECK(scene.job(open.job_id).kind == JobKind::kSpecWrite);
  const Lease lease = scene.claim_one();
  CHECK_FALSE(scene.enqueue(kKey, JobKind::kReconciler).created);
  CHECK(scene.settle(lease) == JobStatus::kSucceeded);
}

TEST_CASE("the reconciler makes a job for a key without an open one, at lower priority", "[store]") {
  Scene scene;
  scene.settle(scene.run());
  const EnqueueResult result = scene.enqueue(kKey, JobKind::kReconciler);
  CHECK(result.created);
  CHECK(scene.job(result.job_id).priority == 1);
  CHECK(scene.job(result.job_id).kind == JobKind::kReconciler);
}

TEST_CASE("the reconciler leaves a removed key alone; any other enqueue makes it again and goes on counting",
          "[store]") {
  Scene scene;
  scene.enqueue();
  ok(scene.store.remove_key(kKey));
  const EnqueueResult reconciled = scene.enqueue(kKey, JobKind::kReconciler);
  CHECK_FALSE(reconciled.created);
  CHECK(reconciled.job_id == 0);
  const EnqueueResult again = scene.enqueue();
  CHECK(again.created);
  CHECK(again.generation == 3);
}

TEST_CASE("an enqueue makes a removed key one like any other: it can be reconciled, and removed", "[store]") {
  Scene scene;
  scene.enqueue();
  ok(scene.store.remove_key(kKey));
  scene.settle(scene.run());
  CHECK(scene.enqueue(kKey, JobKind::kReconciler).created);
  ok(scene.store.remove_key(kKey));
}

TEST_CASE("a removal ends what a manual retry forbade: the key that is made again may reuse any vector", "[store]") {
  Scene scene;
  REQUIRE(scene.run(kKey, JobKind::kManualRetry).reuse_floor > 0);
  ok(scene.store.remove_key(kKey));
  CHECK(scene.run().reuse_floor == 0);
}

TEST_CASE("the epoch moves with a manual retry of any key, and with nothing else", "[store]") {
  Scene scene;
  const auto epoch_of = [&](const SpecKey& key, JobKind kind) {
    const Lease lease = scene.run(key, kind);
    scene.settle(lease);
    return lease.state.epoch;
  };
  const std::uint64_t first = epoch_of(kKey, JobKind::kSpecWrite);
  CHECK(epoch_of(kKey, JobKind::kSpecWrite) == first);
  CHECK(epoch_of(kKey, JobKind::kReconciler) == first);
  ok(scene.store.remove_key(kKey));
  CHECK(epoch_of(kOtherKey, JobKind::kSpecWrite) == first);
  const std::uint64_t second = epoch_of(kKey, JobKind::kManualRetry);
  CHECK(second > first);
  CHECK(epoch_of(kOtherKey, JobKind::kReconciler) == second);
  CHECK(epoch_of(kOtherKey, JobKind::kManualRetry) > second);
}

TEST_CASE("removal of a key cancels its pending job", "[store]") {
  Scene scene;
  const EnqueueResult result = scene.enqueue();
  scene.clock->advance(1s);
  ok(scene.store.remove_key(kKey));
  const Job job = scene.job(result.job_id);
  CHECK(job.status == JobStatus::kCancelled);
  CHECK(job.completed_at == scene.clock->wall_now());
  CHECK(scene.claim().leases.empty());
}

TEST_CASE("removal of a key in mid-run revokes the lease: its holder changes nothing any more", "[store]") {
  Scene scene;
  const Lease lease = scene.run();
  ok(scene.store.remove_key(kKey));
  CHECK(scene.job(lease.job.id).status == JobStatus::kCancelled);
  CHECK(get(scene.store.renew(std::vector{ref(lease)}, kLease, 1s)) == std::vector{false});
  lost(scene.store.progress(ref(lease), {}));
  lost(scene.store.settle(ref(lease), {}).status());
  CHECK(scene.job(lease.job.id).status == JobStatus::kCancelled);
}

TEST_CASE("removal of a key in mid-run: its holder writes no rows any more", "[catalog]") {
  Scene scene;
  const Lease lease = scene.run();
  ok(scene.store.remove_key(kKey));
  lost(scene.persist(lease, {{"a", "text"}}));
  lost(scene.finalize(lease, {}));
  CHECK(scene.job(lease.job.id).status == JobStatus::kCancelled);
}

TEST_CASE("a fence is never given twice, not over removal and not over a new job", "[store]") {
  Scene scene;
  const Lease first = scene.run();
  ok(scene.store.remove_key(kKey));
  const Lease second = scene.run();
  CHECK(second.job.id != first.job.id);
  CHECK(second.job.fence.counter > first.job.fence.counter);
  scene.settle(second);
  CHECK(scene.run().job.fence.counter > second.job.fence.counter);
}

TEST_CASE("removing a key that is unknown, or removed already, is not found", "[store]") {
  Scene scene;
  CHECK(scene.store.remove_key(kKey).code() == Code::kNotFound);
  scene.enqueue();
  ok(scene.store.remove_key(kKey));
  CHECK(scene.store.remove_key(kKey).code() == Code::kNotFound);
}

TEST_CASE("a key without a job can be removed, and what failed is forgotten", "[failures]") {
  Scene scene;
  scene.settle(scene.run(), {.kind = OutcomeKind::kFail, .error = "boom"});
  REQUIRE(get(scene.store.failures(std::nullopt, 10)).size() == 1);
  ok(scene.store.remove_key(kKey));
  CHECK(get(scene.store.failures(std::nullopt, 10)).empty());
}

TEST_CASE("a kind that is none is refused", "[store]") {
  Scene scene;
  CHECK(scene.store.enqueue(kKey, static_cast<JobKind>(7)).status().code() == Code::kInvalidArgument);
}
