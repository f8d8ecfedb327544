// What holds over an end of the process and a reboot, for backends that outlive their process.
#include "conformance/scene.hpp"

using namespace embedjobs;
using namespace embedjobs::test;

TEST_CASE("everything is there for the next process", "[catalog][durable]") {
  Scene scene;
  scene.index(kKey, {{"a", "1"}});
  scene.put(kOtherKey, "content");
  scene.enqueue(kOtherKey, JobKind::kManualRetry);
  const Lease lease = scene.claim_one();
  ok(scene.persist(lease, {{"b", "2"}}));
  const Backend next = scene.database->open({.lease_duration = kLease}, scene.clock);
  const Job before = scene.job(lease.job.id);
  const Job after = get(next.store->get(lease.job.id));
  CHECK(after.fence == before.fence);
  CHECK(after.status == JobStatus::kRunning);
  CHECK(get(next.store->job_state(lease.job.id)).epoch == scene.state(lease.job.id).epoch);
  CHECK(get(next.catalog->resolve(kOtherKey)).content == "content");
  CHECK(get(next.store->peek(kSpace.id())).enqueue_counter == get(scene.store.peek(kSpace.id())).enqueue_counter);
  CHECK(get(next.store->settle(ref(lease), {})) == JobStatus::kSucceeded);
  CHECK(scene.job(lease.job.id).status == JobStatus::kSucceeded);
}

TEST_CASE("a job that one process runs is not claimed by another, until its lease ends", "[store][durable]") {
  Scene scene;
  scene.run();
  const Backend other = scene.database->open({.lease_duration = kLease}, scene.clock);
  CHECK(get(other.store->claim(scene.request())).leases.empty());
  scene.clock->advance(kLease + 1ms);
  CHECK(get(other.store->claim(scene.request())).leases.size() == 1);
}

TEST_CASE("a lease of another boot has ended, whatever the clocks say", "[store][durable][boot]") {
  Scene scene;
  const Lease lease = scene.run();
  scene.clock->reboot();
  const Backend next = scene.database->open({.lease_duration = kLease}, scene.clock);
  const ClaimResult result = get(next.store->claim(scene.request()));
  CHECK(result.expired == 1);
  REQUIRE(result.leases.size() == 1);
  CHECK(result.leases[0].job.fence.counter == lease.job.fence.counter + 1);
  lost(next.store->settle(ref(lease), {}).status());
}
