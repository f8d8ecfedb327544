// Chunks and manifests: additive, then exact; checked, fenced, found again.
#include <limits>

#include "conformance/scene.hpp"

using namespace embedjobs;
using namespace embedjobs::test;

namespace {

Lease start(Scene& scene, const SpecKey& key = kKey) {
  scene.put(key, "content");
  return scene.claim_one();
}

}  // namespace

TEST_CASE("a batch is visible at once and additive: rows outside of it survive", "[catalog]") {
  Scene scene;
  const Lease lease = start(scene);
  ok(scene.persist(lease, {{"a", "1"}, {"b", "2"}}));
  CHECK(scene.rows() == seen({{"a", "1"}, {"b", "2"}}));
  ok(scene.persist(lease, {{"c", "3"}}));
  CHECK(scene.rows() == seen({{"a", "1"}, {"b", "2"}, {"c", "3"}}));
  CHECK(scene.info().embedding_count == 3);
  CHECK(scene.info().visible_space_id == kSpace.id());
  CHECK(scene.info().operation_count == 0);
  CHECK_FALSE(scene.info().complete);
}

TEST_CASE("a batch updates rows that exist", "[catalog]") {
  Scene scene;
  const Lease lease = start(scene);
  ok(scene.persist(lease, {{"a", "1"}, {"b", "2"}}));
  ok(scene.persist(lease, {{"b", "changed"}}));
  CHECK(scene.rows() == seen({{"a", "1"}, {"b", "changed"}}));
  CHECK(scene.vector(kKey, "b") == vector_of("changed", kSpace));
}

TEST_CASE("the same batch sent again succeeds and changes nothing", "[catalog]") {
  Scene scene;
  const Lease lease = start(scene);
  ok(scene.persist(lease, {{"a", "1"}, {"b", "1"}}));
  ok(scene.persist(lease, {{"a", "1"}, {"b", "1"}}));
  CHECK(scene.rows() == seen({{"a", "1"}, {"b", "1"}}));
}

TEST_CASE("vectors come back as they were stored", "[catalog]") {
  Scene scene;
  const Lease lease = start(scene);
  const std::vector<float> odd{-0.0F, std::numeric_limits<float>::denorm_min(), std::numeric_limits<float>::max(),
                               -1.5F};
  const std::vector rows{VectorRow{
      .operation_id = "a", .text_hash = hash_text("text"), .vector = odd, .embedded_bytes = 300, .input_cap = 512}};
  ok(scene.catalog.persist_batch(scene.context(lease), rows));
  std::size_t visited = 0;
  const Space space = get(scene.catalog.rows(kKey, true, [&](const StoredRow& row) {
    CHECK(row.operation_id == "a");
    CHECK(row.text_hash == hash_text("text"));
    CHECK(row.vector == odd);
    CHECK(row.embedded_bytes == 300);
    ++visited;
    return true;
  }));
  CHECK(visited == 1);
  CHECK(space == kSpace);
}

TEST_CASE("an empty batch does nothing, but the fence is checked", "[catalog]") {
  Scene scene;
  const Lease lease = start(scene);
  ok(scene.persist(lease, {}));
  CHECK(scene.rows().empty());
  CHECK(scene.info().visible_space_id.empty());
  scene.settle(lease);
  lost(scene.persist(lease, {}));
}

TEST_CASE("an unknown spec is not found", "[catalog]") {
  Scene scene;
  PassContext context;
  context.key = kKey;
  context.job_id = 1;
  context.fence = {1, 1};
  context.space = kSpace;
  CHECK(scene.catalog.persist_batch(context, Rows({{"a", "1"}}, kSpace).all()).code() == Code::kNotFound);
  CHECK(scene.catalog.finalize(context, manifest_of({})).code() == Code::kNotFound);
}

TEST_CASE("a vector that is none is refused, and with it its whole batch", "[catalog]") {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float inf = std::numeric_limits<float>::infinity();
  const std::vector<std::vector<float>> bad{
      {}, {1, 2, 3}, {1, 2, 3, 4, 5}, {1, 2, 3, nan}, {inf, 2, 3, 4}, {1, -inf, 3, 4}, {0, 0, -0.0F, 0}};
  Scene scene;
  const Lease lease = start(scene);
  ok(scene.persist(lease, {{"a", "1"}}));
  for (const std::vector<float>& vector : bad) {
    Rows rows({{"b", "2"}, {"c", "3"}}, kSpace);
    rows.edit()[1].vector = vector;
    CHECK(scene.catalog.persist_batch(scene.context(lease), rows.all()).code() == Code::kInvalidArgument);
  }
  CHECK(scene.rows() == seen({{"a", "1"}}));
  CHECK(scene.existing(lease, {{"b", "2"}}) == std::vector{false});
}

TEST_CASE("a context that makes no sense is refused", "[catalog]") {
  Scene scene;
  const Lease lease = start(scene);
  PassContext context = scene.context(lease);
  context.space.dimension = 0;
  CHECK(scene.catalog.persist_batch(context, {}).code() == Code::kInvalidArgument);
  CHECK(scene.catalog.finalize(context, {}).code() == Code::kInvalidArgument);
  CHECK(scene.catalog.list_existing(context, {}).status().code() == Code::kInvalidArgument);
  context = scene.context(lease);
  ++context.job_id;
  lost(scene.catalog.finalize(context, {}));
}

TEST_CASE("finalize makes the visible rows exactly the manifest", "[catalog]") {
  Scene scene;
  const Lease lease = start(scene);
  ok(scene.persist(lease, {{"gone", "1"}, {"kept", "2"}, {"renamed", "3"}}));
  scene.clock->advance(1s);
  const Ops ops{{"kept", "2"}, {"new name", "3"}};
  ok(scene.finalize(lease, ops));
  CHECK(scene.rows() == seen(ops));
  const SpecInfo info = scene.info();
  CHECK(info.operation_count == 2);
  CHECK(info.embedding_count == 2);
  CHECK(info.complete);
  CHECK(info.visible_space_id == kSpace.id());
  CHECK(scene.vector(kKey, "new name") == vector_of("3", kSpace));
}

TEST_CASE("the same finalize sent again succeeds and changes nothing", "[catalog]") {
  Scene scene;
  const Lease lease = start(scene);
  const Ops ops{{"a", "1"}, {"b", "2"}};
  ok(scene.persist(lease, ops));
  ok(scene.finalize(lease, ops));
  ok(scene.finalize(lease, ops));
  CHECK(scene.rows() == seen(ops));
}

TEST_CASE("finalize fails when a text has no vector, names the operation, and changes nothing", "[catalog]") {
  Scene scene;
  scene.index(kKey, {{"a", "1"}});
  const SpecInfo before = scene.info();
  scene.put(kKey, "new content");
  const Lease lease = scene.claim_one();
  const Status status = scene.finalize(lease, {{"a", "1"}, {"missing one", "2"}, {"c", "3"}});
  CHECK(status.code() == Code::kIncomplete);
  CHECK_THAT(status.message(), containing("missing one"));
  CHECK(scene.rows() == seen({{"a", "1"}}));
  CHECK(scene.info().operation_count == before.operation_count);
  CHECK_FALSE(scene.info().complete);
}

TEST_CASE("a manifest that names an operation twice is refused, and changes nothing", "[catalog]") {
  Scene scene;
  const Lease lease = start(scene);
  ok(scene.persist(lease, {{"a", "1"}, {"b", "2"}}));
  CHECK(scene.finalize(lease, {{"a", "1"}, {"b", "2"}, {"a", "2"}}).code() == Code::kInvalidArgument);
  CHECK(scene.rows() == seen({{"a", "1"}, {"b", "2"}}));
}

TEST_CASE("a document without operations is complete with no rows", "[catalog]") {
  Scene scene;
  scene.index(kKey, {{"a", "1"}});
  scene.put(kKey, "empty now");
  const Lease lease = scene.claim_one();
  ok(scene.finalize(lease, {}));
  CHECK(scene.rows().empty());
  CHECK(scene.info().complete);
  CHECK(scene.info().operation_count == 0);
}

TEST_CASE("complete says that the rows are those of the current content", "[catalog]") {
  Scene scene;
  scene.index(kKey, {{"a", "1"}});
  CHECK(scene.info().complete);
  scene.put(kKey, "edited");
  CHECK_FALSE(scene.info().complete);
  CHECK(scene.rows() == seen({{"a", "1"}}));
  scene.complete(scene.claim_one(), {{"a", "2"}});
  CHECK(scene.info().complete);
}

TEST_CASE("a pass over an old document may finalize, but is not complete, and runs again", "[catalog]") {
  Scene scene;
  scene.put(kKey, "old");
  const Lease lease = scene.claim_one();
  PassContext context = scene.context(lease);
  scene.put(kKey, "new");
  ok(scene.catalog.persist_batch(context, Rows({{"a", "1"}}, kSpace).all()));
  ok(scene.catalog.finalize(context, manifest_of({{"a", "1"}})));
  CHECK_FALSE(scene.info().complete);
  CHECK(scene.settle(lease) == JobStatus::kPending);
}

TEST_CASE("describe tells what is finalized", "[catalog]") {
  Scene scene;
  scene.index(kKey, {{"a", "1"}});
  ok(scene.persist(start(scene, kOtherKey), {{"a", "1"}}));
  const auto states = get(scene.catalog.describe(std::vector<SpecKey>{kOtherKey, {"no", "such"}, kKey}));
  REQUIRE(states.size() == 3);
  CHECK(states[0].key == kOtherKey);
  CHECK_FALSE(states[0].complete);
  CHECK(states[1].key == SpecKey{"no", "such"});
  CHECK_FALSE(states[1].complete);
  CHECK(states[2].key == kKey);
  CHECK(states[2].complete);
  CHECK(states[2].space_id == kSpace.id());
  CHECK(states[2].content_version == get(scene.catalog.resolve(kKey)).version);
  CHECK(states[2].splitter_version == "splitter/1");
  ok(scene.catalog.remove(kKey));
  CHECK_FALSE(get(scene.catalog.describe(std::vector{kKey}))[0].complete);
  CHECK(get(scene.catalog.describe({})).empty());
}

TEST_CASE("rows come by operation id, in bytes, and end when the visitor says so", "[catalog]") {
  Scene scene;
  scene.index(kKey, {{"b", "1"}, {"a", "2"}, {"B", "3"}, {"\xc3\xa9", "4"}, {"a ", "5"}, {"", "6"}});
  std::vector<std::string> ids;
  get(scene.catalog.rows(kKey, false, [&](const StoredRow& row) {
    CHECK(row.vector.empty());
    ids.push_back(row.operation_id);
    return true;
  }));
  CHECK(ids == std::vector<std::string>{"", "B", "a", "a ", "b", "\xc3\xa9"});
  int visited = 0;
  get(scene.catalog.rows(kKey, false, [&](const StoredRow&) { return ++visited < 2; }));
  CHECK(visited == 2);
}

TEST_CASE("rows of a spec without any are none, in no space; those of an unknown spec are not found", "[catalog]") {
  Scene scene;
  scene.put(kKey, "content");
  CHECK(get(scene.catalog.rows(kKey, true, [](const StoredRow&) { return true; })).model.empty());
  CHECK(scene.catalog.rows(kOtherKey, true, [](const StoredRow&) { return true; }).status().code() == Code::kNotFound);
}

TEST_CASE("a visitor that throws is an error, not a crash", "[catalog]") {
  Scene scene;
  scene.index(kKey, {{"a", "1"}});
  const auto visit = [](const StoredRow&) -> bool { throw std::runtime_error("boom"); };
  CHECK(scene.catalog.rows(kKey, false, visit).status().code() == Code::kInternal);
  CHECK(scene.rows() == seen({{"a", "1"}}));
}

TEST_CASE("a large manifest is finalized as a whole", "[catalog]") {
  Scene scene;
  Ops ops;
  for (int i = 0; i < 5000; ++i) {
    ops.push_back({"operation " + std::to_string(i), "text " + std::to_string(i / 2)});
  }
  const Lease lease = start(scene);
  for (std::size_t i = 0; i < ops.size(); i += 500) {
    ok(scene.persist(
        lease, Ops(ops.begin() + static_cast<std::ptrdiff_t>(i), ops.begin() + static_cast<std::ptrdiff_t>(i + 500))));
  }
  ok(scene.finalize(lease, ops));
  CHECK((scene.rows() == seen(ops)));
  ops.erase(ops.begin(), ops.begin() + 2500);
  for (Op& op : ops) {
    op.id = "renamed " + op.id;
  }
  ok(scene.finalize(lease, ops));
  CHECK((scene.rows() == seen(ops)));
  CHECK(scene.info().embedding_count == 2500);
}

TEST_CASE("rows of a host that keeps its documents itself live here as well", "[catalog]") {
  Scene scene;
  const Lease lease = scene.run();  // enqueued, never put
  scene.complete(lease, {{"a", "1"}});
  CHECK(scene.rows() == seen({{"a", "1"}}));
  CHECK(scene.info().embedding_count == 1);
  CHECK(scene.search("1") == std::vector<std::string>{"spec:a"});
  CHECK(get(scene.catalog.describe(std::vector{kKey}))[0].complete);
  CHECK(get(scene.catalog.list(nullptr, 10)).empty());
}
