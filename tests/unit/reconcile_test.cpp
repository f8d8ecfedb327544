#include "core/maintenance/reconcile.hpp"

#include <catch2/catch.hpp>

#include <fmt/format.h>

#include <stdexcept>

#include "embedjobs/backend.hpp"
#include "embedjobs/events.hpp"
#include "embedjobs/jobs.hpp"
#include "embedjobs/maintenance.hpp"
#include "embedjobs/manifest.hpp"
#include "embedjobs/memory.hpp"
#include "embedjobs/persister.hpp"
#include "embedjobs/resolver.hpp"
#include "embedjobs/sys/catalog.hpp"
#include "embedjobs/sys/store.hpp"
#include "embedjobs/sys/store_rules.hpp"
#include "support/manual_clock.hpp"

using namespace embedjobs;
using namespace embedjobs::core;
using namespace std::chrono_literals;

namespace {

const WallTime kNow{1000h};
const SpecKey kKey{"catalog", "spec"};
const Space kOld{"hashing", 2, "v1"};
const Space kNew{"other", 2, ""};

Job job_that(JobStatus status) {
  Job job;
  job.key = kKey;
  job.status = status;
  return job;
}

Failure failed_times(int times, WallTime last) {
  Failure failure;
  for (int i = 0; i < times; ++i) {
    rules::note_failure(failure, "boom", last);
  }
  return failure;
}

/// A spec as it should be; each line below spoils one thing.
struct Line {
  Desired desired{.content_version = "v1", .space_id = "2/a", .splitter_version = "openapi/1"};
  SpecState actual{
      .key = kKey, .complete = true, .space_id = "2/a", .content_version = "v1", .splitter_version = "openapi/1"};
  std::optional<Job> job = job_that(JobStatus::kSucceeded);
  Failure failure;
  std::optional<std::string> reason() const { return gap_reason(desired, actual, job, failure, kNow); }
};

/// Catalog and store over memory, and passes done by hand.
struct Scene {
  std::shared_ptr<test::ManualClock> clock = std::make_shared<test::ManualClock>();
  Backend backend = make_memory_backend({}, clock);
  MaintenanceParts parts{.store = backend.store,
                         .resolver = backend.catalog,
                         .persister = backend.catalog,
                         .catalog = backend.catalog,
                         .space_id = kOld.id(),
                         .splitter_version = "test/1"};
  std::uint64_t nonce = 0;

  void put(const SpecKey& key, std::string_view content) {
    REQUIRE(backend.catalog->put(key, content, kOld.id()).ok());
  }

  Lease claim(const Space& space) {
    const auto claimed =
        backend.store->claim({.worker_id = "w", .max_jobs = 1, .nonce = ++nonce, .space_id = space.id()});
    REQUIRE(claimed.ok());
    REQUIRE(claimed->leases.size() == 1);
    return claimed->leases.front();
  }
  void finalize(const Lease& lease, const Space& space, const std::string& splitter_version = "test/1") {
    const auto document = backend.catalog->resolve(lease.job.key);
    REQUIRE(document.ok());
    PassContext context{.key = lease.job.key,
                        .job_id = lease.job.id,
                        .fence = lease.job.fence,
                        .generation = lease.job.generation,
                        .space = space,
                        .epoch = lease.state.epoch,
                        .reuse_floor = lease.reuse_floor,
                        .content_version = document->version,
                        .splitter_version = splitter_version};
    const std::vector<float> vector{1, 0};
    const VectorRow row{.operation_id = "op", .text_hash = hash_text(document->content), .vector = vector};
    REQUIRE(backend.catalog->persist_batch(context, std::span(&row, 1)).ok());
    Manifest manifest;
    manifest.add("op", row.text_hash);
    REQUIRE(backend.catalog->finalize(context, manifest).ok());
  }
  void settle(const Lease& lease, OutcomeKind kind) {
    REQUIRE(
        backend.store->settle({lease.job.id, lease.job.key, lease.job.fence}, {.kind = kind, .error = "boom"}).ok());
  }
  void index_next(const Space& space = kOld, const std::string& splitter_version = "test/1") {
    const Lease lease = claim(space);
    finalize(lease, space, splitter_version);
    settle(lease, OutcomeKind::kComplete);
  }
  std::size_t reconcile_now() {
    const auto result = reconcile(parts, clock->wall_now());
    INFO(result.status().to_string());
    REQUIRE(result.ok());
    return *result;
  }
};

}  // namespace

TEST_CASE("a spec as it should be is no gap, with its last job or without") {
  Line line;
  CHECK_FALSE(line.reason());
  line.job.reset();
  CHECK_FALSE(line.reason());
}

TEST_CASE("no complete vectors are a gap") {
  Line line;
  line.actual = {.key = kKey};
  CHECK(line.reason() == "no complete vectors");
}

TEST_CASE("other content, another space and another splitter are gaps") {
  Line content, space, splitter;
  content.desired.content_version = "v2";
  CHECK(content.reason() == "the document changed");
  space.desired.space_id = "2/b";
  CHECK(space.reason() == "vectors are of space 2/a, the target is 2/b");
  splitter.desired.splitter_version = "openapi/2";
  CHECK(splitter.reason() == "split by openapi/1, now openapi/2");
}

TEST_CASE("what is not known is not compared") {
  Line line;
  line.desired.space_id.clear();
  line.desired.splitter_version.clear();
  line.actual.space_id = "2/b";
  line.actual.splitter_version = "openapi/0";
  CHECK_FALSE(line.reason());
  Line host;
  host.actual.splitter_version.clear();
  CHECK_FALSE(host.reason());
}

TEST_CASE("a finished pass that failed is a gap even over complete rows") {
  Line line;
  line.job = job_that(JobStatus::kFailed);
  line.failure = failed_times(1, kNow);
  CHECK(line.reason() == "the last pass failed");
}

TEST_CASE("an open job leaves nothing for the reconciler to do") {
  for (const JobStatus status : {JobStatus::kPending, JobStatus::kRunning}) {
    Line line;
    line.actual = {.key = kKey};
    line.job = job_that(status);
    CHECK_FALSE(line.reason());
  }
}

TEST_CASE("a key that failed three times is left alone until its time has come") {
  Line line;
  line.actual = {.key = kKey};
  line.job = job_that(JobStatus::kFailed);
  line.failure = failed_times(2, kNow);
  CHECK(line.reason());
  line.failure = failed_times(3, kNow - 30min + 1ns);
  CHECK_FALSE(line.reason());
  line.failure = failed_times(3, kNow - 30min);
  CHECK(line.reason());
  line.failure = failed_times(20, kNow - 6h + 1ns);
  CHECK_FALSE(line.reason());
  line.failure.resolved = true;
  CHECK(line.reason());
}

TEST_CASE("changed text or a changed model with equal counts is noticed (2)") {
  Scene scene;
  scene.put(kKey, "one");
  scene.index_next();
  CHECK(scene.reconcile_now() == 0);

  SECTION("the text changed, its job did nothing") {
    scene.put(kKey, "two");
    scene.settle(scene.claim(kOld), OutcomeKind::kComplete);
    CHECK(scene.reconcile_now() == 1);
    scene.index_next();
  }
  SECTION("the model changed, its job did nothing") {
    REQUIRE(scene.backend.catalog->switch_space("catalog", kNew).ok());
    scene.settle(scene.claim(kNew), OutcomeKind::kComplete);
    CHECK(scene.reconcile_now() == 1);
    scene.index_next(kNew);
  }
  SECTION("the splitter changed") {
    scene.parts.splitter_version = "test/2";
    CHECK(scene.reconcile_now() == 1);
    scene.index_next(kOld, "test/2");
  }
  CHECK(scene.reconcile_now() == 0);
}

TEST_CASE("a spec with count 0 and no vectors that never had a pass is a gap (9)") {
  Scene scene;
  scene.put(kKey, "one");
  scene.settle(scene.claim(kOld), OutcomeKind::kComplete);
  scene.clock->advance(24h * 30);
  REQUIRE(scene.backend.store->purge(24h, 100).ok());
  REQUIRE_FALSE((*scene.backend.store->last_jobs(std::vector{kKey}))[0]);
  CHECK(scene.reconcile_now() == 1);
  scene.index_next();
  CHECK(scene.reconcile_now() == 0);
}

TEST_CASE("a unit that goes on failing is tried about twenty times in three days, not 835 (15)") {
  Scene scene;
  scene.put(kKey, "one");
  scene.settle(scene.claim(kOld), OutcomeKind::kFail);
  int passes = 1;
  for (Duration time{0}; time < 72h; time += 5min) {
    scene.clock->advance(5min);
    if (scene.reconcile_now() > 0) {
      ++passes;
      scene.settle(scene.claim(kOld), OutcomeKind::kFail);
    }
  }
  CHECK(passes > 10);
  CHECK(passes <= 20);
  SECTION("an edit does not wait") {
    scene.put(kKey, "two");
    scene.index_next();
    CHECK(scene.reconcile_now() == 0);
  }
}

TEST_CASE("the reconciler walks all pages and yields to edits") {
  Scene scene;
  const int count = static_cast<int>(2 * kReconcilePage);
  for (int i = 0; i < count; ++i) {
    scene.put({"catalog", fmt::format("spec-{:05}", i)}, "one");
  }
  for (int i = 0; i < count; ++i) {
    scene.settle(scene.claim(kOld), OutcomeKind::kComplete);
  }
  CHECK(scene.reconcile_now() == static_cast<std::size_t>(count));
  CHECK(scene.reconcile_now() == 0);
  scene.put(kKey, "one");
  CHECK(scene.claim(kOld).job.key == kKey);
}

namespace {

struct HostResolver final : SpecResolver {
  std::function<Result<std::vector<SpecVersion>>(const SpecKey*, std::size_t)> answer;
  Result<Document> resolve(const SpecKey&) override { return {Code::kGone, "gone"}; }
  Result<std::vector<SpecVersion>> list(const SpecKey* after, std::size_t limit) override {
    return answer(after, limit);
  }
};

struct HostPersister final : Persister {
  std::function<Result<std::vector<SpecState>>(std::span<const SpecKey>)> answer;
  Result<std::vector<bool>> list_existing(const PassContext&, const Manifest& wanted) override {
    return std::vector<bool>(wanted.size());
  }
  Status persist_batch(const PassContext&, std::span<const VectorRow>) override { return {}; }
  Status finalize(const PassContext&, const Manifest&) override { return {}; }
  Result<std::vector<SpecState>> describe(std::span<const SpecKey> keys) override {
    return answer ? answer(keys) : Persister::describe(keys);
  }
};

struct HostScene {
  std::shared_ptr<HostResolver> resolver = std::make_shared<HostResolver>();
  std::shared_ptr<HostPersister> persister = std::make_shared<HostPersister>();
  std::shared_ptr<test::ManualClock> clock = std::make_shared<test::ManualClock>();
  Backend backend = make_memory_backend({}, clock);
  MaintenanceParts parts{.store = backend.store, .resolver = resolver, .persister = persister, .space_id = "2/a"};
  HostScene() {
    resolver->answer = [](const SpecKey* after, std::size_t) -> Result<std::vector<SpecVersion>> {
      return after == nullptr ? std::vector<SpecVersion>{{kKey, "v1"}} : std::vector<SpecVersion>{};
    };
    persister->answer = [](std::span<const SpecKey> keys) -> Result<std::vector<SpecState>> {
      return std::vector<SpecState>(keys.size());
    };
  }
  Result<std::size_t> reconcile_now() { return reconcile(parts, clock->wall_now()); }
};

}  // namespace

TEST_CASE("a host's documents are reconciled when it can list and describe") {
  HostScene scene;
  CHECK(scene.reconcile_now().value() == 1);
  scene.persister->answer = nullptr;
  CHECK(scene.reconcile_now().status().code() == Code::kRefused);
}

TEST_CASE("a host's parts that throw or break their promise end the round with an error and change nothing") {
  HostScene scene;
  SECTION("a resolver that throws") {
    scene.resolver->answer = [](const SpecKey*, std::size_t) -> Result<std::vector<SpecVersion>> {
      throw std::runtime_error("no");
    };
  }
  SECTION("a persister that throws") {
    scene.persister->answer = [](std::span<const SpecKey>) -> Result<std::vector<SpecState>> { throw 1; };
  }
  SECTION("a persister that answers for fewer keys") {
    scene.persister->answer = [](std::span<const SpecKey>) -> Result<std::vector<SpecState>> {
      return std::vector<SpecState>();
    };
  }
  CHECK(scene.reconcile_now().status().code() == Code::kInternal);
  CHECK(scene.backend.store->counts()->pending == 0);
}

TEST_CASE("a list that never moves on does not run for ever") {
  HostScene scene;
  scene.resolver->answer = [](const SpecKey*, std::size_t limit) -> Result<std::vector<SpecVersion>> {
    return std::vector<SpecVersion>(limit, SpecVersion{kKey, "v1"});
  };
  CHECK(scene.reconcile_now().status().code() == Code::kInternal);
}

TEST_CASE("a key that no store takes leaves the rest of a host's list alone") {
  HostScene scene;
  std::vector<std::string> lines;
  scene.parts.log = [&](LogLevel, std::string_view line) { lines.emplace_back(line); };
  scene.resolver->answer = [](const SpecKey*, std::size_t) -> Result<std::vector<SpecVersion>> {
    return std::vector<SpecVersion>{{{"", "nameless\n"}, "v1"}, {kKey, "v1"}};
  };
  CHECK(scene.reconcile_now().value() == 1);
  REQUIRE(lines.size() == 3);
  CHECK(lines[0].find("left out") != std::string::npos);
  CHECK(lines[0].find('\n') == std::string::npos);
  CHECK(lines[2] == "reconciler: a round ended: 2 documents, 1 enqueued");
}
