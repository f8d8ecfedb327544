// What a host sees of its provider through the facade: waiting for it, its pauses, its tokens.
#include <thread>

#include "support/engine_scene.hpp"

using namespace embedjobs;
using namespace embedjobs::test;
using namespace std::chrono_literals;

namespace {

/// The store is told from another thread.
SpecStatus waiting_status(EngineScene& scene) {
  for (;;) {
    const auto rows = scene->status(std::nullopt);
    REQUIRE(rows.ok());
    REQUIRE(rows->size() == 1);
    if (!rows->front().provider_pause.empty()) {
      return rows->front();
    }
    std::this_thread::yield();
  }
}

}  // namespace

TEST_CASE("waiting for idle ends when the provider keeps due work waiting, and says why") {
  EngineScene scene;
  scene.provider->answer_with(Status::paused(0s, "can't reach http://test: start it"));
  REQUIRE(scene->put(kKey, spec_with(3, "users")).ok());
  REQUIRE(scene->start().ok());
  const auto report = scene->wait_idle(0s);
  REQUIRE(report.ok());
  CHECK_FALSE(report->idle);
  REQUIRE(report->provider);
  CHECK(report->provider->reason == "can't reach http://test: start it");
  CHECK(scene->metrics()->worker.provider_waiting == 1);

  const SpecStatus row = waiting_status(scene);
  CHECK(row.job_status == JobStatus::kPending);
  CHECK(row.job_attempts == 0);
  CHECK(row.provider_pause.starts_with("waiting for provider until 20"));
  CHECK(row.provider_pause.ends_with("Z: can't reach http://test: start it"));
  CHECK(make_badge(row).label == "queued");
  CHECK(make_badge(row).tooltip == "Queued for embedding; " + row.provider_pause);

  scene.provider->answer_with({});
  scene.wait();
  CHECK(scene->status(std::nullopt)->front().provider_pause.empty());
  CHECK(scene->health("catalog")->indexed == 1);
}

TEST_CASE("a provider that is down does not keep an idle queue from being idle") {
  EngineScene scene;
  scene.index(kKey, spec_with(3, "users"));
  scene.provider->answer_with(Status::paused(0s, "down"));
  const auto report = scene->wait_idle(0s);
  REQUIRE(report.ok());
  CHECK(report->idle);
}

TEST_CASE("a pause in the middle of a job shows in its row") {
  EngineScene scene;
  scene.provider->hold();
  REQUIRE(scene->put(kKey, spec_with(3, "users")).ok());
  REQUIRE(scene->start().ok());
  scene.provider->wait_for_calls(1);
  scene.provider->answer_with(Status::paused(30min, "429 slow down"));
  scene.provider->release();
  const SpecStatus row = waiting_status(scene);
  CHECK(row.provider_pause.ends_with(": 429 slow down"));
  const auto report = scene->wait_idle(1min);
  REQUIRE(report.ok());
  REQUIRE(report->provider);  // whether the job is released already or not yet
  CHECK(report->provider->reason == "429 slow down");
  CHECK(report->provider->left > 1min);
}

TEST_CASE("tokens show in the job, the metrics and the list of providers") {
  EngineScene scene;
  CHECK(scene->providers()->empty());
  scene.index(kKey, spec_with(4, "users"));
  const auto providers = scene->providers();
  REQUIRE(providers.ok());
  REQUIRE(providers->size() == 1);
  CHECK(providers->front().provider == "http://test test-model");
  CHECK(providers->front().tokens_total == 20);
  CHECK(providers->front().tokens_today == 20);
  CHECK(scene->jobs({})->front().prompt_tokens == 20);
  const std::string text = render_prometheus(*scene->metrics());
  CHECK(text.find("embedjobs_ledger_tokens_total{provider=\"http://test test-model\"} 20\n") != std::string::npos);
}
