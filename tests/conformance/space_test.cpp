// Spaces: one at a time for readers, switched as a whole.
#include <cmath>

#include "conformance/scene.hpp"

using namespace embedjobs;
using namespace embedjobs::test;

namespace {

const Ops kOps{{"a", "1"}, {"b", "2"}};
const Ops kOtherOps{{"c", "3"}};

/// Two specs, indexed in kSpace, then switched to kNewSpace.
struct Switching : Scene {
  Switching() {
    index(kKey, kOps);
    index(kOtherKey, kOtherOps);
    CHECK(get(catalog.switch_space("catalog", kNewSpace)) == 2);
  }
  /// Claims all, and hands back what is not of `key`.
  Lease claim_new(const SpecKey& key) {
    std::optional<Lease> found;
    for (const Lease& lease : claim(10, kNewSpace).leases) {
      if (lease.job.key == key) {
        found = lease;
      } else {
        settle(lease, {.kind = OutcomeKind::kRelease, .delay = 1min});
      }
    }
    REQUIRE(found.has_value());
    return *found;
  }
  void finish(const SpecKey& key, const Ops& ops) {
    complete(claim_new(key), ops, kNewSpace);
    clock->advance(1min);
  }
};

std::vector<std::string> sorted(std::vector<std::string> names) {
  std::sort(names.begin(), names.end());
  return names;
}

const std::vector<std::string> kAll{"another spec:c", "spec:a", "spec:b"};

}  // namespace

TEST_CASE("search finds the nearest operations, best first", "[catalog]") {
  Scene scene;
  scene.put(kKey, "content");
  const Lease lease = scene.claim_one();
  const std::vector<std::vector<float>> vectors{{1, 0, 0, 0}, {1, 1, 0, 0}, {-2, 0, 0, 0}, {0, 0, 3, 0}};
  std::vector<VectorRow> rows;
  const std::vector<std::string> ids{"same", "near", "opposite", "across"};
  for (std::size_t i = 0; i < ids.size(); ++i) {
    rows.push_back({.operation_id = ids[i], .text_hash = hash_text(ids[i]), .vector = vectors[i]});
  }
  ok(scene.catalog.persist_batch(scene.context(lease), rows));
  const std::vector<float> query{5, 0, 0, 0};
  const auto hits = get(scene.catalog.search("catalog", kSpace, query, 10));
  REQUIRE(hits.size() == 4);
  const float scores[] = {1.0F, std::sqrt(0.5F), 0.0F, -1.0F};
  const char* names[] = {"same", "near", "across", "opposite"};
  for (std::size_t i = 0; i < 4; ++i) {
    CHECK(hits[i].key == kKey);
    CHECK(hits[i].operation_id == names[i]);
    CHECK_THAT(hits[i].score, Catch::Matchers::WithinAbs(scores[i], 1e-5));
  }
  CHECK(get(scene.catalog.search("catalog", kSpace, query, 2)).size() == 2);
  CHECK(get(scene.catalog.search("catalog", kSpace, query, 0)).empty());
}

TEST_CASE("ties of a search go by key and operation id", "[catalog]") {
  Scene scene;
  scene.index({"catalog", "b"}, {{"2", "same"}, {"1", "same"}});
  scene.index({"catalog", "a"}, {{"9", "same"}, {"10", "same"}});
  CHECK(scene.search("same") == std::vector<std::string>{"a:10", "a:9", "b:1", "b:2"});
  CHECK(scene.search("same", kSpace, 3) == std::vector<std::string>{"a:10", "a:9", "b:1"});
}

TEST_CASE("a search looks in its catalog only", "[catalog]") {
  Scene scene;
  scene.index(kKey, {{"a", "1"}});
  scene.index({"elsewhere", "spec"}, {{"b", "1"}});
  CHECK(scene.search("1") == std::vector<std::string>{"spec:a"});
}

TEST_CASE("a search by a vector that is none, or of an unknown catalog, is an error; of an empty catalog finds nothing",
          "[catalog]") {
  Scene scene;
  CHECK(scene.catalog.search("catalog", kSpace, vector_of("q", kSpace), 5).status().code() == Code::kNotFound);
  scene.put(kKey, "content");
  CHECK(get(scene.catalog.search("catalog", kSpace, vector_of("q", kSpace), 5)).empty());
  CHECK(scene.catalog.search("catalog", kSpace, std::vector<float>{1, 2}, 5).status().code() == Code::kInvalidArgument);
  CHECK(scene.catalog.search("catalog", kSpace, std::vector<float>{0, 0, 0, 0}, 5).status().code() ==
        Code::kInvalidArgument);
}

TEST_CASE("a search in another space than the catalog's is refused", "[catalog]") {
  Scene scene;
  scene.index(kKey, {{"a", "1"}});
  const Status status = scene.catalog.search("catalog", kNewSpace, vector_of("1", kNewSpace), 5).status();
  CHECK(status.code() == Code::kRefused);
  CHECK_THAT(status.message(), containing(kSpace.id()));
}

TEST_CASE("a switch enqueues every spec of the catalog, below edits", "[catalog]") {
  Scene scene;
  scene.index(kKey, kOps);
  scene.index({"elsewhere", "spec"}, kOps);
  scene.put(kOtherKey, "content");
  const std::uint64_t generation = scene.info().generation;
  CHECK(get(scene.catalog.switch_space("catalog", kNewSpace)) == 2);
  CHECK(scene.info().generation == generation + 1);
  CHECK(scene.last_job().status == JobStatus::kPending);
  CHECK(scene.last_job().priority == 1);
  CHECK(scene.last_job(kOtherKey).status == JobStatus::kPending);
  CHECK(scene.last_job(kOtherKey).priority == 0);
  CHECK(scene.last_job({"elsewhere", "spec"}).status == JobStatus::kSucceeded);
  CHECK(scene.claim().other_space == 2);
  CHECK(scene.claim(10, kNewSpace).leases.size() == 2);
}

TEST_CASE("a switch to the same target changes nothing", "[catalog]") {
  Scene scene;
  scene.index(kKey, kOps);
  const SpecInfo before = scene.info();
  CHECK(get(scene.catalog.switch_space("catalog", kSpace)) == 0);
  CHECK(scene.info().generation == before.generation);
  CHECK(scene.claim().leases.empty());
}

TEST_CASE("the space that searches of one catalog read", "[catalog]") {
  Scene scene;
  CHECK(scene.catalog.search_space_of("catalog").status().code() == Code::kNotFound);
  scene.enqueue();
  CHECK(get(scene.catalog.search_space_of("catalog")).empty());
  scene.put(kKey, "content");
  CHECK(get(scene.catalog.search_space_of("catalog")) == kSpace.id());
  CHECK(get(scene.catalog.switch_space("catalog", kNewSpace)) == 1);
  CHECK(get(scene.catalog.search_space_of("catalog")) == scene.catalog_info().search_space_id);
}

TEST_CASE("a switch of an unknown catalog is not found, to a space that is none refused", "[catalog]") {
  Scene scene;
  CHECK(scene.catalog.switch_space("catalog", kSpace).status().code() == Code::kNotFound);
  scene.put(kKey, "content");
  CHECK(scene.catalog.switch_space("catalog", {"m", 0, ""}).status().code() == Code::kInvalidArgument);
}

TEST_CASE("a switch revokes the passes of the old space, and no crash counts", "[catalog]") {
  Scene scene;
  scene.put(kKey, "content");
  const Lease stale = scene.claim_one();
  ok(scene.persist(stale, {{"a", "1"}}));
  CHECK(get(scene.catalog.switch_space("catalog", kNewSpace)) == 1);
  lost(scene.persist(stale, {{"b", "2"}}));
  lost(scene.store.settle(ref(stale), {}).status());
  CHECK(get(scene.store.renew(std::vector{ref(stale)}, 0s, 1s)) == std::vector{false});
  const Job job = scene.job(stale.job.id);
  CHECK(job.status == JobStatus::kPending);
  CHECK(job.attempts == 0);
  CHECK(scene.state(stale.job.id).crashes == 0);
  CHECK(scene.claim().leases.empty());
  const Lease lease = scene.claim_one(kNewSpace);
  CHECK(lease.job.fence.counter > stale.job.fence.counter);
}

TEST_CASE("a pass writes in the catalog's target space only", "[catalog]") {
  Scene scene;
  scene.put(kKey, "content");
  const Lease lease = scene.claim_one();
  CHECK(scene.persist(lease, {{"a", "1"}}, kNewSpace).code() == Code::kRefused);
  CHECK(scene.finalize(lease, {}, kNewSpace).code() == Code::kRefused);
  CHECK(scene.rows().empty());
}

TEST_CASE("chunks of the new space are not seen before their manifest is complete", "[catalog]") {
  Switching scene;
  const Lease lease = scene.claim_new(kKey);
  CHECK(scene.existing(lease, kOps, kNewSpace) == std::vector{false, false});
  ok(scene.persist(lease, {{"a", "1"}, {"partial", "x"}}, kNewSpace));
  CHECK(scene.rows() == seen(kOps));
  CHECK(scene.vector(kKey, "a") == vector_of("1", kSpace));
  CHECK(scene.info().visible_space_id == kSpace.id());
  CHECK(sorted(scene.search("1")) == kAll);
  CHECK(scene.finalize(lease, kOps, kNewSpace).code() == Code::kIncomplete);
  CHECK(scene.rows() == seen(kOps));
  ok(scene.persist(lease, kOps, kNewSpace));
  ok(scene.finalize(lease, kOps, kNewSpace));
  CHECK(scene.rows() == seen(kOps));
  CHECK(scene.vector(kKey, "a") == vector_of("1", kNewSpace));
  CHECK(scene.info().visible_space_id == kNewSpace.id());
}

TEST_CASE("searches read the old space until every spec is complete in the new one, then flip as a whole",
          "[catalog]") {
  Switching scene;
  CHECK(scene.catalog_info().target_space_id == kNewSpace.id());
  CHECK(scene.catalog_info().search_space_id == kSpace.id());
  CHECK(scene.catalog_info().specs_in_target == 0);
  scene.finish(kKey, kOps);
  CHECK(scene.catalog_info().search_space_id == kSpace.id());
  CHECK(scene.catalog_info().specs_in_target == 1);
  CHECK(scene.catalog_info().spec_count == 2);
  CHECK(sorted(scene.search("1")) == kAll);
  CHECK(scene.catalog.search("catalog", kNewSpace, vector_of("1", kNewSpace), 5).status().code() == Code::kRefused);
  scene.finish(kOtherKey, kOtherOps);
  CHECK(scene.catalog_info().search_space_id == kNewSpace.id());
  CHECK(scene.catalog_info().specs_in_target == 2);
  CHECK(sorted(scene.search("1", kNewSpace)) == kAll);
  CHECK(scene.catalog.search("catalog", kSpace, vector_of("1", kSpace), 5).status().code() == Code::kRefused);
}

TEST_CASE("a spec that is removed in the middle of a switch does not hold it up", "[catalog]") {
  Switching scene;
  scene.finish(kKey, kOps);
  ok(scene.catalog.remove(kOtherKey));
  CHECK(scene.catalog_info().search_space_id == kNewSpace.id());
  CHECK(scene.search("1", kNewSpace).size() == 2);
}

TEST_CASE("a spec that is new in the middle of a switch is seen in the new space, by searches after the flip",
          "[catalog]") {
  Switching scene;
  const SpecKey late{"catalog", "late"};
  scene.put(late, "content");
  scene.complete(scene.claim_new(late), {{"d", "4"}}, kNewSpace);
  scene.clock->advance(1min);
  CHECK(scene.rows(late) == seen({{"d", "4"}}));
  CHECK(sorted(scene.search("4")) == kAll);
  scene.finish(kKey, kOps);
  scene.finish(kOtherKey, kOtherOps);
  CHECK(scene.search("4", kNewSpace).size() == 4);
}

TEST_CASE("a switch that is taken back finds the old vectors, and searches never stopped", "[catalog]") {
  Switching scene;
  scene.finish(kKey, kOps);
  CHECK(get(scene.catalog.switch_space("catalog", kSpace)) == 2);
  CHECK(sorted(scene.search("1")) == kAll);
  const Lease lease = scene.claim_one();
  const Ops& ops = lease.job.key == kKey ? kOps : kOtherOps;
  CHECK(scene.existing(lease, ops) == std::vector(ops.size(), true));
  ok(scene.finalize(lease, ops));
  scene.settle(lease);
  const Lease second = scene.claim_one();
  const Ops& second_ops = second.job.key == kKey ? kOps : kOtherOps;
  ok(scene.finalize(second, second_ops));
  scene.settle(second);
  CHECK(scene.catalog_info().search_space_id == kSpace.id());
  CHECK(scene.catalog_info().specs_in_target == 2);
  CHECK(scene.vector(kKey, "a") == vector_of("1", kSpace));
  CHECK(sorted(scene.search("1")) == kAll);
}

TEST_CASE("a second switch before the first is complete leads to the last target, read from the first space until then",
          "[catalog]") {
  Switching scene;
  scene.finish(kKey, kOps);
  const Space last{"last", 2, ""};
  CHECK(get(scene.catalog.switch_space("catalog", last)) == 2);
  CHECK(scene.catalog_info().search_space_id == kSpace.id());
  CHECK(sorted(scene.search("1")) == kAll);
  for (const Lease& lease : scene.claim(10, last).leases) {
    CHECK(sorted(scene.search("1")) == kAll);
    scene.complete(lease, lease.job.key == kKey ? kOps : kOtherOps, last);
  }
  CHECK(scene.catalog_info().search_space_id == last.id());
  CHECK(sorted(scene.search("1", last)) == kAll);
  CHECK(scene.rows() == seen(kOps));
}

TEST_CASE("an edit in the middle of a switch is visible in the new space once complete", "[catalog]") {
  Switching scene;
  scene.put(kKey, "edited");
  CHECK(scene.rows() == seen(kOps));
  scene.finish(kKey, {{"a", "edited"}});
  CHECK(scene.rows() == seen({{"a", "edited"}}));
  CHECK(scene.info().complete);
  CHECK(sorted(scene.search("1")) == kAll);  // the old space stands still until the flip
  scene.finish(kOtherKey, kOtherOps);
  CHECK(scene.search("1", kNewSpace).size() == 2);
}

TEST_CASE("a catalog with nothing visible switches at once", "[catalog]") {
  Scene scene;
  scene.put(kKey, "content");
  CHECK(get(scene.catalog.switch_space("catalog", kNewSpace)) == 1);
  CHECK(scene.catalog_info().search_space_id == kNewSpace.id());
}

TEST_CASE("a switch back and forth keeps a manual retry's demand", "[catalog]") {
  Scene scene;
  scene.index(kKey, kOps);
  scene.enqueue(kKey, JobKind::kManualRetry);
  get(scene.catalog.switch_space("catalog", kNewSpace));
  get(scene.catalog.switch_space("catalog", kSpace));
  CHECK(scene.existing(scene.claim_one(), kOps) == std::vector{false, false});
}

TEST_CASE("a second switch, after the first was complete, keeps searches as whole as the first", "[catalog]") {
  Switching scene;
  scene.finish(kKey, kOps);
  scene.finish(kOtherKey, kOtherOps);
  REQUIRE(scene.catalog_info().search_space_id == kNewSpace.id());
  const Space last{"last", 2, ""};
  CHECK(get(scene.catalog.switch_space("catalog", last)) == 2);
  for (const Lease& lease : scene.claim(10, last).leases) {
    CHECK(sorted(scene.search("1", kNewSpace)) == kAll);
    while (get(scene.catalog.sweep(1h, 100)) > 0) {
    }
    CHECK(sorted(scene.search("1", kNewSpace)) == kAll);
    scene.complete(lease, lease.job.key == kKey ? kOps : kOtherOps, last);
  }
  CHECK(sorted(scene.search("1", last)) == kAll);
}

TEST_CASE("a spec that became empty brings no old rows back when its catalog returns to an old space", "[catalog]") {
  Switching scene;
  scene.finish(kKey, kOps);
  scene.finish(kOtherKey, {});
  REQUIRE(scene.catalog_info().search_space_id == kNewSpace.id());
  CHECK(get(scene.catalog.switch_space("catalog", kSpace)) == 2);
  for (const Lease& lease : scene.claim(10).leases) {
    if (lease.job.key == kKey) {
      ok(scene.finalize(lease, kOps));
    }
  }
  CHECK(scene.catalog_info().search_space_id == kSpace.id());
  CHECK(scene.search("1").size() == kOps.size());
}
