// What is told of jobs and failures: get, list, counts, peek, failures, purge, wake.
#include <atomic>

#include "conformance/scene.hpp"

using namespace embedjobs;
using namespace embedjobs::test;

namespace {

std::vector<JobId> list(Scene& scene, const JobFilter& filter) {
  std::vector<JobId> ids;
  for (const Job& job : get(scene.store.list(filter))) {
    ids.push_back(job.id);
  }
  return ids;
}

Failure failure_of(Scene& scene, const SpecKey& key = kKey) {
  const auto failures = get(scene.store.failures_of(std::vector{key}));
  REQUIRE(failures.size() == 1);
  CHECK(failures[0].key == key);
  return failures[0];
}

Job fail(Scene& scene, const SpecKey& key, std::string error = "boom") {
  const Lease lease = scene.run(key);
  scene.settle(lease, {.kind = OutcomeKind::kFail, .error = std::move(error)});
  return scene.job(lease.job.id);
}

Peek peek(Scene& scene, const Space& space = kSpace) {
  return get(scene.store.peek(space.id()));
}

}  // namespace

TEST_CASE("a job that does not exist is not found", "[store]") {
  Scene scene;
  CHECK(scene.store.get(12345).status().code() == Code::kNotFound);
  CHECK(scene.store.get(-1).status().code() == Code::kNotFound);
}

TEST_CASE("jobs are listed newest first, filtered and limited", "[history]") {
  Scene scene;
  const Lease first = scene.run();
  const JobId done = first.job.id;
  scene.settle(first);
  const JobId pending = scene.enqueue(kKey, JobKind::kReconciler).job_id;
  const JobId other = scene.enqueue(kOtherKey).job_id;
  const JobId elsewhere = scene.enqueue({"elsewhere", "spec"}, JobKind::kManualRetry).job_id;
  CHECK(list(scene, {}) == std::vector{elsewhere, other, pending, done});
  CHECK(list(scene, {.limit = 2}) == std::vector{elsewhere, other});
  CHECK(list(scene, {.limit = 0}).empty());
  CHECK(list(scene, {.status = JobStatus::kSucceeded}) == std::vector{done});
  CHECK(list(scene, {.status = JobStatus::kPending, .limit = 1}) == std::vector{elsewhere});
  CHECK(list(scene, {.kind = JobKind::kReconciler}) == std::vector{pending});
  CHECK(list(scene, {.catalog_id = "catalog"}) == std::vector{other, pending, done});
  CHECK(list(scene, {.catalog_id = "catalog", .spec_name = "spec"}) == std::vector{pending, done});
  CHECK(list(scene, {.spec_name = "spec"}) == std::vector{elsewhere, pending, done});
  CHECK(list(scene, {.status = JobStatus::kPending,
                     .kind = JobKind::kManualRetry,
                     .catalog_id = "elsewhere",
                     .spec_name = "spec"}) == std::vector{elsewhere});
  CHECK(list(scene, {.catalog_id = "nowhere"}).empty());
}

TEST_CASE("the last job of each key, open or not", "[store]") {
  Scene scene;
  scene.settle(scene.run());
  const JobId ended = fail(scene, kOtherKey).id;
  const JobId open = scene.enqueue().job_id;
  const auto jobs = get(scene.store.last_jobs(std::vector<SpecKey>{kOtherKey, {"catalog", "never"}, kKey}));
  REQUIRE(jobs.size() == 3);
  REQUIRE(jobs[0].has_value());
  CHECK(jobs[0]->id == ended);
  CHECK(jobs[0]->key == kOtherKey);
  CHECK_FALSE(jobs[1].has_value());
  REQUIRE(jobs[2].has_value());
  CHECK(jobs[2]->id == open);
  CHECK(get(scene.store.last_jobs({})).empty());
}

TEST_CASE("counts are over all jobs", "[history]") {
  Scene scene;
  scene.settle(scene.run({"c", "succeeded"}));
  fail(scene, {"c", "failed"});
  scene.enqueue({"c", "cancelled"});
  ok(scene.store.remove_key({"c", "cancelled"}));
  scene.run({"c", "running"});
  scene.enqueue({"c", "pending"});
  scene.enqueue({"c", "pending too"});
  const StoreCounts counts = get(scene.store.counts());
  CHECK(counts.succeeded == 1);
  CHECK(counts.failed == 1);
  CHECK(counts.cancelled == 1);
  CHECK(counts.running == 1);
  CHECK(counts.pending == 2);
}

TEST_CASE("failures are counted a key until a success", "[failures]") {
  Scene scene;
  CHECK(failure_of(scene).occurrences == 0);
  const WallTime first = scene.clock->wall_now();
  fail(scene, kKey, "first");
  scene.clock->advance(1h);
  fail(scene, kKey, "second");
  Failure failure = failure_of(scene);
  CHECK(failure.occurrences == 2);
  CHECK(failure.first_failed_at == first);
  CHECK(failure.last_failed_at == scene.clock->wall_now());
  CHECK(failure.last_error == "second");
  CHECK(failure.last_success_at == WallTime{});
  CHECK_FALSE(failure.resolved);
  scene.clock->advance(1h);
  const WallTime success = scene.clock->wall_now();
  scene.settle(scene.run());
  failure = failure_of(scene);
  CHECK(failure.occurrences == 0);
  CHECK(failure.last_success_at == success);
  CHECK(failure.resolved);
  scene.clock->advance(1h);
  fail(scene, kKey, "third");
  failure = failure_of(scene);
  CHECK(failure.occurrences == 1);
  CHECK(failure.first_failed_at == scene.clock->wall_now());
  CHECK(failure.last_success_at == success);
  CHECK_FALSE(failure.resolved);
}

TEST_CASE("a retry is no failure of the key, and the last success is known without one", "[failures]") {
  Scene scene;
  const WallTime success = scene.clock->wall_now();
  scene.settle(scene.run());
  scene.clock->advance(1s);
  scene.settle(scene.run(), {.kind = OutcomeKind::kRetry, .error = "boom"});
  CHECK(failure_of(scene).occurrences == 0);
  CHECK(failure_of(scene).last_success_at == success);
}

TEST_CASE("unresolved failures are listed, most recent first", "[failures]") {
  Scene scene;
  fail(scene, {"b", "1"});
  scene.clock->advance(1s);
  fail(scene, {"a", "2"});
  scene.clock->advance(1s);
  fail(scene, {"b", "3"});
  scene.settle(scene.run({"b", "fine"}));
  const auto names = [&](std::optional<std::string> catalog_id, std::size_t limit) {
    std::string found;
    for (const Failure& failure : get(scene.store.failures(std::move(catalog_id), limit))) {
      found += failure.key.spec_name;
    }
    return found;
  };
  CHECK(names(std::nullopt, 10) == "321");
  CHECK(names(std::nullopt, 2) == "32");
  CHECK(names("b", 10) == "31");
  CHECK(names("nowhere", 10).empty());
  ok(scene.store.resolve_failure({"b", "3"}));
  CHECK(names(std::nullopt, 10) == "21");
  fail(scene, {"b", "3"});
  CHECK(names(std::nullopt, 10) == "321");
}

TEST_CASE("an operator resolves a failure, twice if need be, and none where there is none", "[failures]") {
  Scene scene;
  CHECK(scene.store.resolve_failure(kKey).code() == Code::kNotFound);
  fail(scene, kKey);
  ok(scene.store.resolve_failure(kKey));
  ok(scene.store.resolve_failure(kKey));
  CHECK(failure_of(scene).resolved);
}

TEST_CASE("purge deletes what ended long ago, up to a limit", "[history]") {
  Scene scene;
  const Lease old = scene.run();
  scene.settle(old);
  const EnqueueResult cancelled = scene.enqueue(kOtherKey);
  ok(scene.store.remove_key(kOtherKey));
  scene.clock->advance(1h);
  const Lease recent = scene.run();
  scene.settle(recent);
  const Lease open = scene.run();
  scene.clock->advance(1h);
  CHECK(get(scene.store.purge(3h, 10)) == 0);
  CHECK(get(scene.store.purge(90min, 1)) == 1);
  CHECK(get(scene.store.purge(90min, 10)) == 1);
  CHECK(get(scene.store.purge(90min, 10)) == 0);
  CHECK(scene.store.get(old.job.id).status().code() == Code::kNotFound);
  CHECK(scene.store.get(cancelled.job_id).status().code() == Code::kNotFound);
  CHECK(scene.job(recent.job.id).status == JobStatus::kSucceeded);
  CHECK(scene.job(open.job.id).status == JobStatus::kRunning);
  scene.clock->advance(1000h);
  CHECK(get(scene.store.purge(1h, 10)) == 1);
  CHECK(scene.job(open.job.id).status == JobStatus::kRunning);
}

TEST_CASE("purge keeps open failures, and the newest job of a key that failed", "[history][failures]") {
  Scene scene;
  const JobId first = fail(scene, kKey).id;
  const JobId second = fail(scene, kKey).id;
  scene.clock->advance(100h);
  CHECK(get(scene.store.purge(1h, 10)) == 0);
  ok(scene.store.resolve_failure(kKey));
  CHECK(get(scene.store.purge(1h, 10)) == 1);
  CHECK(scene.store.get(first).status().code() == Code::kNotFound);
  CHECK(scene.job(second).status == JobStatus::kFailed);
  CHECK(scene.last_job().id == second);
}

TEST_CASE("a purged job is never the last one again, and its id is not given twice", "[history]") {
  Scene scene;
  const Lease lease = scene.run();
  scene.settle(lease);
  scene.clock->advance(2h);
  REQUIRE(get(scene.store.purge(1h, 10)) == 1);
  CHECK_FALSE(get(scene.store.last_jobs(std::vector{kKey}))[0].has_value());
  CHECK(scene.enqueue().job_id > lease.job.id);
  lost(scene.store.settle(ref(lease), {}).status());
}

TEST_CASE("ages beyond reason overflow nothing", "[history]") {
  Scene scene;
  scene.settle(scene.run());
  CHECK(get(scene.store.purge(Duration::max(), 10)) == 0);
  scene.clock->advance(1s);
  CHECK(get(scene.store.purge(Duration::min(), 10)) == 1);
}

TEST_CASE("peek tells when there is something to do", "[store]") {
  Scene scene;
  Peek nothing = peek(scene);
  CHECK_FALSE(nothing.next_due.has_value());
  CHECK_FALSE(nothing.next_pending_due.has_value());
  CHECK_FALSE(nothing.running);
  CHECK_FALSE(nothing.urgent_waiting);
  CHECK_FALSE(nothing.other_space);

  scene.enqueue(kKey, JobKind::kReconciler);
  CHECK(peek(scene).next_due == Duration(0));
  CHECK(peek(scene).next_pending_due == Duration(0));
  CHECK_FALSE(peek(scene).urgent_waiting);
  scene.enqueue(kOtherKey);
  CHECK(peek(scene).urgent_waiting);

  const ClaimResult claimed = scene.claim(2);
  REQUIRE(claimed.leases.size() == 2);
  scene.clock->advance(1min);
  CHECK(peek(scene).running);
  CHECK(peek(scene).next_due == kLease - 1min);
  CHECK_FALSE(peek(scene).next_pending_due.has_value());
  CHECK_FALSE(peek(scene).urgent_waiting);

  scene.settle(claimed.leases[0], {.kind = OutcomeKind::kRelease, .reason = ReleaseReason::kPause, .delay = 30s});
  CHECK(peek(scene).next_due == 30s);
  CHECK(peek(scene).next_pending_due == 30s);
  CHECK_FALSE(peek(scene).urgent_waiting);
  scene.clock->advance(kLease * 2);
  CHECK(peek(scene).next_due == Duration(0));
  CHECK(peek(scene).urgent_waiting);
}

TEST_CASE("peek counts every job for a worker that does not know its space yet", "[store]") {
  Scene scene;
  scene.enqueue();
  scene.settle(scene.claim_one(), {.kind = OutcomeKind::kRelease, .reason = ReleaseReason::kPause, .delay = 30s});
  const Peek other = peek(scene, kNewSpace);
  CHECK(other.other_space);
  CHECK_FALSE(other.next_due.has_value());

  const Peek unknown = get(scene.store.peek({}));
  CHECK_FALSE(unknown.other_space);
  CHECK(unknown.next_due == 30s);
  CHECK(unknown.next_pending_due == 30s);
  scene.clock->advance(30s);
  CHECK(get(scene.store.peek({})).urgent_waiting);
  scene.claim_one();
  CHECK(get(scene.store.peek({})).running);
}

TEST_CASE("peek is not misled by a wall clock that was set back", "[store]") {
  Scene scene;
  scene.enqueue();
  scene.clock->set_wall_clock(-24h);
  CHECK(peek(scene).next_due == Duration(0));
  CHECK(peek(scene).urgent_waiting);
}

TEST_CASE("peek's counter moves with every enqueue, and with nothing else", "[store]") {
  Scene scene;
  std::uint64_t last = peek(scene).enqueue_counter;
  const auto moved = [&] { return std::exchange(last, peek(scene).enqueue_counter) != last; };
  scene.enqueue();
  CHECK(moved());
  scene.enqueue();
  CHECK(moved());
  const Lease lease = scene.claim_one();
  CHECK_FALSE(moved());
  scene.enqueue(kKey, JobKind::kReconciler);
  CHECK_FALSE(moved());
  scene.settle(lease);
  CHECK_FALSE(moved());
}

TEST_CASE("peek's counter moves with an enqueue of every kind, whether a job is open or not", "[store]") {
  const JobKind kind = GENERATE(JobKind::kSpecWrite, JobKind::kReconciler, JobKind::kManualRetry);
  Scene scene;
  std::uint64_t last = peek(scene).enqueue_counter;
  const auto moved = [&] { return std::exchange(last, peek(scene).enqueue_counter) != last; };
  scene.enqueue(kKey, kind);
  CHECK(moved());
  if (kind != JobKind::kReconciler) {  // it leaves an open job alone
    scene.enqueue(kKey, kind);
    CHECK(moved());
  }
  scene.settle(scene.claim_one());
  scene.enqueue(kKey, kind);
  CHECK(moved());
}

TEST_CASE("peek's counter moves with a document that is put", "[catalog]") {
  Scene scene;
  const std::uint64_t before = peek(scene).enqueue_counter;
  scene.put(kKey, "document");
  CHECK(peek(scene).enqueue_counter != before);
}

TEST_CASE("peek of another space than the first claim chose sees no job of it, but says that there are some",
          "[store]") {
  Scene scene;
  scene.settle(scene.run());
  scene.enqueue();
  const Peek other = peek(scene, kNewSpace);
  CHECK(other.other_space);
  CHECK_FALSE(other.next_due.has_value());
  CHECK_FALSE(other.urgent_waiting);
  CHECK(other.enqueue_counter == peek(scene).enqueue_counter);
  CHECK_FALSE(peek(scene).other_space);
  CHECK(peek(scene).next_due == Duration(0));
}

TEST_CASE("peek of another space sees no job of this one, but says that there are some", "[catalog]") {
  Scene scene;
  scene.put(kKey, "document");
  const Peek other = peek(scene, kNewSpace);
  CHECK(other.other_space);
  CHECK_FALSE(other.next_due.has_value());
  CHECK_FALSE(other.urgent_waiting);
  CHECK(other.enqueue_counter == peek(scene).enqueue_counter);
  CHECK_FALSE(peek(scene).other_space);
}

TEST_CASE("a wake function is called after each enqueue, and can look at the store", "[store][wake]") {
  Scene scene;
  std::atomic<int> calls = 0;
  scene.store.set_wake([&] {
    (void)scene.store.counts();
    ++calls;
  });
  scene.enqueue();
  CHECK(calls == 1);
  scene.store.set_wake({});
  scene.enqueue();
  CHECK(calls == 1);
}

TEST_CASE("a wake function is called after a document is put", "[catalog][wake]") {
  Scene scene;
  std::atomic<int> calls = 0;
  scene.store.set_wake([&] { ++calls; });
  scene.enqueue();
  scene.put(kOtherKey, "document");
  CHECK(calls == 2);
  scene.store.set_wake({});
}

TEST_CASE("a wake function that throws harms nothing", "[store][wake]") {
  Scene scene;
  scene.store.set_wake([] { throw std::runtime_error("boom"); });
  CHECK(scene.enqueue().created);
  scene.store.set_wake({});
}
