// An engine over the parts of a host: its documents, its vectors, its compute.
#include <catch2/catch.hpp>

#include "embedjobs/openapi.hpp"
#include "support/engine_scene.hpp"
#include "support/host.hpp"

using namespace embedjobs;
using namespace embedjobs::test;
using namespace std::chrono_literals;

namespace {

/// Splits at blanks and makes its own vectors.
class Words final : public EmbeddingComputer {
 public:
  Result<Manifest> compute(ComputeRequest& request) override {
    Manifest manifest;
    std::string_view rest = request.content;
    while (!rest.empty()) {
      const std::string_view word = rest.substr(0, rest.find(' '));
      rest.remove_prefix(std::min(rest.size(), word.size() + 1));
      manifest.add(word, hash_text(word));
    }
    request.progress(0, manifest.size());
    const std::vector<float> vector{1, 2};
    std::vector<VectorRow> rows;
    for (std::size_t i = 0; i < manifest.size(); ++i) {
      rows.push_back({.operation_id = manifest.operation_id(i), .text_hash = manifest.text_hash(i), .vector = vector});
    }
    if (Status status = request.persist_batch(rows); !status.ok()) {
      return status;
    }
    request.progress(manifest.size(), manifest.size());
    return manifest;
  }
  std::string version() const override { return "words/1"; }
  Result<Space> space() override { return Space{"words", 2, ""}; }
};

struct HostScene {
  std::shared_ptr<Documents> documents = std::make_shared<Documents>();
  std::shared_ptr<Vectors> vectors = std::make_shared<Vectors>();
  EngineScene engine;
  explicit HostScene(std::shared_ptr<EmbeddingComputer> computer = nullptr)
      : engine({.resolver = documents, .persister = vectors, .computer = std::move(computer)}, nullptr) {}
};

}  // namespace

TEST_CASE("a host's document is embedded into the host's vectors") {
  HostScene scene;
  scene.documents->write(kKey, spec_with(40, "users"));
  REQUIRE(scene.engine->enqueue(kKey, JobKind::kSpecWrite)->created);
  REQUIRE(scene.engine->start().ok());
  scene.engine.wait();
  CHECK(scene.vectors->rows_of(kKey) == 40);
  const auto rows = scene.engine->status(std::nullopt);
  REQUIRE(rows.ok());
  REQUIRE(rows->size() == 1);
  CHECK(make_badge(rows->front()).label == "40/40 indexed");
  CHECK(scene.engine->health("catalog")->indexed == 1);
  REQUIRE(scene.engine->retry(kKey).ok());
  scene.engine.wait();
  CHECK(scene.engine.provider->seen().texts == 80);
}

TEST_CASE("the reconciler finds a host's documents at start") {
  HostScene scene;
  scene.documents->write(kKey, spec_with(3, "users"));
  CHECK(*scene.engine->reconcile() == 1);
  REQUIRE(scene.engine->start().ok());
  scene.engine.wait();
  CHECK(scene.vectors->rows_of(kKey) == 3);
  CHECK(*scene.engine->reconcile() == 0);
  scene.documents->write(kKey, spec_with(4, "users"));
  CHECK(*scene.engine->reconcile() == 1);
}

TEST_CASE("a host's own compute replaces splitter and embedder") {
  HostScene scene(std::make_shared<Words>());
  CHECK(scene.engine->splitter() == nullptr);
  scene.documents->write(kKey, "one two three");
  REQUIRE(scene.engine->enqueue(kKey, JobKind::kSpecWrite).ok());
  REQUIRE(scene.engine->start().ok());
  scene.engine.wait();
  CHECK(scene.vectors->rows_of(kKey) == 3);
  CHECK(scene.engine->health(std::nullopt)->indexed == 1);
  CHECK(*scene.engine->reconcile() == 0);
}

TEST_CASE("what only the built-in catalog can do is refused, and says so") {
  HostScene scene;
  const auto refused = [](const Status& status) {
    INFO(status.to_string());
    CHECK(status.code() == Code::kRefused);
    CHECK(status.message().find("the host's own") != std::string::npos);
  };
  refused(scene.engine->put(kKey, spec_with(1, "users")).status());
  refused(scene.engine->remove_catalog("catalog"));
  refused(scene.engine->switch_space("catalog", Space{"m", 2, ""}).status());
  refused(scene.engine->catalogs().status());
  refused(scene.engine->rows(kKey, false, [](const StoredRow&) { return true; }).status());
  refused(scene.engine->search("catalog", "users", 3).status());
  refused(scene.engine->verify("catalog", std::nullopt).status());
}

TEST_CASE("a host's removal revokes and cancels") {
  HostScene scene;
  scene.documents->write(kKey, spec_with(3, "users"));
  REQUIRE(scene.engine->enqueue(kKey, JobKind::kSpecWrite).ok());
  CHECK(scene.engine->remove(kKey).ok());
  CHECK(scene.engine->remove(kKey).code() == Code::kNotFound);
  CHECK(scene.engine->store().counts()->cancelled == 1);
  CHECK(*scene.engine->reconcile() == 0);  // a removed key is not the reconciler's to bring back
}

TEST_CASE("a host's documents without an embedder are refused at start") {
  auto engine = Engine::open(memory_options(),
                             {.resolver = std::make_shared<Documents>(), .persister = std::make_shared<Vectors>()});
  REQUIRE(engine.ok());
  CHECK((*engine)->start().code() == Code::kRefused);
}

TEST_CASE("what a host's part throws is an error at the call, and a retry in a job") {
  HostScene scene;
  scene.documents->write(kKey, spec_with(3, "users"));
  REQUIRE(scene.engine->enqueue(kKey, JobKind::kSpecWrite).ok());
  scene.documents->throw_from_now_on();
  const Status status = scene.engine->status(std::nullopt).status();
  CHECK(status.code() == Code::kInternal);
  CHECK(status.message() == "the resolver threw: the host's database is away");
  CHECK(scene.engine->reconcile().status().code() == Code::kInternal);
  REQUIRE(scene.engine->start().ok());
  REQUIRE(scene.engine->wait_idle(0ms).ok());
  const auto jobs = scene.engine->jobs({});
  REQUIRE(jobs.ok());
  REQUIRE(jobs->size() == 1);
  CHECK(jobs->front().status == JobStatus::kPending);
  CHECK(jobs->front().last_error.find("the host's database is away") != std::string::npos);
}

TEST_CASE("a document in the built-in catalog may have its vectors at the host") {
  const auto vectors = std::make_shared<Vectors>();
  EngineScene scene({.persister = vectors}, nullptr);
  scene.index(kKey, spec_with(3, "users"));
  CHECK(vectors->rows_of(kKey) == 3);
  CHECK(scene->search("catalog", "users", 3).status().code() == Code::kRefused);
  CHECK(*scene->reconcile() == 0);
}

TEST_CASE("parts that can't work together are refused when they are wired") {
  const Backend backend = make_memory_backend({}, nullptr);
  const auto documents = std::make_shared<Documents>();
  const auto vectors = std::make_shared<Vectors>();
  const EngineParts wrong[] = {
      {.resolver = documents},
      {.store = backend.store},
      {.store = backend.store, .persister = vectors},
      {.resolver = backend.catalog, .persister = backend.catalog},
      {.splitter = std::shared_ptr<const Splitter>(make_openapi_splitter()), .computer = std::make_shared<Words>()},
  };
  for (const EngineParts& parts : wrong) {
    CHECK(Engine::open(memory_options(), parts).status().code() == Code::kInvalidArgument);
  }
}
