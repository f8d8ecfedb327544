// Budgets: what costs a job an attempt, what counts as progress, and what does neither.
#include "unit/worker_scene.hpp"

namespace embedjobs::test {
namespace {

void every_fourth_call_fails(WorkerScene& scene) {
  auto calls = std::make_shared<int>(0);
  scene.embedder->on_call = [calls](Texts, const CallContext&) {
    return ++*calls % 4 == 0 ? Status(Code::kRetry, "500") : Status();
  };
}

TEST_CASE("a provider that can't be reached for a day, with the default lease, costs no attempt") {
  WorkerScene scene;
  scene.embedder->on_call = [](Texts, const CallContext&) { return Status::paused(Duration(0), "connection refused"); };
  scene.put(lines(4));
  scene.start();
  scene.runtime.run_for(hours(24));
  CHECK(scene.job().status != JobStatus::kFailed);
  CHECK(scene.job().errors_in_row == 0);
}

TEST_CASE("a Retry-After below the lease, again and again for a day, costs no attempt") {
  WorkerScene scene;
  scene.embedder->on_call = [](Texts, const CallContext&) { return Status::paused(minutes(9), "429"); };
  scene.put(lines(4));
  scene.start();
  scene.runtime.run_for(hours(24));
  CHECK(scene.job().errors_in_row == 0);
}

TEST_CASE("a document that could not be loaded once does not take progress from the passes after it") {
  WorkerScene scene;
  scene.options.batch_size = 1;
  scene.put(lines(40));
  scene.runtime.fail_next("resolve", Status(Code::kRetry, "disk error"));
  every_fourth_call_fails(scene);
  scene.start();
  scene.runtime.run_for(hours(12));
  CHECK(scene.job().status == JobStatus::kSucceeded);
}

TEST_CASE("a document that can't be loaded is not progress") {
  WorkerScene scene;
  scene.put(lines(4));
  scene.embedder->on_call = [](Texts, const CallContext&) { return Status(Code::kRetry, "500"); };
  scene.start();
  scene.runtime.run_for(seconds(60));
  const auto errors = scene.job().errors_in_row;
  scene.runtime.fail_next("resolve", Status(Code::kRetry, "disk error"));
  for (int i = 0; i < 100 && scene.job().last_error.find("loaded") == std::string::npos; ++i) {
    scene.runtime.run_for(seconds(20));
  }
  CHECK(scene.job().errors_in_row > errors);
}

TEST_CASE("a stop while the document is split is not progress") {
  WorkerScene scene;
  scene.put(lines(40));
  scene.runtime.hold("split");
  scene.start();
  scene.stop();
  scene.runtime.run_for(seconds(2));
  CHECK(scene.job_state().fewest_missing != 0);
}

TEST_CASE("a safety bound without end ends nothing") {
  WorkerScene scene;
  scene.options.safety_bound = Duration::max();
  scene.put(lines(4));
  scene.start();
  CHECK(scene.job().status == JobStatus::kSucceeded);
}

TEST_CASE("what a pass has stored is progress, though its first progress writes were lost") {
  WorkerScene scene;
  scene.options.batch_size = 1;
  scene.put(lines(4));
  for (int i = 0; i < 4; ++i) {
    scene.runtime.fail_next("list", Status(Code::kRetry, "disk error"));
  }
  scene.start();
  for (int i = 0; i < 100 && scene.job().errors_in_row < 4; ++i) {
    scene.runtime.run_for(seconds(1));
  }
  REQUIRE(scene.job().errors_in_row == 4);
  scene.runtime.fail_next("progress", Status(Code::kRetry, "busy"));
  scene.embedder->on_call = [&](Texts texts, const CallContext&) {
    return texts[0] == "text of op3" ? Status(Code::kRetry, "500") : Status();
  };
  for (int i = 0; i < 300 && scene.rows().empty(); ++i) {
    scene.runtime.run_for(seconds(1));
  }
  CHECK(scene.job().status == JobStatus::kPending);
  CHECK(scene.job().errors_in_row == 1);
}

}  // namespace
}  // namespace embedjobs::test
