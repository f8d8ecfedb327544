#include "embedjobs/maintenance.hpp"

#include <catch2/catch.hpp>

#include <fmt/format.h>

#include "embedjobs/backend.hpp"
#include "embedjobs/events.hpp"
#include "embedjobs/memory.hpp"
#include "embedjobs/resolver.hpp"
#include "embedjobs/sys/catalog.hpp"
#include "embedjobs/sys/store.hpp"
#include "support/manual_runtime.hpp"

using namespace embedjobs;
using namespace std::chrono_literals;

namespace {

const Space kSpace{"hashing", 2, "v1"};

struct Scene {
  std::shared_ptr<test::ManualRuntime> runtime = std::make_shared<test::ManualRuntime>();
  Backend backend = make_memory_backend({.lease_duration = 1min}, runtime);
  std::vector<std::string> lines;  ///< But for debug lines.
  std::vector<Event> events;
  std::unique_ptr<Maintenance> maintenance;
  std::uint64_t nonce = 0;

  explicit Scene(std::shared_ptr<SpecResolver> resolver = nullptr) {
    MaintenanceParts parts{.store = backend.store,
                           .resolver = resolver ? resolver : backend.catalog,
                           .persister = backend.catalog,
                           .catalog = resolver ? nullptr : backend.catalog,
                           .log = [this](LogLevel level, std::string_view line) { note(level, line); },
                           .events = [this](const Event& event) { events.push_back(event); }};
    maintenance = std::make_unique<Maintenance>(*runtime, std::move(parts), MaintenanceOptions{});
  }

  ~Scene() {
    maintenance.reset();
    runtime->close();
  }
  Scene(const Scene&) = delete;
  Scene& operator=(const Scene&) = delete;

  void note(LogLevel level, std::string_view line) {
    if (level >= LogLevel::kInfo) {
      lines.emplace_back(line);
    }
  }
  void start() {
    maintenance->start();
    runtime->settle();
  }
  /// Puts `count` specs and claims their jobs, for a worker that then dies.
  std::vector<Lease> put_and_claim(std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) {
      REQUIRE(backend.catalog->put({"catalog", fmt::format("spec-{}", i)}, "text", kSpace.id()).ok());
    }
    const auto claimed =
        backend.store->claim({.worker_id = "w", .max_jobs = count, .nonce = ++nonce, .space_id = kSpace.id()});
    REQUIRE(claimed.ok());
    REQUIRE(claimed->leases.size() == count);
    return claimed->leases;
  }
  void settle(const Lease& lease, OutcomeKind kind) {
    REQUIRE(
        backend.store->settle({lease.job.id, lease.job.key, lease.job.fence}, {.kind = kind, .error = "boom"}).ok());
  }
  std::size_t rounds(const char* task) const { return runtime->submitted(task); }
};

struct SilentResolver final : SpecResolver {
  Result<Document> resolve(const SpecKey&) override { return {Code::kGone, "gone"}; }
};

}  // namespace

TEST_CASE("each task runs at start and at every interval") {
  Scene scene;
  scene.start();
  CHECK(scene.rounds("reaper") == 1);
  CHECK(scene.rounds("reconciler") == 1);
  CHECK(scene.rounds("retention") == 2);  // jobs, then vectors
  scene.runtime->run_for(1h - 1ms);
  CHECK(scene.rounds("reaper") == 120);
  CHECK(scene.rounds("reconciler") == 12);
  CHECK(scene.rounds("retention") == 2);
  scene.runtime->run_for(1ms);
  CHECK(scene.rounds("retention") == 4);
}

TEST_CASE("start twice acts once") {
  Scene scene;
  scene.maintenance->start();
  scene.start();
  scene.start();
  CHECK(scene.rounds("reaper") == 1);
  scene.runtime->run_for(30s);
  CHECK(scene.rounds("reaper") == 2);
}

TEST_CASE("the reaper puts back what a dead worker held, and says how much") {
  Scene scene;
  scene.put_and_claim(3);
  scene.start();
  CHECK(scene.events.empty());
  scene.runtime->run_for(1min + 30s);
  CHECK(scene.backend.store->counts()->pending == 3);
  REQUIRE(scene.events.size() == 1);
  CHECK(scene.events[0].kind == EventKind::kLeaseExpired);
  CHECK(scene.events[0].count == 3);
}

TEST_CASE("a long round is done in bounded pieces") {
  Scene scene;
  scene.put_and_claim(250);
  scene.runtime->run_for(2min);
  scene.start();
  CHECK(scene.backend.store->counts()->pending == 250);
  CHECK(scene.rounds("reaper") == 3);
  scene.runtime->run_for(30s);
  CHECK(scene.rounds("reaper") == 4);
}

TEST_CASE("the reconciler enqueues a gap at start and at a tick") {
  Scene scene;
  const auto leases = scene.put_and_claim(2);
  scene.settle(leases[0], OutcomeKind::kComplete);
  scene.start();
  CHECK(scene.backend.store->counts()->pending == 1);
  scene.settle(leases[1], OutcomeKind::kComplete);
  scene.runtime->run_for(5min);
  CHECK(scene.backend.store->counts()->pending == 2);
}

TEST_CASE("a task that fails is logged and tried again at the next tick") {
  for (const char* task : {"reaper", "reconciler", "retention"}) {
    Scene scene;
    scene.runtime->fail_next(task, {Code::kRetry, "the disk sleeps"});
    scene.start();
    CHECK(scene.rounds(task) == 1);
    REQUIRE(scene.lines.size() == 1);
    CHECK(scene.lines[0] == fmt::format("retry: {}: the disk sleeps", task));
    scene.runtime->run_for(1h);
    CHECK(scene.rounds(task) > 1);
    CHECK(scene.lines.size() == 1);
  }
}

TEST_CASE("a reconciler whose round broke off begins again from the first page") {
  Scene scene;
  const auto leases = scene.put_and_claim(600);
  for (const Lease& lease : leases) {
    scene.settle(lease, OutcomeKind::kComplete);
  }
  scene.runtime->fail_next("reconciler", {Code::kRetry, "busy"});
  scene.start();
  CHECK(scene.backend.store->counts()->pending == 0);
  scene.runtime->run_for(5min);
  CHECK(scene.backend.store->counts()->pending == 600);
}

TEST_CASE("a resolver that can't list is said once, and the other tasks go on") {
  Scene scene(std::make_shared<SilentResolver>());
  scene.start();
  scene.runtime->run_for(1h);
  CHECK(scene.lines.size() == 1);
  CHECK(scene.rounds("reaper") == 121);
}

TEST_CASE("a task that takes longer than its interval never overtakes itself") {
  Scene scene;
  scene.runtime->hold("reaper");
  scene.start();
  scene.runtime->run_for(10min);
  CHECK(scene.rounds("reaper") == 1);
  CHECK(scene.rounds("reconciler") == 3);  // nobody waits for it
  scene.runtime->release();
  scene.runtime->run_for(30s);
  CHECK(scene.rounds("reaper") == 2);
}

TEST_CASE("jobs that ended long ago go, an open failure stays") {
  Scene scene;
  const auto leases = scene.put_and_claim(2);
  scene.settle(leases[1], OutcomeKind::kFail);
  REQUIRE(scene.backend.catalog->remove(leases[0].job.key).ok());
  scene.start();
  scene.runtime->hold("reconciler");
  scene.runtime->run_for(24h * 13);
  CHECK(scene.backend.store->counts()->cancelled == 1);
  scene.runtime->run_for(24h * 2);
  CHECK(scene.backend.store->counts()->cancelled == 0);
  CHECK(scene.backend.store->counts()->failed == 1);
}

TEST_CASE("stop waits for what is under way, and nothing runs after it") {
  Scene scene;
  scene.runtime->hold("reaper");
  scene.start();
  int stopped = 0;
  scene.maintenance->request_stop([&] { ++stopped; });
  scene.maintenance->request_stop([&] { ++stopped; });
  scene.runtime->run_for(1h);
  CHECK(stopped == 0);
  scene.runtime->release();
  scene.runtime->settle();
  CHECK(stopped == 2);
  CHECK(scene.runtime->timers() == 0);
  scene.maintenance->request_stop([&] { ++stopped; });
  scene.runtime->run_for(1h);
  CHECK(stopped == 3);
  CHECK(scene.rounds("reaper") == 1);
}

TEST_CASE("stop in the middle of a long round does not wait for its end") {
  Scene scene;
  scene.put_and_claim(250);
  scene.runtime->run_for(2min);
  scene.runtime->hold("reaper");
  scene.start();
  bool stopped = false;
  scene.maintenance->request_stop([&] { stopped = true; });
  scene.runtime->settle();
  scene.runtime->release();
  scene.runtime->settle();
  CHECK(stopped);
  CHECK(scene.rounds("reaper") == 1);
}

TEST_CASE("stop before start is fine, and start after it does nothing") {
  Scene scene;
  bool stopped = false;
  scene.maintenance->request_stop([&] { stopped = true; });
  scene.start();
  CHECK(stopped);
  CHECK(scene.rounds("reaper") == 0);
}

TEST_CASE("an event sink that throws does not stop the tasks") {
  Scene scene;
  scene.put_and_claim(1);
  MaintenanceParts parts{.store = scene.backend.store,
                         .resolver = scene.backend.catalog,
                         .persister = scene.backend.catalog,
                         .log = [&](LogLevel level, std::string_view line) { scene.note(level, line); },
                         .events = [](const Event&) { throw 1; }};
  Maintenance maintenance(*scene.runtime, std::move(parts), {});
  scene.runtime->run_for(2min);
  maintenance.start();
  scene.runtime->run_for(1min);
  REQUIRE(scene.lines.size() == 1);
  CHECK(scene.lines[0] == "internal: the event sink threw an exception of an unknown type");
  CHECK(scene.rounds("reaper") == 3);
}
