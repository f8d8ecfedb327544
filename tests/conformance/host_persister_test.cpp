// What every persister owes a pass: fenced, found again, exact. These cases need a Persister and no more: the queue may
// be the library's own.
#include "conformance/scene.hpp"

using namespace embedjobs;
using namespace embedjobs::test;

namespace {

/// A pass writes through the host's persister, or through the catalog where that is it.
class Persisting : public Scene {
 public:
  Persisting() : own_(database->persister()), persister(own_ ? *own_ : static_cast<Persister&>(catalog)) {}

 private:
  std::shared_ptr<Persister> own_;

 public:
  Persister& persister;

  Lease begin(const SpecKey& key = kKey, JobKind kind = JobKind::kSpecWrite) {
    database->make_document(key);
    return run(key, kind);
  }
  /// A pass whose vectors are of another space than those of the passes before.
  PassContext begin_in_new_space() {
    if (own_) {
      return context(run(kKey), kNewSpace);
    }
    get(catalog.switch_space(kKey.catalog_id, kNewSpace));
    enqueue(kKey);
    return context(claim_one(kNewSpace), kNewSpace);
  }
  /// The holder of `lease` dies, and another worker claims its job.
  Lease take_over(const Lease& lease) {
    clock->advance(kLease + 1ms);
    Lease taken = claim_one();
    REQUIRE(taken.job.id == lease.job.id);
    return taken;
  }
  Status persist(const Lease& lease, const Ops& ops) {
    return persister.persist_batch(context(lease), Rows(ops, kSpace).all());
  }
  Status finalize(const Lease& lease, const Ops& ops) { return persister.finalize(context(lease), manifest_of(ops)); }
  Result<std::vector<bool>> list(const Lease& lease, const Ops& ops) {
    return persister.list_existing(context(lease), manifest_of(ops));
  }
  std::vector<bool> existing(const Lease& lease, const Ops& ops) { return get(list(lease, ops)); }
  Seen rows(const SpecKey& key = kKey) { return own_ ? database->rows(key) : Scene::rows(key); }
  std::vector<float> vector(const SpecKey& key, const std::string& operation_id) {
    return own_ ? database->vector(key, operation_id) : Scene::vector(key, operation_id);
  }
};

using Known = std::vector<bool>;

/// No call with this fence is accepted.
void refuses_all(Persisting& scene, const Lease& lease) {
  lost(scene.list(lease, {{"a", "1"}}).status());
  lost(scene.persist(lease, {{"b", "2"}}));
  lost(scene.persist(lease, {}));
  lost(scene.finalize(lease, {}));
}

}  // namespace

TEST_CASE("a persister knows what a pass stored, and no more", "[persister]") {
  Persisting scene;
  const Lease lease = scene.begin();
  CHECK(scene.existing(lease, {}).empty());
  CHECK(scene.existing(lease, {{"a", "1"}, {"b", "2"}}) == Known{false, false});
  ok(scene.persist(lease, {{"a", "1"}}));
  CHECK(scene.existing(lease, {{"b", "2"}, {"a", "1"}}) == Known{false, true});
}

TEST_CASE("a persister does not take a changed text for the one that it stored under the same id", "[persister]") {
  Persisting scene;
  const Lease lease = scene.begin();
  ok(scene.persist(lease, {{"a", "1"}}));
  CHECK(scene.existing(lease, {{"a", "changed"}}) == Known{false});
  ok(scene.persist(lease, {{"a", "changed"}}));
  CHECK(scene.existing(lease, {{"a", "changed"}}) == Known{true});
}

TEST_CASE("what a persister stored is there for the next pass, after a crash", "[persister]") {
  Persisting scene;
  const Lease dead = scene.begin();
  ok(scene.persist(dead, {{"a", "1"}}));
  const Lease lease = scene.take_over(dead);
  CHECK(scene.existing(lease, {{"a", "1"}, {"b", "2"}}) == Known{true, false});
  ok(scene.persist(lease, {{"b", "2"}}));
  ok(scene.finalize(lease, {{"a", "1"}, {"b", "2"}}));
}

TEST_CASE("a persister takes the same rows again, and the same manifest", "[persister]") {
  Persisting scene;
  const Lease lease = scene.begin();
  const Ops ops{{"a", "1"}, {"b", "1"}};
  ok(scene.persist(lease, ops));
  ok(scene.persist(lease, ops));
  ok(scene.finalize(lease, ops));
  ok(scene.finalize(lease, ops));
  CHECK(scene.existing(lease, ops) == Known{true, true});
}

TEST_CASE("a persister refuses a stale fence in list_existing, and the current holder does not notice", "[persister]") {
  Persisting scene;
  const Lease stale = scene.begin();
  const Lease current = scene.take_over(stale);
  CHECK(scene.existing(current, {{"a", "1"}}) == Known{false});
  lost(scene.list(stale, {{"a", "1"}}).status());
  lost(scene.list(stale, {}).status());
  CHECK(scene.existing(current, {{"a", "1"}}) == Known{false});
}

TEST_CASE("a persister refuses a stale fence in persist_batch, and stores nothing", "[persister]") {
  Persisting scene;
  const Lease stale = scene.begin();
  ok(scene.persist(stale, {{"a", "1"}}));
  const Lease current = scene.take_over(stale);
  CHECK(scene.existing(current, {{"b", "2"}}) == Known{false});
  lost(scene.persist(stale, {{"b", "2"}}));
  lost(scene.persist(stale, {}));
  CHECK(scene.existing(current, {{"a", "1"}, {"b", "2"}}) == Known{true, false});
}

TEST_CASE("a persister refuses a stale fence in finalize, and what is finalized stays", "[persister]") {
  Persisting scene;
  const Lease stale = scene.begin();
  ok(scene.persist(stale, {{"a", "1"}, {"b", "2"}}));
  const Lease current = scene.take_over(stale);
  CHECK(scene.existing(current, {{"a", "1"}, {"b", "2"}}) == Known{true, true});
  ok(scene.finalize(current, {{"a", "1"}, {"b", "2"}}));
  lost(scene.finalize(stale, {{"a", "1"}}));
  lost(scene.finalize(stale, {}));
  CHECK(scene.existing(current, {{"a", "1"}, {"b", "2"}}) == Known{true, true});
}

TEST_CASE("a persister refuses another nonce with the same counter: accepts", "[persister]") {
  Persisting scene;
  const Lease lease = scene.begin();
  ok(scene.persist(lease, {{"a", "1"}}));
  Lease other = lease;
  ++other.job.fence.nonce;
  refuses_all(scene, other);
  CHECK(scene.existing(lease, {{"a", "1"}, {"b", "2"}}) == Known{true, false});
  ok(scene.finalize(lease, {{"a", "1"}}));
}

TEST_CASE("a persister refuses a nonce of zero, whatever the counter: accepts", "[persister]") {
  Persisting scene;
  const Lease lease = scene.begin();
  Lease none = lease;
  none.job.fence = {};
  refuses_all(scene, none);
  ok(scene.persist(lease, {{"a", "1"}}));
  for (const std::uint64_t above : {0U, 1U}) {
    none.job.fence = {lease.job.fence.counter + above, 0};
    refuses_all(scene, none);
  }
  CHECK(scene.existing(lease, {{"a", "1"}, {"b", "2"}}) == Known{true, false});
  ok(scene.finalize(lease, {{"a", "1"}}));
}

TEST_CASE("a fence is of one key: a later claim of one document makes no holder of another stale", "[persister]") {
  Persisting scene;
  const Lease older = scene.begin(kOtherKey);
  CHECK(scene.existing(older, {{"a", "1"}}) == Known{false});
  Lease newer = scene.begin(kKey);
  for (int i = 0; i < 3; ++i) {  // its fence is above the other one's
    CHECK(scene.existing(newer, {{"n", "2"}}) == Known{false});
    scene.settle(newer);
    newer = scene.begin(kKey);
  }
  ok(scene.persist(newer, {{"n", "2"}}));
  ok(scene.persist(older, {{"a", "1"}}));
  ok(scene.finalize(older, {{"a", "1"}}));
}

TEST_CASE("finalize without a text's vector is incomplete, and changes nothing", "[persister]") {
  Persisting scene;
  const Lease lease = scene.begin();
  const Ops ops{{"a", "1"}, {"b", "2"}};
  CHECK(scene.finalize(lease, ops).code() == Code::kIncomplete);
  ok(scene.persist(lease, ops));
  ok(scene.finalize(lease, ops));
  CHECK(scene.finalize(lease, {{"a", "1"}, {"missing", "3"}}).code() == Code::kIncomplete);
  CHECK(scene.finalize(lease, {{"a", "another text"}}).code() == Code::kIncomplete);
  CHECK(scene.existing(lease, ops) == Known{true, true});
  ok(scene.finalize(lease, ops));
}

TEST_CASE("finalize without a text's vector leaves the rows that readers see", "[persister][rows]") {
  Persisting scene;
  const Lease lease = scene.begin();
  ok(scene.persist(lease, {{"a", "1"}, {"b", "2"}}));
  ok(scene.finalize(lease, {{"a", "1"}, {"b", "2"}}));
  CHECK(scene.finalize(lease, {{"a", "1"}, {"missing", "3"}}).code() == Code::kIncomplete);
  CHECK(scene.rows() == seen({{"a", "1"}, {"b", "2"}}));
}

TEST_CASE("finalize drops what is not in the manifest", "[persister][rows]") {
  Persisting scene;
  const Lease lease = scene.begin();
  ok(scene.persist(lease, {{"gone", "1"}, {"kept", "2"}}));
  ok(scene.finalize(lease, {{"gone", "1"}, {"kept", "2"}}));
  CHECK(scene.rows() == seen({{"gone", "1"}, {"kept", "2"}}));
  ok(scene.finalize(lease, {{"kept", "2"}}));
  CHECK(scene.rows() == seen({{"kept", "2"}}));
  ok(scene.finalize(lease, {}));
  CHECK(scene.rows().empty());
}

TEST_CASE("a stale holder changes no row that readers see", "[persister][rows]") {
  Persisting scene;
  const Lease stale = scene.begin();
  const Lease current = scene.take_over(stale);
  const Ops ops{{"a", "1"}, {"b", "2"}};
  ok(scene.persist(current, ops));
  ok(scene.finalize(current, ops));
  lost(scene.persist(stale, {{"a", "old"}}));
  lost(scene.finalize(stale, {{"a", "1"}}));
  CHECK(scene.rows() == seen(ops));
}

TEST_CASE("a reader finds the vector that was stored for each operation", "[persister][vectors]") {
  Persisting scene;
  const Lease lease = scene.begin();
  ok(scene.persist(lease, {{"a", "1"}, {"b", "2"}}));
  ok(scene.persist(lease, {{"c", "3"}}));
  ok(scene.finalize(lease, {{"a", "1"}, {"b", "2"}, {"c", "3"}}));
  CHECK(scene.vector(kKey, "a") == vector_of("1", kSpace));
  CHECK(scene.vector(kKey, "b") == vector_of("2", kSpace));
  CHECK(scene.vector(kKey, "c") == vector_of("3", kSpace));
}

TEST_CASE("vectors that are stored again replace those before: a manual retry's are new ones", "[persister][vectors]") {
  Persisting scene;
  const Ops ops{{"a", "1"}};
  const Lease first = scene.begin();
  ok(scene.persist(first, ops));
  ok(scene.finalize(first, ops));
  scene.settle(first);
  const Lease retry = scene.begin(kKey, JobKind::kManualRetry);
  ok(scene.persister.persist_batch(scene.context(retry), Rows(ops, kSpace, 50).all()));
  ok(scene.finalize(retry, ops));
  CHECK(scene.vector(kKey, "a") == vector_of("1", kSpace, 50));
}

TEST_CASE("documents do not share rows: the same id in two of them is two", "[persister][rows]") {
  Persisting scene;
  const Lease one = scene.begin(kKey);
  const Lease other = scene.begin(kOtherKey);
  ok(scene.persist(one, {{"a", "1"}}));
  ok(scene.persist(other, {{"a", "2"}}));
  ok(scene.finalize(one, {{"a", "1"}}));
  ok(scene.finalize(other, {{"a", "2"}}));
  CHECK(scene.rows(kKey) == seen({{"a", "1"}}));
  CHECK(scene.rows(kOtherKey) == seen({{"a", "2"}}));
}

TEST_CASE("a persister does not take a vector of another space for one of its own", "[persister]") {
  Persisting scene;
  const Ops ops{{"a", "1"}, {"b", "2"}};
  const Lease first = scene.begin();
  ok(scene.persist(first, ops));
  ok(scene.finalize(first, ops));
  scene.settle(first);

  const PassContext context = scene.begin_in_new_space();
  CHECK(get(scene.persister.list_existing(context, manifest_of(ops))) == Known{false, false});
  CHECK(scene.persister.finalize(context, manifest_of(ops)).code() == Code::kIncomplete);
  ok(scene.persister.persist_batch(context, Rows({{"a", "1"}}, kNewSpace).all()));
  CHECK(get(scene.persister.list_existing(context, manifest_of(ops))) == Known{true, false});
  ok(scene.persister.persist_batch(context, Rows({{"b", "2"}}, kNewSpace).all()));
  ok(scene.persister.finalize(context, manifest_of(ops)));
}

TEST_CASE("readers see the old space until the new one is finalized", "[persister][rows]") {
  Persisting scene;
  const Lease first = scene.begin();
  ok(scene.persist(first, {{"a", "1"}, {"b", "2"}}));
  ok(scene.finalize(first, {{"a", "1"}, {"b", "2"}}));
  scene.settle(first);

  const PassContext context = scene.begin_in_new_space();
  ok(scene.persister.persist_batch(context, Rows({{"c", "3"}}, kNewSpace).all()));
  CHECK(scene.rows() == seen({{"a", "1"}, {"b", "2"}}));
  ok(scene.persister.finalize(context, manifest_of({{"c", "3"}})));
  CHECK(scene.rows() == seen({{"c", "3"}}));
}

TEST_CASE("a manual retry reuses only what was stored since it was asked for: may_reuse", "[persister]") {
  Persisting scene;
  const Ops ops{{"a", "1"}, {"b", "2"}};
  const Lease first = scene.begin();
  ok(scene.persist(first, ops));
  ok(scene.finalize(first, ops));
  scene.settle(first);
  const Lease retry = scene.begin(kKey, JobKind::kManualRetry);
  REQUIRE(retry.reuse_floor > first.state.epoch);
  CHECK(scene.existing(retry, ops) == Known{false, false});
  CHECK(scene.finalize(retry, ops).code() == Code::kIncomplete);
  ok(scene.persist(retry, {{"a", "1"}}));
  scene.settle(retry, {.kind = OutcomeKind::kRelease});

  const Lease resumed = scene.claim_one();
  CHECK(scene.existing(resumed, ops) == Known{true, false});
  ok(scene.persist(resumed, {{"b", "2"}}));
  ok(scene.finalize(resumed, ops));
  scene.settle(resumed);
  CHECK(scene.existing(scene.begin(), ops) == Known{true, true});
}

TEST_CASE("a vector of a cut text is reused as the cap allows: may_reuse", "[persister]") {
  Persisting scene;
  const Ops ops{{"a", "long"}};
  PassContext context = scene.context(scene.begin());
  const auto usable = [&](std::size_t cap) {
    context.input_cap = cap;
    const bool listed = get(scene.persister.list_existing(context, manifest_of(ops)))[0];
    CHECK(scene.persister.finalize(context, manifest_of(ops)).code() == (listed ? Code::kOk : Code::kIncomplete));
    return listed;
  };
  Rows rows(ops, kSpace);
  rows.edit()[0].embedded_bytes = 900;
  rows.edit()[0].input_cap = 1000;
  ok(scene.persister.persist_batch(context, rows.all()));
  CHECK(usable(1000));
  CHECK(usable(500));
  CHECK_FALSE(usable(1001));
  CHECK_FALSE(usable(0));
  rows.edit()[0].embedded_bytes = 0;
  rows.edit()[0].input_cap = 0;
  ok(scene.persister.persist_batch(context, rows.all()));
  CHECK(usable(0));
  CHECK(usable(1'000'000));
  CHECK(usable(10));
}

TEST_CASE("reserve answers for each text; a persister may give all of them to the pass", "[persister]") {
  Persisting scene;
  const Lease lease = scene.begin();
  const std::vector<TextHash> texts{hash_text("1"), hash_text("2")};
  const std::vector<Reservation> mine{Reservation::kMine, Reservation::kMine};
  CHECK(get(scene.persister.reserve(scene.context(lease), texts, {})) == mine);
  CHECK(get(scene.persister.reserve(scene.context(lease), {}, texts)).empty());
}

TEST_CASE("describe tells what is finalized, for each key, or that it can't tell", "[persister]") {
  Persisting scene;
  const Lease lease = scene.begin();
  const PassContext context = scene.context(lease);
  const std::vector<SpecKey> keys{{"no", "such"}, kKey};
  const auto before = scene.persister.describe(keys);
  if (before.status().code() == Code::kRefused) {
    return;  // the reconciler leaves its specs alone
  }
  REQUIRE(get(before).size() == 2);
  CHECK_FALSE((*before)[1].complete);
  ok(scene.persist(lease, {{"a", "1"}}));
  CHECK_FALSE(get(scene.persister.describe(keys))[1].complete);
  ok(scene.finalize(lease, {{"a", "1"}}));
  const auto after = get(scene.persister.describe(keys));
  REQUIRE(after.size() == 2);
  CHECK(after[0].key == keys[0]);
  CHECK_FALSE(after[0].complete);
  CHECK(after[1].key == kKey);
  CHECK(after[1].complete);
  CHECK(after[1].space_id == kSpace.id());
  CHECK(after[1].content_version == context.content_version);
  CHECK(after[1].splitter_version == context.splitter_version);
  CHECK(get(scene.persister.describe({})).empty());
}
