// What the library shows over a host's parts that tell little: a store that implements the pure functions alone, and a
// persister that describes nothing.
#include <catch2/catch.hpp>

#include "support/engine_scene.hpp"
#include "support/host.hpp"

using namespace embedjobs;
using namespace embedjobs::test;
using namespace std::chrono_literals;

namespace {

class SilentStore final : public Store {
 public:
  explicit SilentStore(std::shared_ptr<Store> inner = make_memory_backend({}, nullptr).store)
      : inner_(std::move(inner)) {}
  Result<EnqueueResult> enqueue(const SpecKey& key, JobKind kind) override { return inner_->enqueue(key, kind); }
  Status remove_key(const SpecKey& key) override { return inner_->remove_key(key); }
  Result<ClaimResult> claim(const ClaimRequest& request) override { return inner_->claim(request); }
  Result<std::vector<bool>> renew(std::span<const LeaseRef> leases, Duration lease_duration,
                                  Duration time_limit) override {
    return inner_->renew(leases, lease_duration, time_limit);
  }
  Status progress(const LeaseRef& lease, const Progress& progress) override {
    return inner_->progress(lease, progress);
  }
  Status record_in_flight(const LeaseRef& lease, std::span<const TextHash> sent,
                          std::span<const TextHash> answered) override {
    return inner_->record_in_flight(lease, sent, answered);
  }
  Result<JobStatus> settle(const LeaseRef& lease, const Outcome& outcome) override {
    return inner_->settle(lease, outcome);
  }
  Result<std::size_t> reap(std::size_t limit) override { return inner_->reap(limit); }
  Result<Peek> peek(std::string_view space_id) override { return inner_->peek(space_id); }
  [[nodiscard]] Duration lease_duration() const override { return inner_->lease_duration(); }

 private:
  std::shared_ptr<Store> inner_;
};

/// The host's documents and vectors, over the library's jobs or over a store of the host's.
struct HostedScene {
  std::shared_ptr<Store> store;
  std::shared_ptr<Documents> documents = std::make_shared<Documents>();
  std::shared_ptr<Vectors> vectors = std::make_shared<Vectors>();
  EngineScene engine;

  explicit HostedScene(std::shared_ptr<Store> given = nullptr)
      : store(std::move(given)), engine({.store = store, .resolver = documents, .persister = vectors}, nullptr) {}

  void index() {
    documents->write(kKey, spec_with(3, "users"));
    REQUIRE(engine->enqueue(kKey, JobKind::kSpecWrite).ok());
    REQUIRE(engine->start().ok());
    engine.wait();
  }
  SpecStatus row() {
    const auto rows = engine->status(std::nullopt);
    INFO(rows.status().to_string());
    REQUIRE(rows.ok());
    REQUIRE(rows->size() == 1);
    return rows->front();
  }
};

struct SilentScene : HostedScene {
  SilentScene() : HostedScene(std::make_shared<SilentStore>()) {}
};

}  // namespace

TEST_CASE("jobs of a store that tells nothing are run, though it wakes nobody") {
  SilentScene scene;
  CHECK(scene.store->poll_interval() == 250ms);
  REQUIRE(scene.engine->start().ok());
  scene.engine.wait();
  // Behind the engine's back, as another process would: the engine is not told, and finds it by looking.
  scene.documents->write(kKey, spec_with(3, "users"));
  const auto began = std::chrono::steady_clock::now();
  REQUIRE(scene.store->enqueue(kKey, JobKind::kSpecWrite).ok());
  scene.engine.wait();
  CHECK(std::chrono::steady_clock::now() - began < WorkerOptions{}.fallback_poll / 2);
  CHECK(scene.vectors->rows_of(kKey) == 3);
}

TEST_CASE("what a store does not tell is shown as unknown, and never as nothing") {
  SilentScene scene;
  scene.vectors->be_silent();
  scene.index();

  const SpecStatus row = scene.row();
  CHECK_FALSE(row.operation_count.has_value());
  CHECK_FALSE(row.embedding_count.has_value());
  CHECK_FALSE(row.embedded_so_far.has_value());
  CHECK_FALSE(row.complete.has_value());
  CHECK_FALSE(row.visible_space_id.has_value());
  CHECK_FALSE(row.job_known);
  CHECK_FALSE(row.pause_known);
  CHECK(make_badge(row).label == "unknown");
  CHECK_FALSE(make_badge(row).offers_retry);

  const auto health = scene.engine->health(std::nullopt);
  REQUIRE(health.ok());
  CHECK(health->specs == 1);
  CHECK(health->unknown == 1);
  CHECK(health->indexed == 0);
  CHECK_FALSE(health->jobs_known);
  CHECK_FALSE(health->failures_known);
  CHECK(make_banner(*health).text == "0/0 specs indexed (1 unknown)");
  CHECK(make_banner(*health).tone == Tone::kMuted);

  const auto metrics = scene.engine->metrics();
  REQUIRE(metrics.ok());
  CHECK(metrics->worker.jobs_succeeded == 1);
  CHECK_FALSE(metrics->jobs.has_value());
  CHECK_FALSE(metrics->workers_live.has_value());
  CHECK_FALSE(metrics->providers.has_value());
  const std::string text = render_prometheus(*metrics);
  CHECK(text.find("embedjobs_jobs_succeeded_total 1") != std::string::npos);
  for (const char* family : {"embedjobs_jobs{", "embedjobs_jobs ", "embedjobs_workers", "embedjobs_ledger"}) {
    INFO(text);
    CHECK(text.find(family) == std::string::npos);
  }
}

TEST_CASE("over a store that tells nothing, the host's persister says which specs are complete") {
  SilentScene scene;
  scene.index();
  CHECK(scene.row().complete == true);
  CHECK_FALSE(scene.row().operation_count.has_value());
  CHECK(scene.row().visible_space_id == "4/test-model");
  CHECK(make_badge(scene.row()).label == "indexed");
  CHECK(make_banner(*scene.engine->health(std::nullopt)).tone == Tone::kGreen);
  // Rows of an older document: who can tell whether a job is open?
  scene.documents->write(kKey, spec_with(4, "users"));
  CHECK(scene.row().complete == false);
  CHECK(make_badge(scene.row()).label == "unknown");
  CHECK(scene.engine->health(std::nullopt)->unknown == 1);
}

TEST_CASE("a host's document without a job is shown as its persister describes it") {
  HostedScene scene;
  scene.documents->write(kKey, spec_with(3, "users"));
  CHECK(make_badge(scene.row()).label == "not indexed");
  scene.vectors->be_silent();
  CHECK(make_badge(scene.row()).label == "unknown");
  CHECK(scene.engine->health(std::nullopt)->unknown == 1);
  REQUIRE(scene.engine->enqueue(kKey, JobKind::kSpecWrite).ok());
  CHECK(make_badge(scene.row()).label == "queued");
  CHECK_FALSE(scene.row().operation_count.has_value());
  CHECK(scene.row().embedded_so_far == 0);
  REQUIRE(scene.engine->start().ok());
  scene.engine.wait();
  CHECK(make_badge(scene.row()).label == "3/3 indexed");
}

TEST_CASE("the library's documents with vectors at the host are counted by their last pass") {
  const auto vectors = std::make_shared<Vectors>();
  EngineScene scene({.persister = vectors}, nullptr);
  scene.index(kKey, spec_with(3, "users"));
  const auto rows = scene->status("catalog");
  REQUIRE(rows.ok());
  REQUIRE(rows->size() == 1);
  CHECK(make_badge(rows->front()).label == "3/3 indexed");
  CHECK(scene->status("none").status().code() == Code::kNotFound);
}

TEST_CASE("what needs no jobs goes on over the library's catalog and a store that tells nothing") {
  const Backend backend = make_memory_backend({}, nullptr);
  EngineScene scene({.store = std::make_shared<SilentStore>(backend.store),
                     .resolver = backend.catalog,
                     .persister = backend.catalog},
                    nullptr);
  scene.index(kKey, spec_with(3, "users"));
  const auto rows = scene->status(std::nullopt);
  REQUIRE(rows.ok());
  REQUIRE(rows->size() == 1);
  CHECK(rows->front().operation_count == 3);
  CHECK(rows->front().embedding_count == 3);
  CHECK_FALSE(rows->front().embedded_so_far.has_value());
  CHECK(make_badge(rows->front()).label == "3/3 indexed");
  CHECK(scene->health("catalog")->indexed == 1);
  const auto reports = scene->verify("catalog", std::nullopt);
  REQUIRE(reports.ok());
  CHECK(reports->front().equal);
  REQUIRE(scene->put(kKey, spec_with(4, "users")).ok());
  CHECK(make_badge(scene->status(std::nullopt)->front()).label == "unknown");
  CHECK(scene->retry_failed().status().code() == Code::kRefused);
}

TEST_CASE("what can't be done without asking the store is refused, and names the store") {
  SilentScene scene;
  scene.documents->write(kKey, spec_with(3, "users"));
  const auto refused = [](const Status& status) {
    INFO(status.to_string());
    CHECK(status.code() == Code::kRefused);
    CHECK(status.message().find("this store does not tell") != std::string::npos);
  };
  refused(scene.engine->reconcile().status());
  refused(scene.engine->workers().status());
  refused(scene.engine->jobs({}).status());
  refused(scene.engine->providers().status());
  refused(scene.engine->retry_failed().status());
  // The rounds of maintenance enqueue nothing either, and say so once.
  REQUIRE(scene.engine->start().ok());
  scene.engine.wait_for_log("reconciler: this store does not tell");
  scene.engine.wait();
  CHECK(scene.engine->stop(30s));
  CHECK(scene.vectors->rows_of(kKey) == 0);
}

// docs/embedding-guide.md has the same table.
TEST_CASE("what a host's parts leave of the facade") {
  struct Wiring {
    const char* what;
    bool resolver, store;
    bool documents;  ///< put, switch_space, catalogs: they are the library's documents.
    const char* badge;
  };
  const Wiring wirings[] = {{"the persister alone", false, false, true, "3/3 indexed"},
                            {"resolver and persister", true, false, false, "3/3 indexed"},
                            {"the store too", true, true, false, "indexed"}};
  for (const Wiring& wiring : wirings) {
    INFO(wiring.what);
    const auto documents = std::make_shared<Documents>();
    const auto vectors = std::make_shared<Vectors>();
    EngineScene engine({.store = wiring.store ? std::make_shared<SilentStore>() : nullptr,
                        .resolver = wiring.resolver ? documents : nullptr,
                        .persister = vectors},
                       nullptr);
    const Code library_documents = wiring.documents ? Code::kOk : Code::kRefused;
    documents->write(kKey, spec_with(3, "users"));
    CHECK(engine->put(kKey, spec_with(3, "users")).status().code() == library_documents);
    CHECK(engine->enqueue(kKey, JobKind::kSpecWrite).ok());
    REQUIRE(engine->start().ok());
    engine.wait();
    CHECK(vectors->rows_of(kKey) == 3);
    CHECK(make_badge(engine->status(std::nullopt)->front()).label == wiring.badge);
    CHECK(engine->search("catalog", "users", 3).status().code() == Code::kRefused);
    CHECK(engine->rows(kKey, false, [](const StoredRow&) { return true; }).status().code() == Code::kRefused);
    CHECK(engine->verify("catalog", std::nullopt).status().code() == Code::kRefused);
    CHECK(engine->switch_space("catalog", Space{"other", 8, ""}).status().code() == library_documents);
    CHECK(engine->remove(kKey).ok());
    CHECK(vectors->rows_of(kKey) == 3);  // they are the host's to delete
  }
}
