// One pass: errors and retries, chunks, progress, what is reused, what can't be embedded, a host's own compute.
#include "unit/worker_scene.hpp"

namespace embedjobs::test {
namespace {

const Status kError(Code::kRetry, "500 internal error");

// --- errors ---

TEST_CASE("a compute error is retried, and the fifth in a row fails the job") {
  WorkerScene scene;
  scene.embedder->on_call = [](Texts, const CallContext&) { return kError; };
  scene.put(lines(2));
  scene.start();
  CHECK(scene.job().status == JobStatus::kPending);
  CHECK(contains(scene.job().last_error, "500 internal error"));
  scene.runtime.run_for(hours(1));
  CHECK(scene.job().status == JobStatus::kFailed);
  CHECK(scene.job().attempts == 5);
  CHECK(scene.events_of(EventKind::kJobRetried).size() == 4);
  CHECK(scene.events_of(EventKind::kJobFailed).size() == 1);
}

TEST_CASE("a list error is retried, and the fifth in a row fails the job") {
  WorkerScene scene;
  for (int i = 0; i < 5; ++i) {
    scene.runtime.fail_next("list", kError);
  }
  scene.put(lines(2));
  scene.start();
  CHECK(scene.job().status == JobStatus::kPending);
  scene.runtime.run_for(hours(1));
  CHECK(scene.job().status == JobStatus::kFailed);
  CHECK(scene.job().attempts == 5);
  CHECK(scene.embedder->calls.empty());
}

TEST_CASE("a persist error is tried again within the pass, then makes the pass retryable") {
  WorkerScene scene;
  for (int i = 0; i < 4; ++i) {
    scene.runtime.fail_next("persist", kError);
  }
  scene.put(lines(2));
  scene.start();
  scene.runtime.run_for(seconds(2));
  CHECK(scene.runtime.submitted("persist") == 4);
  CHECK(scene.job().status == JobStatus::kPending);
  CHECK(contains(scene.job().last_error, "the vectors can't be stored: 500"));
  scene.runtime.run_for(minutes(1));
  CHECK(scene.job().status == JobStatus::kSucceeded);
  CHECK(scene.rows().size() == 2);
}

TEST_CASE("a persist error that passes costs no attempt") {
  WorkerScene scene;
  scene.runtime.fail_next("persist", kError);
  scene.put(lines(2));
  scene.start();
  scene.runtime.run_for(seconds(2));
  CHECK(scene.job().status == JobStatus::kSucceeded);
  CHECK(scene.job().attempts == 1);
  CHECK(scene.embedder->calls.size() == 1);
}

TEST_CASE("a persister for which trying again will not help fails the job") {
  for (const char* step : {"list", "persist", "finalize"}) {
    INFO(step);
    WorkerScene scene;
    scene.runtime.fail_next(step, Status(Code::kFailed, "there is no table"));
    scene.put(lines(2));
    scene.start();
    scene.runtime.run_for(seconds(2));
    CHECK(scene.job().status == JobStatus::kFailed);
    CHECK(contains(scene.job().last_error, "there is no table"));
    CHECK(scene.job().attempts == 1);
  }
}

TEST_CASE("a passing error while the document is loaded is retried") {
  WorkerScene scene;
  scene.runtime.fail_next("resolve", kError);
  scene.put(lines(2));
  scene.start();
  CHECK(scene.job().status == JobStatus::kPending);
  scene.runtime.run_for(minutes(1));
  CHECK(scene.job().status == JobStatus::kSucceeded);
}

TEST_CASE("a spec that is gone ends at once with success, and its rows are cleared") {
  WorkerScene scene;
  scene.put(lines(3));
  scene.start();
  REQUIRE(scene.rows().size() == 3);
  scene.runtime.fail_next("resolve", Status(Code::kGone, "no such document"));
  scene.enqueue(JobKind::kSpecWrite);
  scene.runtime.settle();
  CHECK(scene.job().status == JobStatus::kSucceeded);
  CHECK(scene.job().attempts == 1);
  CHECK(scene.rows().empty());
}

TEST_CASE("a job for a document that never was ends at once with success") {
  WorkerScene scene;
  scene.enqueue(JobKind::kSpecWrite);
  scene.start();
  CHECK(scene.job().status == JobStatus::kSucceeded);
  CHECK(scene.embedder->calls.empty());
}

TEST_CASE("a broken document fails at once, without retries, and harms no rows") {
  WorkerScene scene;
  scene.put(lines(3));
  scene.start();
  scene.put("!broken");
  scene.runtime.settle();
  CHECK(scene.job().status == JobStatus::kFailed);
  CHECK(scene.job().attempts == 1);
  CHECK(scene.job().last_error == "the document is broken");
  CHECK(scene.rows().size() == 3);
}

TEST_CASE("before a terminal failure the document is looked at again: deleted meanwhile, it is no failure") {
  WorkerScene scene;
  scene.embedder->on_call = [&](Texts, const CallContext&) {
    scene.runtime.fail_next("resolve", Status(Code::kGone, "no such document"));
    return Status(Code::kFailed, "the model does not exist");
  };
  scene.put(lines(3));
  scene.start();
  CHECK(scene.job().status == JobStatus::kSucceeded);
  CHECK(scene.backend.store->failures({}, 10)->empty());
}

TEST_CASE("an embedder's error surfaces, and names the range of its chunk") {
  WorkerScene scene;
  scene.options.batch_size = 2;
  scene.answer_next({Status(), Status(Code::kFailed, "401 unauthorized")});
  scene.put(lines(5));
  scene.start();
  CHECK(scene.job().status == JobStatus::kFailed);
  CHECK(scene.job().last_error == "operations 3 to 4 of 5 (op2 ... op3): 401 unauthorized");
}

TEST_CASE("a count mismatch surfaces, and nothing of it is stored") {
  WorkerScene scene;
  scene.embedder->extra_rows = 1;
  scene.put(lines(3));
  scene.start();
  CHECK(contains(scene.job().last_error, "the provider answered 2 vectors for 1 texts"));  // each was tried alone
  CHECK(scene.rows().empty());
}

TEST_CASE("an exception of the embedder is a retry") {
  WorkerScene scene;
  bool thrown = false;
  scene.embedder->on_call = [&](Texts, const CallContext&) -> Status {
    if (!std::exchange(thrown, true)) {
      throw std::runtime_error("defect");
    }
    return {};
  };
  scene.put(lines(3));
  scene.start();
  CHECK(scene.job().status == JobStatus::kPending);
  scene.runtime.run_for(minutes(1));
  CHECK(scene.job().status == JobStatus::kSucceeded);
}

// --- chunks and progress ---

TEST_CASE("each chunk reaches the persister, in operation order, and the batch size flows from the options") {
  WorkerScene scene;
  scene.options.batch_size = 2;
  scene.put(lines(5));
  scene.start();
  CHECK(scene.persister->chunks == std::vector<std::vector<std::string>>{{"op0", "op1"}, {"op2", "op3"}, {"op4"}});
  CHECK(scene.embedder->calls.size() == 3);
}

TEST_CASE("the provider works on the next chunk while the last one is written") {
  WorkerScene scene;
  scene.options.batch_size = 2;
  scene.runtime.hold("persist");
  scene.put(lines(6));
  scene.start();
  CHECK(scene.embedder->calls.size() == 3);
  CHECK(scene.rows().empty());
  scene.runtime.release();
  scene.runtime.settle();
  CHECK(scene.rows().size() == 6);
}

TEST_CASE("a batch has no more bytes than the options say, but one longer text goes alone") {
  WorkerScene scene;
  scene.options.batch_bytes = 30;  // "text of op0" are 11 bytes
  scene.put(lines(4) + "long\t" + std::string(100, 'x') + "\n");
  scene.start();
  REQUIRE(scene.embedder->calls.size() == 3);
  CHECK(scene.embedder->calls[0].size() == 2);
  CHECK(scene.embedder->calls[2].size() == 1);
}

TEST_CASE(
    "a pass that fails at chunk 1 of 3 ends in its second attempt with all rows, and the first chunk is embedded "
    "once") {
  WorkerScene scene;
  scene.options.batch_size = 2;
  scene.answer_next({Status(), kError});
  scene.put(lines(6));
  scene.start();
  CHECK(scene.job().status == JobStatus::kPending);
  CHECK(scene.rows().size() == 2);
  scene.runtime.run_for(minutes(1));
  CHECK(scene.job().status == JobStatus::kSucceeded);
  CHECK(scene.job().attempts == 2);
  CHECK(scene.rows().size() == 6);
  CHECK(scene.embedder->times_sent("text of op0") == 1);
  CHECK(scene.embedder->times_sent("text of op1") == 1);
  CHECK(scene.job().reused_count == 2);
}

TEST_CASE("progress begins with what is reused, is published a chunk, and ends at the total") {
  WorkerScene scene;
  scene.options.batch_size = 2;
  scene.put(lines(2));
  scene.start();
  scene.events.clear();
  scene.put(lines(7));
  scene.runtime.settle();
  std::vector<std::int64_t> stored;
  for (const Event& event : scene.events_of(EventKind::kJobProgress)) {
    CHECK(event.progress.operation_count == 7);
    CHECK(event.progress.reused == 2);
    stored.push_back(event.progress.reused + event.progress.embedded);
  }
  CHECK(stored.front() == 2);
  CHECK(std::is_sorted(stored.begin(), stored.end()));
  CHECK(scene.events_of(EventKind::kChunkPersisted).size() == 3);
  CHECK(scene.job().embedded_so_far == 7);
}

TEST_CASE("progress is seen in the store while the job runs") {
  WorkerScene scene;
  scene.options.batch_size = 2;
  std::vector<std::int64_t> seen;
  scene.embedder->on_call = [&](Texts, const CallContext&) {
    seen.push_back(scene.job().embedded_so_far);
    return Status();
  };
  scene.put(lines(8));
  scene.start();
  REQUIRE(seen.size() == 4);
  CHECK(seen.front() == 0);
  CHECK(seen.back() >= 2);
}

TEST_CASE("a failed progress write does not fail the job") {
  WorkerScene scene;
  scene.options.batch_size = 1;
  for (int i = 0; i < 20; ++i) {
    scene.runtime.fail_next("progress", kError);
  }
  scene.put(lines(5));
  scene.start();
  CHECK(scene.job().status == JobStatus::kSucceeded);
  CHECK(scene.job().attempts == 1);
}

TEST_CASE("the final count is stamped") {
  WorkerScene scene;
  scene.put(lines(3));
  scene.start();
  CHECK(scene.job().operation_count == 3);
  CHECK(scene.backend.catalog->specs({}, nullptr, 10)->at(0).operation_count == 3);
  scene.put(lines(2));
  scene.runtime.settle();
  CHECK(scene.job().operation_count == 2);
  CHECK(scene.backend.catalog->specs({}, nullptr, 10)->at(0).operation_count == 2);
  CHECK(scene.rows().size() == 2);  // what the document no longer has is gone
}

// --- reuse ---

TEST_CASE("when everything is reused the provider is not called") {
  WorkerScene scene;
  scene.put(lines(3));
  scene.start();
  scene.enqueue(JobKind::kSpecWrite);
  scene.runtime.settle();
  CHECK(scene.events_of(EventKind::kJobSucceeded).size() == 2);
  CHECK(scene.embedder->calls.size() == 1);
  CHECK(scene.job().reused_count == 3);
}

TEST_CASE("a manual retry embeds everything afresh, and resumes where its first attempt ended") {
  WorkerScene scene;
  scene.options.batch_size = 2;
  scene.put(lines(4));
  scene.start();
  scene.answer_next({Status(), kError});
  scene.enqueue(JobKind::kManualRetry);
  scene.runtime.run_for(minutes(1));
  CHECK(scene.job().status == JobStatus::kSucceeded);
  CHECK(scene.job().attempts == 2);
  CHECK(scene.embedder->times_sent("text of op0") == 2);  // once before the retry, once for it
  CHECK(scene.embedder->times_sent("text of op3") == 3);  // its first call for the retry failed
}

TEST_CASE("a document without operations completes without a call") {
  WorkerScene scene;
  scene.put("");
  scene.start();
  CHECK(scene.job().status == JobStatus::kSucceeded);
  CHECK(scene.job().operation_count == 0);
  CHECK(scene.embedder->calls.empty());
}

TEST_CASE("equal texts are embedded once, and every operation has its row") {
  WorkerScene scene;
  scene.put("a\tsame\nb\tother\nc\tsame\n");
  scene.start();
  CHECK(scene.embedder->times_sent("same") == 1);
  CHECK(scene.rows().size() == 3);
  CHECK(scene.rows()[0].vector == scene.rows()[2].vector);
}

TEST_CASE("an edit that lands while the job runs is embedded by the next pass") {
  WorkerScene scene;
  scene.embedder->on_call = [&](Texts, const CallContext&) {
    if (scene.embedder->calls.size() == 1) {
      scene.put(lines(5));
    }
    return Status();
  };
  scene.put(lines(3));
  scene.start();
  CHECK(scene.job().status == JobStatus::kSucceeded);
  CHECK(scene.rows().size() == 5);
  CHECK(scene.job().operation_count == 5);
  CHECK(scene.embedder->texts_sent() == 5);
}

// --- one text on which the provider chokes ---

TEST_CASE(
    "a text that fails its batch in whatever way, pass after pass, is found: the others are stored, the job names it") {
  for (const Code code : {Code::kRetry, Code::kTimeout}) {
    INFO(code_name(code));
    WorkerScene scene;
    scene.options.batch_size = 8;
    scene.embedder->on_call = [code](Texts texts, const CallContext&) {
      const bool chokes = std::find(texts.begin(), texts.end(), "text of op13") != texts.end();
      return chokes ? Status(code, "502 bad gateway") : Status();
    };
    scene.put(lines(40));
    scene.start();
    scene.runtime.run_for(hours(2));
    CHECK(scene.job().status == JobStatus::kFailed);
    CHECK(contains(scene.job().last_error, "op13"));
    CHECK(scene.job().embedded_so_far == 39);
    scene.embedder->on_call = nullptr;
    scene.embedder->calls.clear();
    scene.enqueue(JobKind::kSpecWrite);
    scene.runtime.run_for(minutes(1));
    CHECK(scene.job().status == JobStatus::kSucceeded);
    REQUIRE(scene.embedder->calls.size() == 1);
    CHECK(scene.embedder->calls[0].size() == 1);
  }
}

TEST_CASE("a provider that fails every call is not asked text by text for the whole document") {
  WorkerScene scene;
  scene.options.batch_size = 8;
  scene.embedder->on_call = [](Texts, const CallContext&) { return kError; };
  scene.put(lines(400));
  scene.start();
  scene.runtime.run_for(hours(2));
  CHECK(scene.job().status == JobStatus::kFailed);
  CHECK(scene.embedder->calls.size() < 50);
}

// --- memory ---

TEST_CASE("while the database is slow no more than 2,000 vectors are held: no further chunk is sent") {
  WorkerScene scene(minutes(10), {.concurrent_calls = 4});
  scene.options.batch_size = 100;
  scene.runtime.hold("persist");
  scene.put(lines(10000));
  scene.start();
  std::size_t sent = 0;
  for (const auto& call : scene.embedder->calls) {
    sent += call.size();
  }
  CHECK(sent >= 2000);
  CHECK(sent <= 2000 + 4 * 100);
  CHECK(scene.job().status == JobStatus::kRunning);
  scene.runtime.release();
  scene.runtime.settle();
  CHECK(scene.job().status == JobStatus::kSucceeded);
  CHECK(scene.rows().size() == 10000);
}

TEST_CASE("what comes back while a write is under way is written in groups of at most 1,000 rows") {
  WorkerScene scene(minutes(10), {.concurrent_calls = 4});
  scene.options.batch_size = 100;
  scene.runtime.hold("persist");
  scene.put(lines(2000));
  scene.start();
  scene.runtime.release();
  scene.runtime.settle();
  REQUIRE(scene.persister->chunks.size() >= 2);
  CHECK(scene.persister->chunks.size() < 10);
  for (const auto& chunk : scene.persister->chunks) {
    CHECK(chunk.size() <= 1000);
  }
}

}  // namespace
}  // namespace embedjobs::test
