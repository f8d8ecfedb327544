// Two passes of a catalog that share a text do not both embed it.
#include "conformance/scene.hpp"

using namespace embedjobs;
using namespace embedjobs::test;

namespace {

constexpr Reservation kMine = Reservation::kMine;
constexpr Reservation kStored = Reservation::kStored;
constexpr Reservation kElsewhere = Reservation::kElsewhere;
using Answer = std::vector<Reservation>;

struct TwoPasses : Scene {
  Lease first = run(kKey);
  Lease second = run(kOtherKey);
};

}  // namespace

TEST_CASE("a text is reserved by the pass that asks first, until its vector is stored", "[catalog]") {
  TwoPasses scene;
  CHECK(scene.reserve(scene.first, {"shared", "own"}) == Answer{kMine, kMine});
  CHECK(scene.reserve(scene.second, {"shared", "other"}) == Answer{kElsewhere, kMine});
  ok(scene.persist(scene.first, {{"a", "shared"}}));
  CHECK(scene.reserve(scene.second, {"shared", "own", "other"}) == Answer{kStored, kElsewhere, kMine});
}

TEST_CASE("a reservation sent again is the same", "[catalog]") {
  TwoPasses scene;
  CHECK(scene.reserve(scene.first, {"1"}) == Answer{kMine});
  CHECK(scene.reserve(scene.first, {"1", "2"}) == Answer{kMine, kMine});
  CHECK(scene.reserve(scene.first, {}).empty());
}

TEST_CASE("a reservation ends with its pass, however that ends", "[catalog]") {
  TwoPasses scene;
  CHECK(scene.reserve(scene.first, {"1"}) == Answer{kMine});
  SECTION("settled") {
    scene.settle(scene.first, {.kind = OutcomeKind::kFail, .error = "no"});
  }
  SECTION("released") {
    scene.settle(scene.first, {.kind = OutcomeKind::kRelease, .error = "stop"});
  }
  SECTION("removed") {
    ok(scene.store.remove_key(kKey));
  }
  CHECK(scene.reserve(scene.second, {"1"}) == Answer{kMine});
}

TEST_CASE("a reservation of a lease that has ended holds nobody back, whether or not the job was reaped", "[catalog]") {
  TwoPasses scene;
  CHECK(scene.reserve(scene.first, {"1"}) == Answer{kMine});
  scene.clock->advance(kLease - 1ms);
  const std::vector<LeaseRef> renewed{ref(scene.second)};
  CHECK(get(scene.store.renew(renewed, kLease, 1s)) == std::vector{true});
  CHECK(scene.reserve(scene.second, {"1"}) == Answer{kElsewhere});
  scene.clock->advance(1ms);
  CHECK(scene.reserve(scene.second, {"1"}) == Answer{kMine});
  const Lease third = scene.claim_one();
  CHECK(third.job.key == kKey);
  CHECK(scene.reserve(third, {"1"}) == Answer{kElsewhere});
}

TEST_CASE("a reservation of an earlier claim of the same key is the new claim's", "[catalog]") {
  TwoPasses scene;
  CHECK(scene.reserve(scene.first, {"1"}) == Answer{kMine});
  scene.settle(scene.first, {.kind = OutcomeKind::kRelease, .error = "stop"});
  const Lease again = scene.claim_one();
  CHECK(scene.reserve(again, {"1"}) == Answer{kMine});
  CHECK(scene.reserve(scene.second, {"1"}) == Answer{kElsewhere});
}

TEST_CASE("a text that is given up is free for another pass; one that another pass holds can't be given up for it",
          "[catalog]") {
  TwoPasses scene;
  CHECK(scene.reserve(scene.first, {"1", "2"}) == Answer{kMine, kMine});
  CHECK(scene.reserve(scene.second, {"1", "2"}, {"1"}) == Answer{kElsewhere, kElsewhere});
  CHECK(scene.reserve(scene.first, {}, {"1"}).empty());
  CHECK(scene.reserve(scene.second, {"1", "2"}) == Answer{kMine, kElsewhere});
}

TEST_CASE("a stale holder reserves nothing, and gives nothing up", "[catalog]") {
  Scene scene;
  const Lease stale = scene.run();
  scene.clock->advance(kLease + 1ms);
  (void)scene.claim_one();
  const std::vector<TextHash> texts{hash_text("1")};
  lost(scene.catalog.reserve(scene.context(stale), texts, {}).status());
  lost(scene.catalog.reserve(scene.context(stale), {}, texts).status());
}

TEST_CASE("a reservation counts within its catalog alone", "[catalog]") {
  Scene scene;
  const Lease here = scene.run(kKey);
  const Lease there = scene.run({"elsewhere", "spec"});
  CHECK(scene.reserve(here, {"1"}) == Answer{kMine});
  CHECK(scene.reserve(there, {"1"}) == Answer{kMine});
}

TEST_CASE("a stored vector that a manual retry may not reuse is reserved like one that is not there", "[catalog]") {
  Scene scene;
  scene.index(kKey, {{"a", "1"}});
  const Lease retry = scene.run(kKey, JobKind::kManualRetry);
  const Lease other = scene.run(kOtherKey);
  CHECK(scene.reserve(retry, {"1"}) == Answer{kMine});
  CHECK(scene.reserve(other, {"1"}) == Answer{kStored});
}

TEST_CASE("a chunk of another pass does not end a reservation that a manual retry holds", "[catalog]") {
  Scene scene;
  const Lease older = scene.run(kKey);
  (void)scene.enqueue({"catalog", "retried"});
  const Lease retry = scene.run({"catalog", "retried"}, JobKind::kManualRetry);
  CHECK(scene.reserve(retry, {"1"}) == Answer{kMine});
  ok(scene.persist(older, {{"a", "1"}}));
  const Lease second_retry = scene.run(kOtherKey, JobKind::kManualRetry);
  CHECK(scene.reserve(second_retry, {"1"}) == Answer{kElsewhere});
}

TEST_CASE("many texts are reserved in one call", "[catalog]") {
  TwoPasses scene;
  std::vector<std::string> texts;
  for (int i = 0; i < 2500; ++i) {
    texts.push_back("text " + std::to_string(i));
  }
  CHECK(scene.reserve(scene.first, texts) == Answer(2500, kMine));
  CHECK(scene.reserve(scene.second, texts) == Answer(2500, kElsewhere));
  scene.settle(scene.first);
  for (std::size_t seen = 1; seen > 0;) {
    seen = get(scene.catalog.sweep(1h, 1000));
  }
  CHECK(scene.reserve(scene.second, texts) == Answer(2500, kMine));
}
