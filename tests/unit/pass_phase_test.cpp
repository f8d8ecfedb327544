// A pass by itself: what it does with the document, at the start and before a failure.
#include <catch2/catch.hpp>

#include <chrono>
#include <memory>
#include <optional>
#include <variant>

#include "core/worker/pass.hpp"

namespace embedjobs::test {
namespace {

using namespace core;  // NOLINT(google-build-using-namespace)
using std::chrono::hours;
using std::chrono::seconds;

const Status kGone(Code::kGone, "no such document");
const Status kBusy(Code::kRetry, "busy");

struct PhaseScene {
  Pass pass;
  PassActions out;
  MonoTime now{hours(1)};

  explicit PhaseScene(bool host_compute = false)
      : pass(lease(), {.space = {"model", 4, ""}, .splitter_version = "1", .host_compute = host_compute}) {
    pass.start(now, out);
  }
  static Lease lease() {
    Lease lease;
    lease.job.key = {"catalog", "spec"};
    return lease;
  }

  void resolved(Result<Document> answer) {
    out.clear();
    pass.on_resolved(std::move(answer), now, out);
  }
  /// The document of version "v1" is found to be broken, and is asked for again.
  void fail() {
    resolved(Document{"content", "v1"});
    pass.on_split(Status(Code::kInvalidDocument, "broken"), now, out);
    REQUIRE(pass.phase() == PassPhase::kResolveAgain);
  }
  /// The last action of this kind.
  template <typename T>
  [[nodiscard]] std::optional<T> asked() const {
    std::optional<T> found;
    for (const PassAction& action : out) {
      if (const auto* wanted = std::get_if<T>(&action)) {
        found = *wanted;
      }
    }
    return found;
  }
  [[nodiscard]] Outcome outcome() const {
    const auto settle = asked<SettleAction>();
    REQUIRE(settle);
    return settle->outcome;
  }
};

TEST_CASE("a document is split, or given to the host's compute") {
  PhaseScene splits;
  splits.resolved(Document{"content", "v1"});
  REQUIRE(splits.asked<SplitAction>());
  CHECK(splits.asked<SplitAction>()->document->content == "content");
  CHECK(splits.pass.context().content_version == "v1");

  PhaseScene computes(true);
  computes.resolved(Document{"content", "v1"});
  CHECK(computes.asked<ComputeAction>());
  CHECK_FALSE(computes.asked<SplitAction>());
}

TEST_CASE("a document that is gone gets an empty manifest, and the job is complete") {
  PhaseScene scene;
  scene.resolved(kGone);
  REQUIRE(scene.asked<FinalizeAction>());
  CHECK(scene.asked<FinalizeAction>()->manifest->empty());
  scene.pass.on_finalized({}, scene.now, scene.out);
  CHECK(scene.outcome().kind == OutcomeKind::kComplete);
}

TEST_CASE("a document that can't be loaded is tried again later") {
  PhaseScene scene;
  scene.resolved(kBusy);
  CHECK(scene.outcome().kind == OutcomeKind::kRetry);
  CHECK(scene.outcome().error == "the document can't be loaded: busy");
}

TEST_CASE("before a failure the document is asked for again: the same one fails the job") {
  PhaseScene scene;
  scene.fail();
  scene.resolved(Document{"content", "v1"});
  CHECK(scene.outcome().kind == OutcomeKind::kFail);
  CHECK(scene.outcome().error == "broken");
}

TEST_CASE("before a failure the document is asked for again: another one is tried at once") {
  PhaseScene scene;
  scene.fail();
  scene.resolved(Document{"content", "v2"});
  CHECK(scene.outcome().kind == OutcomeKind::kRetry);
  CHECK(scene.outcome().retry_at_once);
}

TEST_CASE("before a failure the document is asked for again: one that is gone is no failure") {
  PhaseScene scene;
  scene.fail();
  scene.resolved(kGone);
  REQUIRE(scene.asked<FinalizeAction>());
  CHECK(scene.asked<FinalizeAction>()->manifest->empty());
  scene.pass.on_finalized({}, scene.now, scene.out);
  CHECK(scene.outcome().kind == OutcomeKind::kComplete);
}

TEST_CASE("before a failure the document is asked for again: without an answer the failure counts") {
  PhaseScene scene;
  scene.fail();
  scene.resolved(kBusy);
  CHECK(scene.outcome().kind == OutcomeKind::kFail);
  CHECK(scene.outcome().error == "broken");
}

TEST_CASE("a document that comes after the pass was ended is not looked at") {
  for (const Result<Document>& late : {Result<Document>(Document{"content", "v1"}), Result<Document>(kGone)}) {
    PhaseScene scene;
    scene.pass.on_stop(scene.now, scene.out);
    REQUIRE(scene.outcome().kind == OutcomeKind::kRelease);
    scene.resolved(late);
    CHECK(scene.out.empty());
    scene.pass.on_settled(JobStatus::kPending, scene.now, scene.out);
    scene.resolved(late);
    CHECK(scene.out.empty());
  }
}

TEST_CASE("a worker that stops while a gone document's rows are cleared waits a second, then releases the job") {
  PhaseScene scene;
  scene.fail();
  scene.pass.on_stop(scene.now, scene.out);
  scene.resolved(kGone);
  REQUIRE(scene.asked<FinalizeAction>());
  scene.now += seconds(2);
  scene.out.clear();
  scene.pass.on_time(scene.now, scene.out);
  CHECK(scene.outcome().kind == OutcomeKind::kRelease);
  CHECK(scene.outcome().reason == ReleaseReason::kStop);
  CHECK(scene.outcome().error == "the worker stopped");
}

}  // namespace
}  // namespace embedjobs::test
