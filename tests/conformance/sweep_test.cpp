// Vectors that nothing points to are kept for a grace period, then swept.
#include "conformance/scene.hpp"

using namespace embedjobs;
using namespace embedjobs::test;

namespace {

/// A whole round. Returns how many rows it looked at or deleted.
std::size_t sweep(Scene& scene, Duration grace, std::size_t limit = 100) {
  std::size_t total = 0;
  for (int i = 0; i < 10'000; ++i) {
    const std::size_t looked_at = get(scene.catalog.sweep(grace, limit));
    if (looked_at == 0) {
      return total;
    }
    total += looked_at;
  }
  FAIL("the sweep never ends");
  return 0;
}

bool exists(Scene& scene, const std::string& text) {
  const Lease lease = scene.run({"catalog", "probe"});
  const bool found = scene.existing(lease, {{"probe", text}})[0];
  scene.settle(lease);
  return found;
}

}  // namespace

TEST_CASE("an empty database is swept at once", "[catalog]") {
  Scene scene;
  CHECK(get(scene.catalog.sweep(1h, 100)) == 0);
}

TEST_CASE("an unreferenced vector stays for the grace period, then goes; referenced ones stay for ever", "[catalog]") {
  Scene scene;
  scene.index(kKey, {{"a", "kept"}, {"b", "dropped"}});
  scene.index(kKey, {{"a", "kept"}});
  sweep(scene, 1h);
  scene.clock->advance(59min);
  sweep(scene, 1h);
  CHECK(exists(scene, "dropped"));
  scene.clock->advance(61min);
  sweep(scene, 1h);
  CHECK_FALSE(exists(scene, "dropped"));
  scene.clock->advance(1000h);
  sweep(scene, 1h);
  CHECK(exists(scene, "kept"));
  CHECK(scene.rows() == seen({{"a", "kept"}}));
}

TEST_CASE("a vector that is referenced again starts a new grace period when it is dropped again", "[catalog]") {
  Scene scene;
  scene.index(kKey, {{"a", "text"}});
  scene.index(kKey, {});
  sweep(scene, 1h);
  scene.clock->advance(50min);
  scene.index(kKey, {{"b", "text"}});
  sweep(scene, 1h);
  scene.clock->advance(50min);
  scene.index(kKey, {});
  sweep(scene, 1h);
  scene.clock->advance(50min);
  sweep(scene, 1h);
  CHECK(exists(scene, "text"));
  scene.clock->advance(11min);
  sweep(scene, 1h);
  CHECK_FALSE(exists(scene, "text"));
}

TEST_CASE("a vector that another document shares is not swept", "[catalog]") {
  Scene scene;
  scene.index(kKey, {{"a", "shared"}});
  scene.index(kOtherKey, {{"b", "shared"}});
  ok(scene.catalog.remove(kKey));
  sweep(scene, 1h);
  scene.clock->advance(100h);
  sweep(scene, 1h);
  CHECK(scene.vector(kOtherKey, "b") == vector_of("shared", kSpace));
}

TEST_CASE("vectors of a chunk whose manifest is not complete yet are not swept", "[catalog]") {
  Scene scene;
  scene.index(kKey, {{"a", "1"}});
  get(scene.catalog.switch_space("catalog", kNewSpace));
  const Lease lease = scene.claim_one(kNewSpace);
  ok(scene.persist(lease, {{"a", "1"}}, kNewSpace));
  sweep(scene, 1h);
  scene.clock->advance(2h);
  sweep(scene, 1h);
  ok(scene.finalize(lease, {{"a", "1"}}, kNewSpace));
}

TEST_CASE("after a flip the old space is swept", "[catalog]") {
  Scene scene;
  scene.index(kKey, {{"a", "1"}});
  get(scene.catalog.switch_space("catalog", kNewSpace));
  scene.complete(scene.claim_one(kNewSpace), {{"a", "1"}}, kNewSpace);
  sweep(scene, 1h);
  scene.clock->advance(2h);
  sweep(scene, 1h);
  get(scene.catalog.switch_space("catalog", kSpace));
  CHECK(scene.existing(scene.claim_one(), {{"a", "1"}}) == std::vector{false});
}

TEST_CASE("a sweep in small steps does the same", "[catalog]") {
  Scene scene;
  Ops ops;
  for (int i = 0; i < 25; ++i) {
    ops.push_back({std::to_string(i), "text " + std::to_string(i)});
  }
  scene.index(kKey, ops);
  scene.index(kKey, {ops[7]});
  sweep(scene, 1h, 3);
  scene.clock->advance(2h);
  sweep(scene, 1h, 3);
  const Lease lease = scene.run();
  std::vector<bool> expected(ops.size(), false);
  expected[7] = true;
  CHECK(scene.existing(lease, ops) == expected);
}

TEST_CASE("a sweep deletes at most as many rows as it is told", "[catalog]") {
  Scene scene;
  scene.index(kKey, {{"a", "1"}, {"b", "2"}, {"c", "3"}});
  scene.index(kKey, {});
  sweep(scene, 1h);
  scene.clock->advance(2h);
  CHECK(get(scene.catalog.sweep(1h, 2)) <= 2);
  const Lease lease = scene.run();
  const std::vector<bool> left = scene.existing(lease, {{"a", "1"}, {"b", "2"}, {"c", "3"}});
  CHECK(std::count(left.begin(), left.end(), true) >= 1);
}

TEST_CASE("a pass that found a vector and lost it to a sweep is told so by finalize, and embeds it again",
          "[catalog]") {
  Scene scene;
  scene.index(kKey, {{"a", "1"}});
  scene.index(kKey, {});
  sweep(scene, 1h);
  scene.put(kKey, "a is back");
  const Lease lease = scene.claim_one();
  REQUIRE(scene.existing(lease, {{"a", "1"}}) == std::vector{true});
  scene.clock->advance(2h);
  sweep(scene, 1h);
  CHECK(get(scene.store.renew(std::vector{ref(lease)}, 0s, 1s)) == std::vector{true});
  CHECK(scene.finalize(lease, {{"a", "1"}}).code() == Code::kIncomplete);
  scene.complete(lease, {{"a", "1"}});
  CHECK(scene.rows() == seen({{"a", "1"}}));
}

TEST_CASE("a wall clock that was set back deletes nothing early and keeps nothing for ever", "[catalog]") {
  Scene scene;
  scene.index(kKey, {{"a", "1"}});
  scene.index(kKey, {});
  sweep(scene, 1h);
  scene.clock->set_wall_clock(-1000h);
  sweep(scene, 1h);
  CHECK(exists(scene, "1"));
  scene.clock->advance(2h);
  sweep(scene, 1h);
  CHECK_FALSE(exists(scene, "1"));
}
