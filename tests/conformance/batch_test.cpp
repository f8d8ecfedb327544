// Many at once: each answer is what the call for one would give.
#include "conformance/scene.hpp"

using namespace embedjobs;
using namespace embedjobs::test;

namespace {

std::vector<SpecKey> keys(std::initializer_list<const char*> names) {
  std::vector<SpecKey> made;
  for (const char* name : names) {
    made.push_back({"catalog", name});
  }
  return made;
}

std::string claimed_order(Scene& scene) {
  std::string order;
  const ClaimResult claimed = scene.claim(10);
  for (const Lease& lease : claimed.leases) {
    order += lease.job.key.spec_name;
  }
  return order;
}

/// Four jobs that were claimed. The last one is settled, and its answer was lost. The third one's key is removed.
std::vector<Lease> four(Scene& scene) {
  (void)scene.store.enqueue_all(keys({"a", "b", "c", "d"}), JobKind::kSpecWrite);
  std::vector<Lease> leases = scene.claim(4).leases;
  REQUIRE(leases.size() == 4);
  scene.settle(leases[3]);
  ok(scene.store.remove_key(leases[2].job.key));
  return leases;
}

std::vector<Settlement> ends_of(const std::vector<Lease>& leases) {
  return {{ref(leases[0]), {}},
          {ref(leases[1]), {.kind = OutcomeKind::kRetry, .error = "boom"}},
          {ref(leases[2]), {}},
          {ref(leases[3]), {}}};
}

}  // namespace

TEST_CASE("many enqueued at once are due in their order", "[store]") {
  Scene scene;
  const auto answers = scene.store.enqueue_all(keys({"c", "a", "b"}), JobKind::kSpecWrite);
  REQUIRE(answers.size() == 3);
  for (const auto& answer : answers) {
    CHECK(get(answer).created);
    CHECK(get(answer).generation == 1);
  }
  CHECK(claimed_order(scene) == "cab");
}

TEST_CASE("a key that is enqueued twice at once counts once", "[store]") {
  Scene scene;
  const auto answers = scene.store.enqueue_all(keys({"a", "b", "a"}), JobKind::kSpecWrite);
  CHECK(get(answers[2]).job_id == get(answers[0]).job_id);
  CHECK(get(answers[2]).generation == 1);
  CHECK(get(answers[1]).job_id != get(answers[0]).job_id);
}

TEST_CASE("a key that can't be enqueued leaves the others alone", "[store]") {
  Scene scene;
  std::vector<SpecKey> some = keys({"a", "", "b"});
  some.push_back({"other catalog", "a"});
  const auto answers = scene.store.enqueue_all(some, JobKind::kSpecWrite);
  CHECK(answers[1].status().code() == Code::kInvalidArgument);
  CHECK(get(scene.store.get(get(answers[0]).job_id)).key == some[0]);
  CHECK(get(scene.store.get(get(answers[2]).job_id)).key == some[2]);
  CHECK(get(scene.store.get(get(answers[3]).job_id)).key == some[3]);
}

TEST_CASE("many at once by the reconciler touch no open job and no removed key", "[store]") {
  Scene scene;
  const EnqueueResult open = scene.enqueue({"catalog", "open"});
  scene.enqueue({"catalog", "gone"});
  ok(scene.store.remove_key({"catalog", "gone"}));
  const auto answers = scene.store.enqueue_all(keys({"gone", "new", "open"}), JobKind::kReconciler);
  CHECK_FALSE(get(answers[0]).created);
  CHECK(get(answers[1]).created);
  CHECK_FALSE(get(answers[2]).created);
  CHECK(get(answers[2]).job_id == open.job_id);
  CHECK(get(answers[2]).generation == open.generation);
}

TEST_CASE("many enqueued at once meet open jobs as one would", "[store]") {
  Scene scene;
  scene.enqueue({"catalog", "running"});
  const Lease running = scene.claim_one();
  scene.enqueue({"catalog", "pending"});
  const auto answers = scene.store.enqueue_all(keys({"running", "pending"}), JobKind::kManualRetry);
  CHECK(get(answers[0]).generation == 2);
  CHECK_FALSE(get(answers[0]).created);
  CHECK(get(answers[1]).generation == 2);
  CHECK(scene.settle(running) == JobStatus::kPending);
}

TEST_CASE("none at once is nothing", "[store]") {
  Scene scene;
  CHECK(scene.store.enqueue_all({}, JobKind::kSpecWrite).empty());
  CHECK(scene.store.settle_all({}).empty());
  CHECK(scene.store.progress_all({}).empty());
}

TEST_CASE("many passes end at once, each in its way", "[store]") {
  Scene scene;
  const std::vector<Lease> leases = four(scene);
  const auto answers = scene.store.settle_all(ends_of(leases));
  CHECK(get(answers[0]) == JobStatus::kSucceeded);
  CHECK(get(answers[1]) == JobStatus::kPending);
  CHECK(answers[2].status().code() == Code::kLeaseLost);
  CHECK(get(answers[3]) == JobStatus::kSucceeded);  // its own effect, found
  CHECK(scene.job(leases[1].job.id).last_error == "boom");
}

TEST_CASE("many passes that ended at once are counted", "[history]") {
  Scene scene;
  (void)scene.store.settle_all(ends_of(four(scene)));
  const StoreCounts counts = get(scene.store.counts());
  CHECK(counts.succeeded == 2);
  CHECK(counts.pending == 1);
  CHECK(counts.cancelled == 1);
}

TEST_CASE("many passes tell their progress at once", "[store]") {
  Scene scene;
  (void)scene.store.enqueue_all(keys({"a", "b"}), JobKind::kSpecWrite);
  const std::vector<Lease> leases = scene.claim(2).leases;
  LeaseRef stale = ref(leases[1]);
  ++stale.fence.nonce;
  const std::vector<ProgressReport> reports{{ref(leases[0]), {.operation_count = 5, .embedded = 2, .missing = 3}},
                                            {stale, {.operation_count = 9}}};
  const auto answers = scene.store.progress_all(reports);
  ok(answers[0]);
  CHECK(answers[1].code() == Code::kLeaseLost);
  CHECK(scene.job(leases[0].job.id).embedded_count == 2);
  CHECK(scene.job(leases[1].job.id).operation_count == 0);
}
