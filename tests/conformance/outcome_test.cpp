// How a pass ends: outcomes, budgets, generations, lost answers.
#include "conformance/scene.hpp"

using namespace embedjobs;
using namespace embedjobs::test;

namespace {

const std::vector<OutcomeKind> kOutcomes{OutcomeKind::kComplete, OutcomeKind::kRetry, OutcomeKind::kFail,
                                         OutcomeKind::kRelease};

}  // namespace

TEST_CASE("complete ends the job and leaves no lease and no error", "[store]") {
  Scene scene;
  const Lease first = scene.run();
  scene.settle(first, {.kind = OutcomeKind::kRelease, .error = "stopping"});
  const Lease lease = scene.claim_one();
  scene.clock->advance(1s);
  CHECK(scene.settle(lease, {.progress = Progress{.operation_count = 3, .reused = 1, .embedded = 2}}) ==
        JobStatus::kSucceeded);
  const Job job = scene.job(lease.job.id);
  CHECK(job.status == JobStatus::kSucceeded);
  CHECK(job.completed_at == scene.clock->wall_now());
  CHECK(job.last_error.empty());
  CHECK(job.worker_id.empty());
  CHECK(job.lease_expires_at == WallTime{});
  CHECK(job.operation_count == 3);
  CHECK(job.reused_count == 1);
  CHECK(job.embedded_count == 2);
  CHECK(job.embedded_so_far == 3);
  CHECK(scene.state(lease.job.id).settled);
}

TEST_CASE("retry waits for the backoff, 5 s x 2^n spread by the jitter", "[store]") {
  Scene scene({.lease_duration = kLease, .max_attempts = 100});
  scene.enqueue();
  for (int n = 1; n <= 8; ++n) {
    const Lease lease = scene.claim_one();
    CHECK(scene.settle(lease, {.kind = OutcomeKind::kRetry, .error = "boom", .jitter = 0.5}) == JobStatus::kPending);
    const Duration expected = std::min<Duration>(5s * (1 << n), 10min);
    const Job job = scene.last_job();
    CHECK(job.next_run_at - scene.clock->wall_now() == expected);
    CHECK(job.last_error == "boom");
    CHECK(job.attempts == n);
    CHECK(job.worker_id.empty());
    CHECK(job.completed_at == WallTime{});
    scene.clock->advance(expected);
  }
}

TEST_CASE("the fifth error in a row without progress fails the job", "[store]") {
  Scene scene;
  scene.enqueue();
  for (int n = 1; n <= 5; ++n) {
    const JobStatus status = scene.settle(scene.claim_one(), {.kind = OutcomeKind::kRetry, .error = "boom"});
    CHECK(status == (n < 5 ? JobStatus::kPending : JobStatus::kFailed));
    scene.clock->advance(10min);
  }
  CHECK(scene.claim().leases.empty());
}

TEST_CASE("progress forgives errors: fewer operations are missing than ever before", "[store]") {
  Scene scene;
  scene.enqueue();
  for (int n = 1; n <= 12; ++n) {
    const Lease lease = scene.claim_one();
    ok(scene.store.progress(ref(lease), {.operation_count = 50, .reused = n, .embedded = 0, .missing = 50 - n}));
    ok(scene.store.progress(ref(lease), {.operation_count = 50, .reused = n, .embedded = 1, .missing = 49 - n}));
    CHECK(scene.settle(lease, {.kind = OutcomeKind::kRetry, .error = "boom"}) == JobStatus::kPending);
    CHECK(scene.last_job().errors_in_row == 1);
    scene.clock->advance(10min);
  }
}

TEST_CASE("fail ends the job at once, with its error", "[store]") {
  Scene scene;
  const Lease lease = scene.run();
  CHECK(scene.settle(lease, {.kind = OutcomeKind::kFail, .error = "no such model"}) == JobStatus::kFailed);
  const Job job = scene.last_job();
  CHECK(job.last_error == "no such model");
  CHECK(job.completed_at == scene.clock->wall_now());
  CHECK(job.lease_expires_at == WallTime{});
  CHECK(scene.claim().leases.empty());
  CHECK(scene.enqueue().created);
}

TEST_CASE("a worker that stops releases its jobs at once, at no cost", "[store]") {
  Scene scene;
  const Lease lease = scene.run();
  CHECK(scene.settle(lease, {.kind = OutcomeKind::kRelease, .error = "stopping"}) == JobStatus::kPending);
  CHECK(scene.last_job().attempts == 0);
  CHECK(scene.claim_one().job.attempts == 1);
}

TEST_CASE("a pass whose document changed is due again at once, without backoff", "[store]") {
  Scene scene;
  const Lease lease = scene.run();
  scene.clock->advance(1s);
  CHECK(scene.settle(lease, {.kind = OutcomeKind::kRetry, .error = "changed", .retry_at_once = true}) ==
        JobStatus::kPending);
  CHECK(scene.last_job().next_run_at == scene.clock->wall_now());
  CHECK(scene.last_job().errors_in_row == 0);
  CHECK(scene.claim_one().job.id == lease.job.id);
}

TEST_CASE("a release is not due before its delay is over, whatever its reason", "[store]") {
  const ReleaseReason reason = GENERATE(ReleaseReason::kStop, ReleaseReason::kYield, ReleaseReason::kPause);
  Scene scene;
  const Lease lease = scene.run();
  scene.settle(lease, {.kind = OutcomeKind::kRelease, .reason = reason, .delay = 30s});
  CHECK(scene.last_job().next_run_at == scene.clock->wall_now() + 30s);
  scene.clock->advance(29s);
  CHECK(scene.claim().leases.empty());
  scene.clock->advance(1s);
  CHECK(scene.claim().leases.size() == 1);
}

TEST_CASE("every fifth release without progress costs an attempt, so that nothing loops for ever", "[store]") {
  Scene scene;
  scene.enqueue();
  int passes = 0;
  JobStatus status = JobStatus::kPending;
  while (status == JobStatus::kPending && passes < 1000) {
    status = scene.settle(scene.claim_one(), {.kind = OutcomeKind::kRelease, .reason = ReleaseReason::kYield});
    ++passes;
  }
  CHECK(status == JobStatus::kFailed);
  CHECK(passes == 25);
}

TEST_CASE("a pause of the provider never costs an attempt, and is at most an hour", "[store]") {
  Scene scene;
  scene.enqueue();
  const WallTime began = scene.clock->wall_now();
  for (int i = 0; i < 30; ++i) {
    const Lease lease = scene.claim_one();
    CHECK(scene.settle(lease, {.kind = OutcomeKind::kRelease, .reason = ReleaseReason::kPause, .delay = 90min}) ==
          JobStatus::kPending);
    CHECK(scene.last_job().next_run_at == scene.clock->wall_now() + 1h);
    CHECK(scene.last_job().paused_since == began);
    scene.clock->advance(1h);
  }
  CHECK(scene.last_job().attempts == 0);
  CHECK(scene.last_job().errors_in_row == 0);
}

TEST_CASE("whatever the outcome, a pass that an edit overtook is pending again at once with fresh budgets", "[store]") {
  const OutcomeKind kind = GENERATE(from_range(kOutcomes));
  const JobKind edit = GENERATE(JobKind::kSpecWrite, JobKind::kManualRetry);
  Scene scene;
  scene.enqueue();
  scene.settle(scene.claim_one(), {.kind = OutcomeKind::kRetry, .error = "before"});
  scene.clock->advance(10min);
  const Lease lease = scene.claim_one();
  scene.enqueue(kKey, edit);
  CHECK(scene.job(lease.job.id).status == JobStatus::kRunning);
  CHECK(scene.settle(lease, {.kind = kind, .error = "boom", .delay = 1h}) == JobStatus::kPending);
  const Job job = scene.job(lease.job.id);
  CHECK(job.attempts == 0);
  CHECK(job.errors_in_row == 0);
  CHECK(job.next_run_at == scene.clock->wall_now());
  CHECK(job.generation == 2);
  const Lease next = scene.claim_one();
  CHECK(next.job.generation == 2);
  CHECK(scene.settle(next) == JobStatus::kSucceeded);
}

TEST_CASE("a pass that an edit overtook is no failure, whatever its outcome", "[failures]") {
  const OutcomeKind kind = GENERATE(from_range(kOutcomes));
  const JobKind edit = GENERATE(JobKind::kSpecWrite, JobKind::kManualRetry);
  Scene scene;
  const Lease lease = scene.run();
  scene.enqueue(kKey, edit);
  CHECK(scene.settle(lease, {.kind = kind, .error = "boom", .delay = 1h}) == JobStatus::kPending);
  CHECK(get(scene.store.failures(std::nullopt, 10)).empty());
}

TEST_CASE("an expired pass that an edit overtook is pending with fresh budgets, and no crash counts", "[store]") {
  Scene scene;
  const Lease lease = scene.run();
  scene.enqueue();
  scene.clock->advance(kLease + 1ms);
  REQUIRE(get(scene.store.reap(10)) == 1);
  const Job job = scene.job(lease.job.id);
  CHECK(job.status == JobStatus::kPending);
  CHECK(scene.state(lease.job.id).crashes == 0);
  CHECK(job.attempts == 0);
  CHECK(job.generation == 2);
}

TEST_CASE("a reconciler that met a running job does not start it over", "[store]") {
  Scene scene;
  const Lease lease = scene.run();
  scene.enqueue(kKey, JobKind::kReconciler);
  CHECK(scene.settle(lease) == JobStatus::kSucceeded);
}

TEST_CASE("an outcome sent again finds its own effect", "[store]") {
  const OutcomeKind kind = GENERATE(from_range(kOutcomes));
  Scene scene;
  const Lease lease = scene.run();
  const JobStatus first = scene.settle(lease, {.kind = kind, .error = "boom"});
  const Job before = scene.job(lease.job.id);
  const JobState state_before = scene.state(lease.job.id);
  CHECK(scene.settle(lease, {.kind = kind, .error = "boom"}) == first);
  const Job after = scene.job(lease.job.id);
  CHECK(after.attempts == before.attempts);
  CHECK(after.errors_in_row == before.errors_in_row);
  CHECK(scene.state(lease.job.id).releases_in_row == state_before.releases_in_row);
  CHECK(after.next_run_at == before.next_run_at);
}

TEST_CASE("an outcome sent again counts no second failure", "[failures]") {
  const OutcomeKind kind = GENERATE(from_range(kOutcomes));
  Scene scene;
  const Lease lease = scene.run();
  const JobStatus first = scene.settle(lease, {.kind = kind, .error = "boom"});
  CHECK(scene.settle(lease, {.kind = kind, .error = "boom"}) == first);
  CHECK(get(scene.store.failures_of(std::vector{kKey}))[0].occurrences == (kind == OutcomeKind::kFail ? 1 : 0));
}

TEST_CASE("an outcome sent again after another worker claimed is lost", "[store]") {
  Scene scene;
  const Lease lease = scene.run();
  scene.settle(lease, {.kind = OutcomeKind::kRelease});
  const Lease next = scene.claim_one();
  lost(scene.store.settle(ref(lease), {.kind = OutcomeKind::kRelease}).status());
  CHECK(scene.job(next.job.id).status == JobStatus::kRunning);
}

TEST_CASE("a settled holder can do nothing more", "[store]") {
  Scene scene;
  const Lease lease = scene.run();
  scene.settle(lease, {.kind = OutcomeKind::kRelease});
  lost(scene.store.progress(ref(lease), {}));
  lost(scene.store.record_in_flight(ref(lease), {}, {}));
  CHECK(get(scene.store.renew(std::vector{ref(lease)}, 0s, 1s)) == std::vector{false});
}

TEST_CASE("a settled holder can write no rows more", "[catalog]") {
  Scene scene;
  scene.put(kKey, "document");
  const Lease lease = scene.claim_one();
  scene.settle(lease, {.kind = OutcomeKind::kRelease});
  lost(scene.persist(lease, {{"a", "text"}}));
  lost(scene.finalize(lease, {}));
}

TEST_CASE("an outcome for a job that never was is lost", "[store]") {
  Scene scene;
  lost(scene.store.settle({.job_id = 77, .key = kKey, .fence = {1, 1}}, {}).status());
  scene.enqueue();
  lost(scene.store.settle({.job_id = scene.last_job().id, .key = kKey, .fence = {}}, {}).status());
}

TEST_CASE("progress is published while the job runs", "[store]") {
  Scene scene;
  const Lease lease = scene.run();
  scene.clock->advance(1s);
  ok(scene.store.progress(ref(lease), {.operation_count = 10, .reused = 4, .embedded = 2, .missing = 4}));
  const Job job = scene.last_job();
  CHECK(job.embedded_so_far == 6);
  CHECK(job.reused_count == 4);
  CHECK(job.embedded_count == 2);
  CHECK(job.operation_count == 10);
  CHECK(job.updated_at == scene.clock->wall_now());
}

TEST_CASE("a manual retry while a job runs is not swallowed", "[store]") {
  Scene scene;
  const Lease lease = scene.run();
  const EnqueueResult retry = scene.enqueue(kKey, JobKind::kManualRetry);
  CHECK_FALSE(retry.created);
  CHECK(scene.settle(lease) == JobStatus::kPending);
  const Lease next = scene.claim_one();
  CHECK(next.job.kind == JobKind::kManualRetry);
  CHECK(next.reuse_floor > lease.state.epoch);
  CHECK(next.state.epoch >= next.reuse_floor);
}

TEST_CASE("what a manual retry forbids stays forbidden over retries and edits, until a success", "[store]") {
  Scene scene;
  scene.settle(scene.run());
  scene.enqueue(kKey, JobKind::kManualRetry);
  const Lease first = scene.claim_one();
  REQUIRE(first.reuse_floor > 0);
  scene.settle(first, {.kind = OutcomeKind::kRetry, .error = "boom"});
  scene.enqueue(kKey, JobKind::kSpecWrite);
  const Lease second = scene.claim_one();
  CHECK(second.reuse_floor == first.reuse_floor);
  scene.settle(second);
  CHECK(scene.run().reuse_floor == 0);
}
