// Two passes that need the same text: one embeds it, the other waits for it.
#include "unit/worker_scene.hpp"

namespace embedjobs::test {
namespace {

struct SharedScene : WorkerScene {
  const SpecKey other_key{"catalog", "other"};
  std::optional<Lease> other;

  /// Another worker's pass, which has reserved these texts.
  explicit SharedScene(const std::vector<std::string>& texts) {
    put("x", other_key);
    const auto claim =
        backend.store->claim({.worker_id = "elsewhere", .nonce = 77, .space_id = embedder->space({})->id()});
    REQUIRE(claim.ok());
    other = claim->leases.at(0);
    std::vector<TextHash> hashes;
    std::transform(texts.begin(), texts.end(), std::back_inserter(hashes),
                   [](const std::string& text) { return hash_text(text); });
    REQUIRE(backend.catalog->reserve(context(), hashes, {}).ok());
  }
  PassContext context() {
    return {.key = other_key,
            .job_id = other->job.id,
            .fence = other->job.fence,
            .generation = other->job.generation,
            .space = *embedder->space({}),
            .epoch = other->state.epoch,
            .content_version = "v"};
  }
  void other_stores(const std::string& text) {
    const std::vector<float> vector(embedder->space({})->dimension, 1.0F);
    const std::vector<VectorRow> rows{{.operation_id = "theirs", .text_hash = hash_text(text), .vector = vector}};
    REQUIRE(backend.catalog->persist_batch(context(), rows).ok());
  }
  std::size_t sent() {
    std::size_t texts = 0;
    for (const auto& call : embedder->calls) {
      texts += call.size();
    }
    return texts;
  }
};

TEST_CASE("a text that another pass embeds is waited for, and used when it is stored") {
  SharedScene scene({"text of op1"});
  scene.put(lines(3));
  scene.start();
  CHECK(scene.sent() == 2);
  CHECK(scene.job().status == JobStatus::kRunning);
  scene.runtime.run_for(minutes(5));
  CHECK(scene.job().status == JobStatus::kRunning);
  scene.other_stores("text of op1");
  scene.runtime.run_for(seconds(2));
  CHECK(scene.job().status == JobStatus::kSucceeded);
  CHECK(scene.sent() == 2);
  CHECK(scene.rows().size() == 3);
  CHECK(scene.job().reused_count == 1);
  CHECK(scene.job().embedded_count == 2);
  CHECK(scene.job().attempts == 1);
}

TEST_CASE("a text that another pass reserved and did not embed is embedded here when that pass ends") {
  SharedScene scene({"text of op0", "text of op1", "text of op2"});
  scene.put(lines(3));
  scene.start();
  CHECK(scene.sent() == 0);
  REQUIRE(scene.backend.store
              ->settle({scene.other->job.id, scene.other_key, scene.other->job.fence},
                       {.kind = OutcomeKind::kFail, .error = "no"})
              .ok());
  scene.runtime.run_for(seconds(2));
  CHECK(scene.job().status == JobStatus::kSucceeded);
  CHECK(scene.sent() == 3);
}

TEST_CASE(
    "a pass with a text that can't be embedded gives that up and waits for the others all the same, then fails naming "
    "it") {
  SharedScene scene({"text of op1"});
  scene.embedder->on_call = [](Texts texts, const CallContext&) {
    const bool bad = std::find(texts.begin(), texts.end(), "text of op0") != texts.end();
    return bad ? Status(Code::kInputRejected, "poison") : Status();
  };
  scene.put(lines(3));
  scene.start();
  scene.runtime.run_for(seconds(10));
  CHECK(scene.job().status == JobStatus::kRunning);
  const std::vector<TextHash> poison{hash_text("text of op0")};
  CHECK(*scene.backend.catalog->reserve(scene.context(), poison, {}) == std::vector{Reservation::kMine});
  scene.other_stores("text of op1");
  scene.runtime.run_for(seconds(10));
  CHECK(scene.job().status == JobStatus::kFailed);
  CHECK(contains(scene.job().last_error, "op0 (poison)"));
}

TEST_CASE("a text that is left for the next pass is free for others while this one waits") {
  SharedScene scene({"text of op1"});
  scene.embedder->on_call = [](Texts texts, const CallContext&) {
    const bool chokes = std::find(texts.begin(), texts.end(), "text of op0") != texts.end();
    return chokes ? Status(Code::kRetry, "502 bad gateway") : Status();
  };
  scene.put(lines(3));
  scene.start();
  scene.runtime.run_for(minutes(2));
  REQUIRE(scene.job().status == JobStatus::kRunning);  // the third pass, with everything done but these two
  const std::vector<TextHash> postponed{hash_text("text of op0")};
  CHECK(*scene.backend.catalog->reserve(scene.context(), postponed, {}) == std::vector{Reservation::kMine});
  scene.other_stores("text of op1");
  scene.other_stores("text of op0");
  scene.runtime.run_for(minutes(2));
  CHECK(scene.job().status == JobStatus::kSucceeded);
  CHECK(scene.rows().size() == 3);
}

TEST_CASE("a pass that waits for another one stops at once when asked to") {
  SharedScene scene({"text of op1"});
  scene.put(lines(3));
  scene.start();
  scene.stop();
  CHECK(scene.stopped == 1);
  CHECK(scene.job().status == JobStatus::kPending);
  CHECK(scene.job().attempts == 0);
}

}  // namespace
}  // namespace embedjobs::test
