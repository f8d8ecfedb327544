// Documents, jobs and the life of an engine, over the memory backend.
#include "embedjobs/engine.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include <atomic>
#include <future>
#include <thread>

#include "support/engine_scene.hpp"

using namespace embedjobs;
using namespace embedjobs::test;
using namespace std::chrono_literals;

TEST_CASE("a document becomes rows, and stays what it was when it is put again") {
  EngineScene scene;
  const auto first = scene->put(kKey, spec_with(40, "users"));
  REQUIRE(first.ok());
  CHECK(first->created);
  CHECK_FALSE(scene->put(kKey, spec_with(40, "users"))->created);
  REQUIRE(scene->start().ok());
  scene.wait();
  const auto rows = scene->status(std::nullopt);
  REQUIRE(rows.ok());
  REQUIRE(rows->size() == 1);
  CHECK(rows->front().operation_count == 40);
  CHECK(rows->front().embedding_count == 40);
  CHECK(rows->front().job_status == JobStatus::kSucceeded);
  CHECK(rows->front().visible_space_id == "4/test-model");
  CHECK(make_badge(rows->front()).label == "40/40 indexed");
  CHECK(scene.provider->seen().texts == 40);
  const auto metrics = scene->metrics();
  REQUIRE(metrics.ok());
  CHECK(metrics->worker.jobs_succeeded == 1);
  CHECK(metrics->worker.operations_embedded == 40);
  CHECK(metrics->jobs->succeeded == 1);
}

TEST_CASE("an unparsable document does not replace a good one (7)") {
  EngineScene scene;
  scene.index(kKey, spec_with(3, "users"));
  CHECK(scene->put(kKey, "{ not json").status().code() == Code::kInvalidDocument);
  CHECK(scene->put(kKey, "").status().code() == Code::kInvalidDocument);
  CHECK((*scene->verify("catalog", std::nullopt))[0].equal);
  CHECK(scene->store().counts()->pending == 0);
  CHECK(scene->put({"catalog", "new"}, "{ not json").status().code() == Code::kInvalidDocument);
  CHECK(scene->status("catalog")->size() == 1);
}

TEST_CASE("names are checked before anything happens") {
  EngineScene scene;
  const SpecKey bad{"catalog", "a\nb"};
  CHECK(scene->put(bad, spec_with(1, "x")).status().code() == Code::kInvalidArgument);
  CHECK(scene->remove(bad).code() == Code::kInvalidArgument);
  CHECK(scene->enqueue(bad, JobKind::kSpecWrite).status().code() == Code::kInvalidArgument);
  CHECK(scene->enqueue(kKey, static_cast<JobKind>(9)).status().code() == Code::kInvalidArgument);
  CHECK(scene->retry(bad).status().code() == Code::kInvalidArgument);
  CHECK(scene->remove_catalog("").code() == Code::kInvalidArgument);
  CHECK(scene->switch_space("catalog", Space{}).status().code() == Code::kInvalidArgument);
  CHECK(scene->catalogs()->empty());
}

TEST_CASE("removal takes the rows along; what does not exist can't be removed") {
  EngineScene scene;
  scene.index(kKey, spec_with(3, "users"));
  scene.index({"catalog", "other"}, spec_with(2, "orders"));
  CHECK(scene->remove(kKey).ok());
  CHECK(scene->remove(kKey).code() == Code::kNotFound);
  CHECK(scene->status("catalog")->size() == 1);
  CHECK(scene->remove_catalog("catalog").ok());
  CHECK(scene->remove_catalog("catalog").code() == Code::kNotFound);
  CHECK(scene->rows(kKey, false, [](const StoredRow&) { return true; }).status().code() == Code::kNotFound);
}

TEST_CASE("a retry embeds everything afresh, and only what exists") {
  EngineScene scene;
  scene.index(kKey, spec_with(5, "users"));
  CHECK(scene->retry({"catalog", "nobody"}).status().code() == Code::kNotFound);
  const auto retry = scene->retry(kKey);
  REQUIRE(retry.ok());
  CHECK(retry->created);
  scene.wait();
  CHECK(scene.provider->seen().texts == 10);
  CHECK(scene->jobs({.kind = JobKind::kManualRetry})->size() == 1);
}

TEST_CASE("retry_failed takes every spec whose last job failed") {
  EngineScene scene;
  scene.provider->answer_with({Code::kFailed, "the model is gone"});
  REQUIRE(scene->put(kKey, spec_with(2, "users")).ok());
  REQUIRE(scene->put({"catalog", "other"}, spec_with(2, "orders")).ok());
  scene.provider->answer_with({});
  REQUIRE(scene->start().ok());
  scene.wait();
  scene.wait_for_first_round();
  CHECK(*scene->retry_failed() == 0);
  scene.provider->answer_with({Code::kFailed, "the model is gone"});
  REQUIRE(scene->put(kKey, spec_with(3, "new users")).ok());
  scene.wait();
  REQUIRE(scene->health("catalog")->failed == 1);
  scene.provider->answer_with({});
  CHECK(*scene->retry_failed() == 1);
  scene.wait();
  CHECK(scene->health("catalog")->indexed == 2);
}

TEST_CASE("start twice acts once; stop is idempotent, before start too, and final") {
  EngineScene scene;
  SECTION("stop before start") {
    CHECK(scene->stop(0ms));
    CHECK(scene->start().code() == Code::kRefused);
    CHECK(scene->stop(0ms));
  }
  SECTION("start, start, stop, stop") {
    CHECK(scene->start().ok());
    CHECK(scene->start().ok());
    scene.index(kKey, spec_with(3, "users"));
    CHECK(scene->metrics()->worker.jobs_claimed == 1);
    CHECK(scene->stop(10s));
    CHECK(scene->stop(10s));
    CHECK(scene->start().code() == Code::kRefused);
  }
  SECTION("many threads") {
    std::vector<std::jthread> threads;
    std::atomic<int> stopped = 0;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&] { (void)scene->start(); });
      threads.emplace_back([&] { stopped += scene->stop(10s) ? 1 : 0; });
    }
    threads.clear();
    CHECK(stopped == 4);
    CHECK(scene->start().code() == Code::kRefused);
  }
}

TEST_CASE("stop says false while a provider call does not return, and releases the job all the same") {
  std::promise<void> job_released;
  EngineOptions options = memory_options();
  options.events = [&](const Event& event) {
    if (event.kind == EventKind::kJobReleased) {
      job_released.set_value();
    }
  };
  EngineScene scene({}, nullptr, options);
  REQUIRE(scene->start().ok());
  scene.provider->hold();
  REQUIRE(scene->put(kKey, spec_with(3, "users")).ok());
  scene.provider->wait_for_calls(1);
  CHECK_FALSE(scene->stop(10ms));
  CHECK_FALSE(scene->stop(0ms));
  const bool released = job_released.get_future().wait_for(60s) == std::future_status::ready;
  CHECK(released);
  CHECK(scene->store().counts()->pending == 1);
  CHECK_FALSE(scene->stop(1500ms));  // the machines have ended, the call has not
  scene.provider->release();
  CHECK(scene->stop(60s));
}

TEST_CASE("wait_idle from an event callback is refused: it would wait for itself") {
  Engine* engine = nullptr;
  std::promise<Code> answer;
  EngineOptions options = memory_options();
  options.events = [&](const Event& event) {
    if (event.kind == EventKind::kJobSucceeded) {
      answer.set_value(engine->wait_idle(0ms).status().code());
    }
  };
  EngineScene scene({}, nullptr, options);
  engine = &*scene.engine;
  REQUIRE(scene->start().ok());
  REQUIRE(scene->put(kKey, spec_with(3, "users")).ok());
  CHECK(answer.get_future().get() == Code::kRefused);
}

TEST_CASE("an engine that is destroyed while it works ends cleanly, and the next one finishes") {
  const Backend backend = make_memory_backend({}, nullptr);
  const auto provider = std::make_shared<Provider>();
  EngineParts parts{
      .store = backend.store, .resolver = backend.catalog, .persister = backend.catalog, .embedder = provider};
  {
    EngineScene scene(parts, provider);
    REQUIRE(scene->put(kKey, spec_with(500, "users")).ok());
    REQUIRE(scene->start().ok());
  }
  EngineScene scene(parts, provider);
  REQUIRE(scene->start().ok());
  scene.wait();
  CHECK(scene->health("catalog")->indexed == 1);
  CHECK(provider->seen().texts == 500);
}

TEST_CASE("wait_idle says what is due later and ends when it is cancelled") {
  EngineScene scene;
  CHECK(scene->wait_idle(0ms)->idle);
  REQUIRE(scene->put(kKey, spec_with(1, "users")).ok());
  std::stop_source cancelled;
  cancelled.request_stop();
  CHECK(scene->wait_idle(0ms, cancelled.get_token()).status().code() == Code::kCancelled);
  scene.provider->answer_with({Code::kRetry, "a passing fault"});
  REQUIRE(scene->start().ok());
  const auto report = scene->wait_idle(1s);
  REQUIRE(report.ok());
  CHECK(report->idle);
  REQUIRE(report->next_due);
  CHECK(*report->next_due > 1s);
  CHECK(scene->wait_idle(1min, cancelled.get_token()).status().code() == Code::kCancelled);
  REQUIRE(scene->stop(60s));
  CHECK(scene->wait_idle(24h).status().code() == Code::kCancelled);
}

TEST_CASE("a fault of the provider is seen in health while its retry is queued") {
  EngineScene scene;
  scene.index(kKey, spec_with(1, "users"));
  CHECK_FALSE(scene->health("catalog")->degraded);
  scene.provider->answer_with({Code::kRetry, "a passing\nfault"});
  REQUIRE(scene->put(kKey, spec_with(2, "orders")).ok());
  REQUIRE(scene->wait_idle(0ms).ok());
  const auto health = scene->health("catalog");
  REQUIRE(health.ok());
  CHECK(health->pending == 1);
  CHECK(health->degraded);
  CHECK(health->degraded_reason.starts_with("1 spec retried after errors, for example catalog/spec: "));
  CHECK(health->degraded_reason.find('\n') == std::string::npos);
  CHECK(make_badge(scene->status("catalog")->front()).label == "retrying (1 try)");
}

TEST_CASE("a failed unit is degraded until it succeeds") {
  EngineScene scene;
  scene.index(kKey, spec_with(1, "users"));
  scene.wait_for_first_round();
  scene.provider->answer_with({Code::kFailed, "the model is gone"});
  REQUIRE(scene->put(kKey, spec_with(2, "orders")).ok());
  scene.wait();
  CHECK(scene->health("catalog")->failed == 1);
  CHECK(scene->health("catalog")->degraded_reason.starts_with("1 spec failed, for example catalog/spec: "));
  const Badge badge = make_badge(scene->status("catalog")->front());
  CHECK(badge.offers_retry);
  CHECK(badge.tooltip.find("the model is gone") != std::string::npos);
  scene.provider->answer_with({});
  REQUIRE(scene->retry(kKey).ok());
  scene.wait();
  CHECK_FALSE(scene->health("catalog")->degraded);
}

TEST_CASE("a catalog that does not exist has no status, health or verification") {
  EngineScene scene;
  CHECK(scene->status("nobody").status().code() == Code::kNotFound);
  CHECK(scene->health("nobody").status().code() == Code::kNotFound);
  CHECK(scene->verify("nobody", std::nullopt).status().code() == Code::kNotFound);
  CHECK(scene->verify("nobody", "spec").status().code() == Code::kNotFound);
  CHECK(scene->search("nobody", "query", 3).status().code() == Code::kNotFound);
  CHECK(scene->status(std::nullopt)->empty());
}

TEST_CASE("verify tells the first difference between rows and document") {
  EngineScene scene;
  scene.index(kKey, spec_of({"alpha", "beta", "gamma"}));
  const auto first = [&] {
    const auto reports = scene->verify("catalog", "spec");
    REQUIRE(reports.ok());
    REQUIRE(reports->size() == 1);
    CHECK(reports->front().equal == reports->front().difference.empty());
    return reports->front().difference;
  };
  CHECK(first().empty());
  REQUIRE(scene->stop(60s));
  REQUIRE(scene->put(kKey, spec_of({"alpha", "beta", "gamma", "delta"})).ok());
  CHECK(first() == "operation 'op-3' has no row");
  REQUIRE(scene->put(kKey, spec_of({"alpha"})).ok());
  CHECK(first() == "row 'op-1' is not an operation of the document");
  REQUIRE(scene->put(kKey, spec_of({"alpha", "other", "gamma"})).ok());
  CHECK(first().starts_with("row 'op-1' is of another text ("));
}

TEST_CASE("reconcile enqueues what has no vectors, and leaves the rest alone") {
  EngineScene scene;
  scene.index(kKey, spec_with(2, "users"));
  CHECK(*scene->reconcile() == 0);
  REQUIRE(scene->switch_space("catalog", Space{"other", 4, ""}).ok());
  CHECK(*scene->reconcile() == 0);  // open already
}

TEST_CASE("events reach the host, and one that throws harms nothing") {
  std::atomic<int> succeeded = 0;
  EngineOptions options = memory_options();
  options.events = [&](const Event& event) {
    succeeded += event.kind == EventKind::kJobSucceeded ? 1 : 0;
    throw std::runtime_error("a host's defect");
  };
  EngineScene scene({}, nullptr, options);
  scene.index(kKey, spec_with(3, "users"));
  scene.index(kKey, spec_with(4, "users"));
  REQUIRE(scene->stop(60s));
  CHECK(succeeded == 2);
  CHECK(scene.log_has("the event sink threw: a host's defect"));
}

TEST_CASE("warnings are returned and logged") {
  EngineOptions options = memory_options();
  options.worker.lease_duration = 1min;
  options.worker.embed_timeout = 0ms;
  EngineScene scene({}, nullptr, options);
  REQUIRE(scene->warnings().size() == 1);
  CHECK(scene.log_has(scene->warnings()[0]));
  CHECK(scene->store().lease_duration() == 1min);
}

TEST_CASE("a forked child is refused and touches nothing") {
  EngineScene scene;
  scene.index(kKey, spec_with(2, "users"));
  const pid_t child = fork();
  if (child == 0) {
    const bool refused = scene->put(kKey, spec_with(1, "x")).status().code() == Code::kRefused &&
                         scene->status(std::nullopt).status().code() == Code::kRefused &&
                         scene->start().code() == Code::kRefused && scene->remove(kKey).code() == Code::kRefused &&
                         !scene->stop(1h) && scene->wait_idle(1h).status().code() == Code::kRefused;
    scene.engine.reset();  // must neither wait for threads that do not exist here, nor crash
    _exit(refused ? 0 : 1);
  }
  int status = -1;
  REQUIRE(waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
  scene.index(kKey, spec_with(3, "users"));
}
