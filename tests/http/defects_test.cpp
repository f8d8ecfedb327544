// Silent losses that were seen in other systems: each has its test here.
#include <catch2/catch.hpp>

#include "http/engine_scene.hpp"

using namespace embedjobs;
using namespace embedjobs::test;
using namespace std::chrono_literals;
using Catch::Matchers::Contains;

TEST_CASE("defect: the hash was stored before the vector, and the retry skipped it") {
  for (const Trouble trouble : {Trouble::kBrokenJson, Trouble::kTruncated, Trouble::kReset, Trouble::kEmpty}) {
    INFO(to_string(trouble));
    HttpScene scene;
    scene.put(spec_with(10, "hash"));
    scene.server->script({Trouble::kNone, trouble});
    scene.start();
    scene.finish();
    CHECK(scene.job().status == JobStatus::kSucceeded);
    CHECK(scene.check_rows("hash") == 10);
  }
}

TEST_CASE("defect: vectors that the provider spoiled were recorded as done") {
  for (const Trouble trouble : {Trouble::kNan, Trouble::kZero, Trouble::kWrongDimension, Trouble::kHtml}) {
    INFO(to_string(trouble));
    HttpScene scene;
    scene.put(spec_with(10, "spoiled"));
    scene.server->script({Trouble::kNone, trouble, trouble});
    scene.start();
    scene.finish();
    CHECK(scene.job().status == JobStatus::kSucceeded);
    CHECK(scene.check_rows("spoiled") == 10);
  }
}

TEST_CASE("defect: another number of vectors than texts was zipped away") {
  for (const Play play : {Play::kOllama, Play::kOpenAi, Play::kTei}) {
    HttpScene scene({.play = play});
    scene.put(spec_with(10, "count"));
    scene.server->script({Trouble::kNone, Trouble::kWrongCount, Trouble::kWrongOrder});
    scene.start();
    scene.finish();
    CHECK(scene.job().status == JobStatus::kSucceeded);
    CHECK(scene.check_rows("count") == 10);
  }
}

TEST_CASE("defect: an index of which a part is there was reported as success") {
  HttpScene scene({.play = Play::kOpenAi}, {.batch_size = 3});
  scene.put(spec_with(100, "part"));
  std::vector<Trouble> troubles(2, Trouble::kNone);
  troubles.resize(300, Trouble::kQuota);
  scene.server->script(troubles);
  scene.start();
  scene.finish();
  CHECK(scene.job().status == JobStatus::kFailed);
  CHECK_THAT(scene.job().last_error, Contains("quota is exhausted"));
  CHECK(scene.job().operation_count == 100);
  CHECK(scene.job().embedded_so_far < 100);
}

TEST_CASE("defect: a poisoned input failed its batch for ever") {
  HttpScene scene({.poison = "number 3 ", .poison_status = 500}, {.batch_size = 10});
  scene.put(spec_with(30, "poison"));
  scene.start();
  scene.finish();
  CHECK(scene.job().status == JobStatus::kFailed);
  CHECK_THAT(scene.job().last_error, Contains("1 of 30"));
  CHECK(scene.job().embedded_so_far == 29);
}

TEST_CASE("defect: a rate limit counted as a failure until the job was dropped") {
  HttpScene scene;
  scene.put(spec_with(10, "limit"));
  std::vector<Trouble> troubles(20, Trouble::kRateLimit);
  troubles.insert(troubles.begin(), Trouble::kNone);
  scene.server->script(troubles);
  scene.start();
  scene.finish();
  CHECK(scene.job().status == JobStatus::kSucceeded);
  CHECK(scene.count_of(EventKind::kJobRetried) == 0);
  CHECK(scene.job().attempts == 1);
  CHECK(scene.check_rows("limit") == 10);
}

TEST_CASE("defect: a job that lasted longer than its lease ran twice") {
  HttpScene scene({.delay_per_text = 20ms}, {.batch_size = 5, .lease_duration = 1s});
  scene.put(spec_with(100, "twice"));
  scene.start();
  scene.finish();
  CHECK(scene.count_of(EventKind::kJobRetried) == 0);
  CHECK(scene.job().attempts == 1);
  for (const auto& [text, times] : scene.server->seen().times) {
    INFO(text);
    CHECK(times == 1);
  }
}

TEST_CASE("defect: a model that was exchanged left two kinds of vectors in one index") {
  HttpScene scene({}, {.batch_size = 5});
  scene.put(spec_with(20, "model"));
  std::vector<Trouble> troubles(2, Trouble::kNone);
  troubles.resize(300, Trouble::kWrongDimension);
  scene.server->script(troubles);
  scene.start();
  scene.wait_for(EventKind::kProviderPaused);
  CHECK(scene.engine->stop(10s));
  CHECK(scene.check_rows("model") <= 20);  // what is there is of the first
  HttpEmbedderOptions other = options_for(Play::kOllama, scene.server->url());
  other.dimension = 9;
  EngineOptions options;
  options.dsn = "sqlite:" + scene.folder.file("test.db");
  EngineParts parts;
  parts.embedder = made(other);
  auto engine = Engine::open(options, parts);
  REQUIRE(engine.ok());
  CHECK((*engine)->start().code() == Code::kRefused);
}
