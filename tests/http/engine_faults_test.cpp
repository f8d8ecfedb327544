// Faults of a provider, as jobs see them: what is cut, split, waited for and given up.
#include <catch2/catch.hpp>

#include "embedjobs/provider.hpp"
#include "http/engine_scene.hpp"

using namespace embedjobs;
using namespace embedjobs::test;
using namespace std::chrono_literals;
using Catch::Matchers::Contains;

namespace {

/// The first text has so many bytes, and begins with `word`; the others are short.
std::string long_spec(const std::string& word, std::size_t bytes, std::size_t others) {
  constexpr std::size_t kPath = 4;  // " /p0"
  std::vector<std::string> summaries{word + std::string(bytes - word.size() - kPath, 'x')};
  for (std::size_t i = 0; i < others; ++i) {
    summaries.push_back(word + " number " + std::to_string(i));
  }
  return spec_of(summaries);
}

ProviderState provider_of(HttpScene& scene) {
  const Result<std::vector<ProviderState>> all = scene.engine->providers();
  REQUIRE(all.ok());
  REQUIRE(all->size() == 1);
  return all->front();
}

}  // namespace

TEST_CASE("a text that is too long, in words that nobody knows, is cut until it fits, marked, and the length kept") {
  ServerOptions options{.play = Play::kOpenAi, .max_input_bytes = 1000, .too_long_status = 500};
  options.too_long_body = R"x({"error":"the runner closed the connection (EOF)"})x";
  HttpScene scene(options);
  scene.put(long_spec("alpha", 3000, 9));
  scene.start();
  scene.finish();
  CHECK(scene.job().status == JobStatus::kSucceeded);
  CHECK(scene.job().attempts == 1);
  std::size_t cut = 0;
  REQUIRE(scene.engine
              ->rows(kSpec, false,
                     [&](const StoredRow& row) {
                       cut += row.embedded_bytes != 0 ? row.embedded_bytes : 0;
                       return true;
                     })
              .ok());
  CHECK(cut == 750);
  CHECK(scene.engine->stop(10s));
  CHECK(provider_of(scene).input_bytes == 750);
  // The next long text is sent whole, and then at once as short as that one was, by another process too.
  scene.reopen({});
  const std::size_t before = scene.server->seen().calls;
  const SpecKey next{"catalog", "next"};
  scene.put(long_spec("beta", 8000, 0), next);
  scene.put(long_spec("gamma", 900, 0), {"catalog", "fits"});
  scene.start();
  scene.finish();
  CHECK(scene.server->seen().times.count("beta" + std::string(746, 'x')) == 1);
  CHECK(scene.server->seen().times.count("beta" + std::string(3996, 'x')) == 0);
  CHECK(scene.server->seen().times.count("gamma" + std::string(891, 'x') + " /p0") == 1);  // no cap
  CHECK(scene.server->seen().calls - before < 10);
}

TEST_CASE("a server that answers one vector a call is found out in one pass, and remembered") {
  ServerOptions options{.play = Play::kOpenAi};
  options.one_vector = true;
  HttpScene scene(options);
  scene.put(spec_with(40, "first"));
  scene.start();
  scene.finish();
  CHECK(scene.job().status == JobStatus::kSucceeded);
  CHECK(scene.job().attempts == 1);
  CHECK(scene.count_of(EventKind::kJobRetried) == 0);
  CHECK(scene.check_rows("first") == 40);
  const std::size_t before = scene.server->seen().calls;
  CHECK(before <= 70);  // 84 and a minute of waiting were spent when two passes were thrown away
  scene.put(spec_with(40, "second"));
  scene.finish();
  CHECK(scene.check_rows("second") == 40);
  CHECK(scene.server->seen().calls - before <= 56);  // now and then two are tried
}

TEST_CASE("a provider that refuses every text fails one job, which says so, and the others wait until it answers") {
  HttpScene scene({.play = Play::kOpenAi}, {.slots = 1});
  scene.put(spec_with(3, "known"));
  scene.start();
  scene.finish();  // its space is known
  scene.server->always(Trouble::kBudget);
  for (int i = 0; i < 4; ++i) {
    scene.put(spec_with(3, "word" + std::to_string(i)), {"catalog", "spec" + std::to_string(i)});
  }
  scene.wait_for(EventKind::kJobFailed);
  scene.wait_for(EventKind::kProviderPaused);
  CHECK(scene.engine->stop(10s));
  CHECK(provider_of(scene).stopped);
  CHECK_THAT(provider_of(scene).pause_reason, Contains("the budget of this key is spent"));
  // Another process knows: it fails none, and goes on when the provider answers.
  scene.server->always(std::nullopt);
  scene.server->script({Trouble::kBudget});
  scene.reopen({.slots = 1});
  scene.start();
  scene.finish();
  CHECK(scene.count_of(EventKind::kJobFailed) == 1);
  CHECK(scene.engine->stop(10s));
  CHECK_FALSE(provider_of(scene).stopped);
}

TEST_CASE("a backend that is away for a while costs no attempt") {
  HttpScene scene({.play = Play::kOpenAi}, {.batch_size = 4});
  scene.put(spec_with(12, "away"));
  std::vector<Trouble> troubles(2, Trouble::kNone);
  troubles.resize(60, Trouble::kBackendAway);
  scene.server->script(troubles);
  scene.start();
  scene.finish();
  CHECK(scene.job().status == JobStatus::kSucceeded);
  CHECK(scene.job().attempts == 1);
  CHECK(scene.count_of(EventKind::kJobRetried) == 0);
  CHECK(scene.check_rows("away") == 12);
}

TEST_CASE("that another model answers is said once, in the log") {
  ServerOptions options{.play = Play::kOpenAi};
  options.answering_model = "all-minilm";
  HttpScene scene(options, {.batch_size = 2});
  scene.put(spec_with(10, "model"));
  scene.start();
  scene.finish();
  CHECK(scene.job().status == JobStatus::kSucceeded);
  const std::string said = scene.everything_said();
  CHECK_THAT(said, Contains("asked for the model test-model and says that all-minilm answered"));
  CHECK(said.find("all-minilm") == said.rfind("all-minilm"));
}
