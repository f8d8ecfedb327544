// Whole jobs against providers that are slow, limited, poisoned or absent.
#include <catch2/catch.hpp>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "http/engine_scene.hpp"

using namespace embedjobs;
using namespace embedjobs::test;
using namespace std::chrono_literals;
using Catch::Matchers::Contains;

TEST_CASE("a provider that needs longer for a batch than the limit, and for a job than the lease, costs one attempt") {
  // A tenth of 148 operations at 250 ms, a limit of 5 s and a lease of 3 s; the lease is kept longer for slow machines.
  const WorkerOptions options{.batch_size = 32, .lease_duration = 1500ms, .embed_timeout = 500ms};
  HttpScene scene({.delay_per_text = 25ms}, options);
  scene.put(spec_with(148, "slow"));
  scene.start();
  scene.finish();
  CHECK(scene.job().status == JobStatus::kSucceeded);
  CHECK(scene.count_of(EventKind::kJobRetried) == 0);
  CHECK(scene.job().attempts == 1);
  CHECK(scene.check_rows("slow") == 148);
  CHECK(scene.count_of(EventKind::kLeaseRenewed) >= 3);
  REQUIRE_FALSE(scene.batch_sizes().empty());
  CHECK(scene.batch_sizes().front() == 16);

  // The next process begins with what this one has learned.
  const auto learned = static_cast<std::size_t>(scene.batch_sizes().back());
  const std::size_t calls = scene.server->seen().texts_of_calls.size();
  scene.reopen(options);
  scene.put(spec_with(40, "next"), {"catalog", "next"});
  scene.start();
  scene.finish();
  std::vector<std::size_t> sizes = scene.server->seen().texts_of_calls;
  sizes.erase(sizes.begin(), sizes.begin() + static_cast<std::ptrdiff_t>(calls));
  const auto batch = std::find_if(sizes.begin(), sizes.end(),
                                  [](std::size_t texts) { return texts > 1; });  // one asks for the dimension
  REQUIRE(batch != sizes.end());
  CHECK(*batch == learned);
}

TEST_CASE("one poisoned input among 1,000: the rest is stored, the job names it, a retry sends it alone") {
  for (const int status : {400, 500}) {
    INFO("HTTP " << status);
    HttpScene scene({.poison = "number 617 ", .poison_status = status});
    scene.put(spec_with(1000, "word"));
    scene.start();
    scene.finish();
    CHECK(scene.job().status == JobStatus::kFailed);
    CHECK_THAT(scene.job().last_error, Contains("op-617"));
    CHECK_THAT(scene.job().last_error, Contains("1 of 1000"));
    CHECK(scene.job().embedded_so_far == 999);
    scene.server->remove_poison();
    const std::size_t before = scene.server->seen().texts;
    REQUIRE(scene.engine->enqueue(kSpec, JobKind::kSpecWrite).ok());
    scene.finish();
    CHECK(scene.job().status == JobStatus::kSucceeded);
    CHECK(scene.server->seen().texts == before + 1);
    CHECK(scene.check_rows("word") == 1000);
  }
}

TEST_CASE("a text that is too long is cut until it fits, and its row says how much was embedded") {
  HttpScene scene({.max_input_bytes = 1000});
  scene.put(spec_of({"short", std::string(3000, 'x'), "also short"}));
  scene.start();
  scene.finish();
  CHECK(scene.job().status == JobStatus::kSucceeded);
  std::map<std::string, std::size_t> embedded;
  CHECK(scene.engine
            ->rows(kSpec, false,
                   [&](const StoredRow& row) {
                     embedded[row.operation_id] = row.embedded_bytes;
                     return true;
                   })
            .ok());
  CHECK(embedded["op-0"] == 0);
  CHECK(embedded["op-1"] > 256);
  CHECK(embedded["op-1"] <= 1000);
  CHECK(embedded["op-2"] == 0);
}

TEST_CASE("a batch that is too large for the provider is split, and later ones are smaller") {
  HttpScene scene({.max_batch = 10});
  scene.put(spec_with(100, "split"));
  scene.start();
  scene.finish();
  CHECK(scene.job().status == JobStatus::kSucceeded);
  CHECK(scene.count_of(EventKind::kJobRetried) == 0);
  CHECK(scene.job().attempts == 1);
  CHECK(scene.check_rows("split") == 100);
}

TEST_CASE("a provider that is not there is waited for, and nothing is lost") {
  auto server = std::make_unique<ProviderServer>();
  const std::string url = server->url();
  const int port = std::stoi(url.substr(url.rfind(':') + 1));
  HttpScene scene;
  scene.engine.reset();
  scene.open(url, {});
  server.reset();
  scene.put(spec_with(20, "late"));
  scene.start();
  scene.wait_for(EventKind::kProviderPaused);
  CHECK_THAT(scene.everything_said(), Contains("ollama serve"));
  server = std::make_unique<ProviderServer>(ServerOptions{.port = port});
  scene.finish();
  CHECK(scene.job().status == JobStatus::kSucceeded);
  CHECK(scene.count_of(EventKind::kJobRetried) == 0);
  CHECK(scene.job().attempts == 1);
  CHECK(scene.check_rows("late") == 20);
}

TEST_CASE("a stop ends calls to a provider that never answers, and releases the job") {
  HttpScene scene;
  REQUIRE(scene.engine->search("catalog", "x", 1).status().code() == Code::kNotFound);
  scene.put(spec_with(5, "hang"));
  scene.server->script({Trouble::kNone, Trouble::kSilent});  // the first call asks for the dimension
  scene.start();
  scene.server->wait_for_calls(2);
  CHECK(scene.engine->stop(10s));
  CHECK(scene.job().status == JobStatus::kPending);
}

TEST_CASE("no key comes into logs, events, errors or the database's files") {
  const std::string canary = "sk-canary-0b5c77e2";
  ::setenv("EMBEDJOBS_API_KEY", canary.c_str(), 1);
  {
    HttpScene scene({.play = Play::kOpenAi, .key = "another key, so that the server refuses and repeats this one"});
    scene.put(spec_with(3, "secret"));
    const Status started = scene.engine->start();
    if (started.ok()) {
      scene.finish();
    }
    CHECK(scene.server->seen().last_authorization == "Bearer " + canary);
    CHECK(started.message().find("canary") == std::string::npos);
    CHECK(scene.everything_said().find("canary") == std::string::npos);
    scene.engine.reset();
    for (const auto& entry : std::filesystem::directory_iterator(scene.folder.path())) {
      std::ifstream file(entry.path(), std::ios::binary);
      const std::string content((std::istreambuf_iterator<char>(file)), {});
      INFO(entry.path());
      CHECK(content.find("canary") == std::string::npos);
    }
  }
  ::unsetenv("EMBEDJOBS_API_KEY");
}
