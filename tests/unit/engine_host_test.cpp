// An engine over the parts of a host: its documents, its vectors, its compute.
#include <catch2/catch.hpp>

#include <map>
#include <stdexcept>

#include "embedjobs/openapi.hpp"
#include "support/engine_scene.hpp"

using namespace embedjobs;
using namespace embedjobs::test;
using namespace std::chrono_literals;

namespace {

/// A host's documents, in a map.
class Documents final : public SpecResolver {
 public:
  void write(const SpecKey& key, std::string content) {
    const std::lock_guard lock(mutex_);
    contents_[key] = std::move(content);
  }
  void erase(const SpecKey& key) {
    const std::lock_guard lock(mutex_);
    contents_.erase(key);
  }
  void throw_from_now_on() {
    const std::lock_guard lock(mutex_);
    throws_ = true;
  }

  Result<Document> resolve(const SpecKey& key) override {
    const std::lock_guard lock(mutex_);
    if (throws_) {
      throw std::runtime_error("the host's database is away");
    }
    const auto found = contents_.find(key);
    if (found == contents_.end()) {
      return {Code::kGone, "deleted"};
    }
    return Document{found->second, to_hex(hash_text(found->second))};
  }
  Result<std::vector<SpecVersion>> list(const SpecKey* after, std::size_t limit) override {
    const std::lock_guard lock(mutex_);
    if (throws_) {
      throw std::runtime_error("the host's database is away");
    }
    std::vector<SpecVersion> page;
    for (auto it = after == nullptr ? contents_.begin() : contents_.upper_bound(*after);
         it != contents_.end() && page.size() < limit; ++it) {
      page.push_back({it->first, to_hex(hash_text(it->second))});
    }
    return page;
  }

 private:
  std::mutex mutex_;
  std::map<SpecKey, std::string> contents_;
  bool throws_ = false;
};

/// A host's vectors, by operation id; accepts the fence as the interface says.
class Vectors final : public Persister {
 public:
  Result<std::vector<bool>> list_existing(const PassContext& context, const Manifest& wanted) override {
    const std::lock_guard lock(mutex_);
    if (!accept(context)) {
      return {Code::kLeaseLost, "stale"};
    }
    std::vector<bool> existing(wanted.size());
    for (std::size_t i = 0; i < wanted.size(); ++i) {
      const auto& rows = specs_[context.key].rows;
      const auto found = rows.find(std::string(wanted.operation_id(i)));
      existing[i] = found != rows.end() && found->second.text_hash == wanted.text_hash(i) &&
                    may_reuse(context, found->second.mark);
    }
    return existing;
  }
  Status persist_batch(const PassContext& context, std::span<const VectorRow> rows) override {
    const std::lock_guard lock(mutex_);
    if (!accept(context)) {
      return {Code::kLeaseLost, "stale"};
    }
    for (const VectorRow& row : rows) {
      specs_[context.key].rows[std::string(row.operation_id)] = {row.text_hash,
                                                                 {context.epoch, row.embedded_bytes, row.input_cap}};
    }
    return {};
  }
  Status finalize(const PassContext& context, const Manifest& manifest) override {
    const std::lock_guard lock(mutex_);
    if (!accept(context)) {
      return {Code::kLeaseLost, "stale"};
    }
    Spec& spec = specs_[context.key];
    std::map<std::string, Row> rows;
    for (std::size_t i = 0; i < manifest.size(); ++i) {
      const std::string id(manifest.operation_id(i));
      const auto found = spec.rows.find(id);
      if (found == spec.rows.end() || found->second.text_hash != manifest.text_hash(i) ||
          !may_reuse(context, found->second.mark)) {
        return {Code::kIncomplete, "a vector is missing"};
      }
      rows[id] = found->second;
    }
    spec.rows = std::move(rows);
    spec.state = {context.key, true, context.space.id(), context.content_version, context.splitter_version};
    return {};
  }
  Result<std::vector<SpecState>> describe(std::span<const SpecKey> keys) override {
    const std::lock_guard lock(mutex_);
    std::vector<SpecState> states;
    for (const SpecKey& key : keys) {
      states.push_back(specs_[key].state);
    }
    return states;
  }
  std::size_t rows_of(const SpecKey& key) {
    const std::lock_guard lock(mutex_);
    return specs_[key].rows.size();
  }

 private:
  struct Row {
    TextHash text_hash;
    VectorMark mark;
  };
  struct Spec {
    Fence fence;
    std::map<std::string, Row> rows;
    SpecState state;
  };
  bool accept(const PassContext& context) {
    Fence& fence = specs_[context.key].fence;
    if (!accepts(fence, context.fence)) {
      return false;
    }
    fence = context.fence;
    return true;
  }

  std::mutex mutex_;
  std::map<SpecKey, Spec> specs_;
};

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

// What the library shows over a store that implements the pure functions and tells nothing.
namespace {

class SilentStore final : public Store {
 public:
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
  std::shared_ptr<Store> inner_ = make_memory_backend({}, nullptr).store;
};

struct SilentScene {
  std::shared_ptr<SilentStore> store = std::make_shared<SilentStore>();
  std::shared_ptr<Documents> documents = std::make_shared<Documents>();
  std::shared_ptr<Vectors> vectors = std::make_shared<Vectors>();
  EngineScene engine{{.store = store, .resolver = documents, .persister = vectors}, nullptr};
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
  scene.documents->write(kKey, spec_with(3, "users"));
  REQUIRE(scene.engine->enqueue(kKey, JobKind::kSpecWrite).ok());
  REQUIRE(scene.engine->start().ok());
  scene.engine.wait();

  const auto rows = scene.engine->status(std::nullopt);
  REQUIRE(rows.ok());
  REQUIRE(rows->size() == 1);
  CHECK_FALSE(rows->front().job_known);
  CHECK(make_badge(rows->front()).label == "unknown");
  CHECK_FALSE(make_badge(rows->front()).offers_retry);

  const auto health = scene.engine->health(std::nullopt);
  REQUIRE(health.ok());
  CHECK(health->specs == 1);
  CHECK(health->unknown == 1);
  CHECK(health->indexed + health->pending + health->running + health->failed == 0);
  CHECK_FALSE(health->failures_known);
  CHECK_FALSE(health->degraded);
  CHECK(make_banner(*health).text.find("1 unknown") != std::string::npos);

  const auto metrics = scene.engine->metrics();
  REQUIRE(metrics.ok());
  CHECK(metrics->worker.jobs_succeeded == 1);
  CHECK_FALSE(metrics->jobs.has_value());
  CHECK_FALSE(metrics->workers_live.has_value());
  const std::string text = render_prometheus(*metrics);
  CHECK(text.find("embedjobs_jobs_succeeded_total 1") != std::string::npos);
  for (const char* family : {"embedjobs_jobs{", "embedjobs_jobs ", "embedjobs_workers"}) {
    INFO(text);
    CHECK(text.find(family) == std::string::npos);
  }
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
