// Which embedder works, which space is searched, and who is refused.
#include <catch2/catch.hpp>

#include <atomic>
#include <thread>

#include "support/engine_scene.hpp"

using namespace embedjobs;
using namespace embedjobs::test;
using namespace std::chrono_literals;

namespace {

EngineOptions options_with(std::string embedder) {
  EngineOptions options = memory_options();
  options.embedder = std::move(embedder);
  return options;
}

/// Several engines over one backend, as several programs over one database.
struct Shared {
  Backend backend = make_memory_backend({}, nullptr);
  EngineParts parts() const {
    return {.store = backend.store, .resolver = backend.catalog, .persister = backend.catalog};
  }
  std::unique_ptr<Engine> open(std::string embedder) const {
    auto engine = Engine::open(options_with(std::move(embedder)), parts());
    INFO(engine.status().to_string());
    REQUIRE(engine.ok());
    return std::move(engine).value();
  }
  std::string target(std::string_view catalog) const {
    const auto infos = backend.catalog->catalogs();
    REQUIRE(infos.ok());
    for (const CatalogInfo& info : *infos) {
      if (info.catalog_id == catalog) {
        return info.target_space_id;
      }
    }
    return "no such catalog";
  }
};

void work(Engine& engine) {
  const Status started = engine.start();
  INFO(started.to_string());
  REQUIRE(started.ok());
  const auto idle = engine.wait_idle(1h);
  REQUIRE(idle.ok());
}

std::string best(Engine& engine, std::string_view query) {
  const auto hits = engine.search("catalog", query, 3);
  INFO(hits.status().to_string());
  REQUIRE(hits.ok());
  return hits->empty() ? "" : hits->front().operation_id;
}

const std::string kDocument = spec_of({"list all users", "delete an invoice", "upload a picture"});

}  // namespace

TEST_CASE("search finds the nearest operation, best first") {
  const Shared shared;
  const auto engine = shared.open("hashing");
  REQUIRE(engine->put(kKey, kDocument).ok());
  CHECK(engine->search("catalog", "users", 3)->empty());  // nothing is visible yet
  work(*engine);
  const auto hits = engine->search("catalog", "delete the invoice", 3);
  REQUIRE(hits.ok());
  REQUIRE(hits->size() == 3);
  CHECK(hits->front().operation_id == "op-1");
  CHECK(hits->front().score > hits->back().score);
  CHECK(engine->search("catalog", "users", 1)->size() == 1);
  CHECK(engine->search("catalog", "users", 0)->empty());
}

TEST_CASE("a query that can't be one is refused") {
  const Shared shared;
  const auto engine = shared.open("hashing");
  REQUIRE(engine->put(kKey, kDocument).ok());
  for (const std::string& query :
       {std::string(), std::string(" \t\n"), std::string("\xff\xfe"), std::string(70'000, 'x')}) {
    CHECK(engine->search("catalog", query, 3).status().code() == Code::kInvalidArgument);
  }
  CHECK(engine->search("", "query", 3).status().code() == Code::kInvalidArgument);
}

TEST_CASE("a query's vector is checked like any other") {
  EngineScene scene;
  scene.index(kKey, kDocument);
  scene.provider->spoil_with([](Matrix& vectors) { vectors.row(0)[1] = std::numeric_limits<float>::quiet_NaN(); });
  CHECK(scene->search("catalog", "users", 3).status().code() == Code::kInternal);
  scene.provider->spoil_with([](Matrix& vectors) { std::fill(vectors.row(0).begin(), vectors.row(0).end(), 0.0F); });
  CHECK(scene->search("catalog", "users", 3).status().code() == Code::kInternal);
  scene.provider->spoil_with([](Matrix& vectors) { vectors = Matrix(1, 3); });
  CHECK(scene->search("catalog", "users", 3).status().code() == Code::kInternal);
  scene.provider->spoil_with([](Matrix& vectors) { vectors = Matrix(); });
  CHECK(scene->search("catalog", "users", 3).status().code() == Code::kInternal);
  scene.provider->spoil_with({});
  scene.provider->answer_with({Code::kRetry, "busy"});
  CHECK(scene->search("catalog", "users", 3).status().code() == Code::kRetry);
  scene.provider->answer_with({});
  CHECK(scene->search("catalog", "users", 3).ok());
  CHECK(scene.provider->seen().queries == 6);
}

TEST_CASE("a query is cut at the embedder's cap, on a code point") {
  EngineScene scene({}, std::make_shared<Provider>(Space{"test-model", 4, ""}, EmbedderLimits{.input_bytes = 100}));
  scene.index(kKey, spec_of({"short"}));
  REQUIRE(scene->search("catalog", std::string(99, 'x') + "\xC3\xA4", 1).ok());
  CHECK(scene.provider->seen().last_text == std::string(99, 'x'));
}

TEST_CASE("without an embedder a new catalog is for trying out, and the next engine follows what is recorded") {
  const Shared shared;
  const auto writer = shared.open("");
  REQUIRE(writer->put(kKey, kDocument).ok());
  CHECK(shared.target("catalog") == "512/hashing?v1");
  REQUIRE(writer->switch_space("catalog", Space{"hashing", 64, "v1"}).ok());
  REQUIRE(writer->put({"second", "spec"}, kDocument).ok());
  CHECK(shared.target("second") == "64/hashing?v1");
  work(*writer);
  CHECK(writer->health(std::nullopt)->indexed == 2);
  CHECK(best(*shared.open(""), "delete invoice") == "op-1");
}

TEST_CASE("without an embedder and with different targets start is refused and names them") {
  const Shared shared;
  REQUIRE(shared.open("hashing:64")->put({"first", "spec"}, kDocument).ok());
  REQUIRE(shared.open("hashing:128")->put({"second", "spec"}, kDocument).ok());
  const auto engine = shared.open("");
  const Status refused = engine->start();
  CHECK(refused.code() == Code::kRefused);
  for (const char* part : {"'first'", "64/hashing?v1", "'second'", "128/hashing?v1"}) {
    CHECK(refused.message().find(part) != std::string::npos);
  }
  SECTION("a new catalog is left to the first worker") {
    REQUIRE(engine->put({"third", "spec"}, kDocument).ok());
    CHECK(shared.target("third").empty());
  }
  SECTION("a refused start can be tried again") {
    REQUIRE(engine->remove_catalog("second").ok());
    CHECK(engine->start().ok());
  }
}

TEST_CASE("without an embedder a space whose embedder can't be told from its name is refused") {
  const Shared shared;
  EngineParts parts = shared.parts();
  EngineScene host(parts, nullptr);
  host.index(kKey, kDocument);
  const auto engine = shared.open("");
  CHECK(engine->start().code() == Code::kRefused);
  CHECK(engine->search("catalog", "users", 3).status().code() == Code::kRefused);
}

TEST_CASE("an embedder of another space is refused, and says what to do") {
  const Shared shared;
  REQUIRE(shared.open("hashing:64")->put(kKey, kDocument).ok());
  const auto engine = shared.open("hashing:128");
  const Status refused = engine->start();
  CHECK(refused.code() == Code::kRefused);
  CHECK(refused.message() ==
        "catalog 'catalog' has target space 64/hashing?v1, this engine's embedder is of 128/hashing?v1: use "
        "switch-space, or open with an "
        "embedder of the target space");
  CHECK(shared.backend.store->counts()->pending == 1);
  REQUIRE(engine->switch_space("catalog", Space{"hashing", 128, "v1"}).ok());
  work(*engine);
  CHECK(engine->health("catalog")->indexed == 1);
}

TEST_CASE("an engine works on its own catalogs and leaves the others alone, with a warning") {
  const Shared shared;
  REQUIRE(shared.open("hashing:64")->put({"theirs", "spec"}, kDocument).ok());
  EngineScene ours(shared.parts(), nullptr);
  ours.index(kKey, kDocument);
  CHECK(ours.log_has("catalog 'theirs' has target space 64/hashing?v1 and is left alone"));
  CHECK(ours->wait_idle(1h)->other_space);
  CHECK(ours->health("catalog")->indexed == 1);
  CHECK(ours->health("theirs")->pending == 1);
}

TEST_CASE("while a switch is under way the old space answers") {
  const Shared shared;
  {
    const auto before = shared.open("hashing:64");
    REQUIRE(before->put(kKey, kDocument).ok());
    work(*before);
  }
  const auto engine = shared.open("hashing:128");
  REQUIRE(engine->switch_space("catalog", Space{"hashing", 128, "v1"}).ok());
  CHECK(engine->catalogs()->front().search_space_id == "64/hashing?v1");
  CHECK(best(*engine, "delete invoice") == "op-1");
  CHECK(best(*engine, "upload picture") == "op-2");
  work(*engine);
  CHECK(engine->catalogs()->front().search_space_id == "128/hashing?v1");
  CHECK(best(*engine, "delete invoice") == "op-1");
}

TEST_CASE("a provider that is down at start is waited for, and a put does not wait for it") {
  EngineScene scene;
  scene.provider->answer_with({Code::kRetry, "connection refused"});
  REQUIRE(scene->put(kKey, kDocument).ok());
  CHECK(scene->catalogs()->front().target_space_id.empty());
  REQUIRE(scene->start().ok());
  scene.wait_for_log("jobs wait until the embedder is ready: connection refused");
  scene.provider->answer_with({});
  scene.wait();
  CHECK(scene->health("catalog")->indexed == 1);
  CHECK(scene->catalogs()->front().target_space_id == "4/test-model");
}

TEST_CASE("a catalog that was made while its embedder was down is not taken over by the one for trying out") {
  const Shared shared;
  const auto down = std::make_shared<Provider>();
  down->answer_with({Code::kPaused, "connection refused"});
  EngineParts parts = shared.parts();
  parts.embedder = down;
  {
    const auto engine = Engine::open(memory_options(), parts);
    REQUIRE(engine.ok());
    REQUIRE((*engine)->put(kKey, kDocument).ok());
  }
  CHECK(shared.target("catalog").empty());
  const Status started = shared.open("")->start();
  CHECK(started.code() == Code::kRefused);
  CHECK(started.message().find("'catalog' waits for an embedder") != std::string::npos);
  CHECK(shared.target("catalog").empty());
}

TEST_CASE("an embedder that is wrong for good refuses the start") {
  EngineScene scene;
  scene.provider->answer_with({Code::kFailed, "no such model"});
  CHECK(scene->start().code() == Code::kFailed);
  scene.provider->answer_with({});
  CHECK(scene->start().ok());
}

TEST_CASE("an embedder that is off is refused when it is wired") {
  for (const char* off : {"none", "noop"}) {
    CHECK(Engine::open(options_with(off)).status().code() == Code::kInvalidArgument);
    EngineScene host({}, std::make_shared<Provider>(Space{off, 4, ""}));
    CHECK(host->start().code() == Code::kInvalidArgument);
  }
}

TEST_CASE("a DSN says what to open, and a wrong one what is allowed") {
  for (const char* dsn :
       {"", "memory", "memory:x", "sqlite", "sqlite:", "sqlite::memory:", "mysql://user:secret@host/db", ":"}) {
    INFO(dsn);
    const auto backend = open_backend(dsn, {}, nullptr);
    CHECK(backend.status().code() == Code::kInvalidArgument);
    CHECK(backend.status().message().find("secret") == std::string::npos);
    CHECK(backend.status().message().find("memory:") != std::string::npos);
  }
  CHECK(open_backend("memory:", {}, nullptr).ok());
}

TEST_CASE("searches from many threads keep within what the embedder allows") {
  EngineScene scene;
  scene.index(kKey, kDocument);
  std::vector<std::jthread> threads;
  std::atomic<int> answered = 0;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int j = 0; j < 25; ++j) {
        answered += scene->search("catalog", "users", 1).ok() ? 1 : 0;
      }
    });
  }
  REQUIRE(scene->put(kKey, spec_with(300, "orders")).ok());
  threads.clear();
  scene.wait();
  CHECK(answered == 100);
  CHECK(scene.provider->seen().at_once == 1);
}
