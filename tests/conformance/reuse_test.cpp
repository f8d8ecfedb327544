// What was embedded once is not embedded again: vectors are addressed by content.
#include "conformance/scene.hpp"

using namespace embedjobs;
using namespace embedjobs::test;

TEST_CASE("what a chunk persisted is there for the next pass, after a crash", "[catalog]") {
  Scene scene;
  scene.put(kKey, "content");
  ok(scene.persist(scene.claim_one(), {{"a", "1"}, {"b", "2"}}));
  scene.clock->advance(kLease + 1ms);
  const Lease lease = scene.claim_one();
  CHECK(scene.existing(lease, {{"a", "1"}, {"b", "2"}, {"c", "3"}}) == std::vector{true, true, false});
  ok(scene.persist(lease, {{"c", "3"}}));
  ok(scene.finalize(lease, {{"a", "1"}, {"b", "2"}, {"c", "3"}}));
  CHECK(scene.rows() == seen({{"a", "1"}, {"b", "2"}, {"c", "3"}}));
}

TEST_CASE("a vector serves every operation with the text: renamed, doubled, in another document of the catalog",
          "[catalog]") {
  Scene scene;
  scene.index(kKey, {{"a", "1"}});
  scene.put(kOtherKey, "content");
  const Lease lease = scene.claim_one();
  const Ops ops{{"renamed", "1"}, {"doubled", "1"}};
  CHECK(scene.existing(lease, ops) == std::vector{true, true});
  ok(scene.finalize(lease, ops));
  CHECK(scene.rows(kOtherKey) == seen(ops));
  CHECK(scene.vector(kOtherKey, "renamed") == vector_of("1", kSpace));
}

TEST_CASE("a vector serves no other catalog", "[catalog]") {
  Scene scene;
  scene.index(kKey, {{"a", "1"}});
  get(scene.catalog.put({"elsewhere", "spec"}, "content", kSpace.id()));
  CHECK(scene.existing(scene.claim_one(), {{"a", "1"}}) == std::vector{false});
}

TEST_CASE("a vector outlives its operation, its document and its spec for a while", "[catalog]") {
  Scene scene;
  scene.index(kKey, {{"a", "1"}, {"b", "2"}});
  scene.index(kKey, {{"a", "1"}});
  scene.put(kKey, "b is back");
  const Lease lease = scene.claim_one();
  CHECK(scene.existing(lease, {{"b", "2"}}) == std::vector{true});
  ok(scene.catalog.remove(kKey));
  scene.put(kKey, "the spec is back");
  CHECK(scene.existing(scene.claim_one(), {{"a", "1"}, {"b", "2"}}) == std::vector{true, true});
}

TEST_CASE("existing vectors of nothing are none", "[catalog]") {
  Scene scene;
  CHECK(scene.existing(scene.run(), {}).empty());
}

TEST_CASE("a manual retry reuses only vectors computed since it was asked for", "[catalog]") {
  Scene scene;
  const Ops ops{{"a", "1"}, {"b", "2"}};
  scene.index(kKey, ops);
  scene.enqueue(kKey, JobKind::kManualRetry);
  Lease lease = scene.claim_one();
  CHECK(scene.existing(lease, ops) == std::vector{false, false});
  CHECK(scene.finalize(lease, ops).code() == Code::kIncomplete);
  ok(scene.persist(lease, {{"a", "1"}}, kSpace, 50));
  scene.settle(lease, {.kind = OutcomeKind::kRetry, .error = "boom"});
  scene.clock->advance(10min);

  lease = scene.claim_one();
  CHECK(scene.existing(lease, ops) == std::vector{true, false});  // it resumes
  ok(scene.persist(lease, {{"b", "2"}}, kSpace, 50));
  ok(scene.finalize(lease, ops));
  scene.settle(lease);
  CHECK(scene.vector(kKey, "a") == vector_of("1", kSpace, 50));
  CHECK(scene.vector(kKey, "b") == vector_of("2", kSpace, 50));
  CHECK(scene.existing(scene.run(), ops) == std::vector{true, true});
}

TEST_CASE("a pass that began before a manual retry does not pass its vectors off as new", "[catalog]") {
  Scene scene;
  const Ops ops{{"a", "1"}};
  scene.put(kKey, "content");
  const Lease before = scene.claim_one();
  scene.enqueue(kKey, JobKind::kManualRetry);
  ok(scene.persist(before, ops));
  ok(scene.finalize(before, ops));
  CHECK(scene.settle(before) == JobStatus::kPending);
  const Lease after = scene.claim_one();
  CHECK(scene.existing(after, ops) == std::vector{false});
}

TEST_CASE("a pass from before a manual retry of another spec does not undo what that retry embedded", "[catalog]") {
  Scene scene;
  scene.put(kKey, "content");
  const Lease older = scene.claim_one();
  scene.put(kOtherKey, "content");
  scene.enqueue(kOtherKey, JobKind::kManualRetry);
  const Lease newer = scene.claim_one();
  ok(scene.persist(newer, {{"n", "shared"}}, kSpace, 50));
  ok(scene.persist(older, {{"o", "shared"}}));
  CHECK(scene.vector(kOtherKey, "n") == vector_of("shared", kSpace, 50));
  CHECK(scene.vector(kKey, "o") == vector_of("shared", kSpace, 50));
  CHECK(scene.existing(newer, {{"n", "shared"}}) == std::vector{true});
}

TEST_CASE("a vector of a cut text is not reused when the cap was raised or lifted, and is when it was lowered",
          "[catalog]") {
  Scene scene;
  const Ops ops{{"a", "long"}};
  scene.put(kKey, "content");
  const Lease lease = scene.claim_one();
  PassContext context = scene.context(lease);
  const auto usable = [&](std::size_t cap) {
    context.input_cap = cap;
    const bool listed = get(scene.catalog.list_existing(context, manifest_of(ops)))[0];
    const Status finalized = scene.catalog.finalize(context, manifest_of(ops));
    CHECK(finalized.code() == (listed ? Code::kOk : Code::kIncomplete));
    return listed;
  };
  Rows rows(ops, kSpace);
  rows.edit()[0].embedded_bytes = 900;
  rows.edit()[0].input_cap = 1000;
  ok(scene.catalog.persist_batch(context, rows.all()));
  CHECK(usable(1000));
  CHECK(usable(500));
  CHECK_FALSE(usable(1001));
  CHECK_FALSE(usable(0));
  rows.edit()[0].input_cap = 2000;
  ok(scene.catalog.persist_batch(context, rows.all()));
  CHECK(usable(2000));
  CHECK_FALSE(usable(0));
  rows.edit()[0].embedded_bytes = 0;
  rows.edit()[0].input_cap = 0;
  ok(scene.catalog.persist_batch(context, rows.all()));
  CHECK(usable(0));
  CHECK(usable(1'000'000));
  CHECK(usable(10));
}

TEST_CASE(
    "a text that the model itself refused to take whole is embedded again when a cap that allows more is given, and "
    "not before",
    "[catalog]") {
  Scene scene;
  scene.put(kKey, "content");
  const Lease lease = scene.claim_one();
  PassContext context = scene.context(lease);
  Rows rows({{"a", "long"}}, kSpace);
  const auto usable = [&](std::size_t cap) -> bool {
    context.input_cap = cap;
    return get(scene.catalog.list_existing(context, manifest_of({{"a", "long"}})))[0];
  };
  rows.edit()[0].embedded_bytes = 256;
  ok(scene.catalog.persist_batch(context, rows.all()));
  CHECK(usable(0));
  CHECK(usable(256));
  CHECK(usable(100));
  CHECK_FALSE(usable(1000));
  // The model refused more than 256 again: that is not tried at each pass.
  rows.edit()[0].input_cap = 1000;
  ok(scene.catalog.persist_batch(context, rows.all()));
  CHECK(usable(1000));
  CHECK_FALSE(usable(500));
  CHECK_FALSE(usable(0));
}
