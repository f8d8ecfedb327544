// Who works: entries of workers, by the store's time.
#include "conformance/scene.hpp"

using namespace embedjobs;
using namespace embedjobs::test;

namespace {

WorkerInfo worker(const std::string& id) {
  return {.worker_id = id,
          .host = "machine",
          .process_id = 42,
          .version = "1.2.3",
          .slots = 4,
          .provider = "http://localhost m",
          .space_id = kSpace.id(),
          .lease_duration = kLease,
          .started_at = {},
          .last_seen_at = {},
          .read_at = {}};
}

}  // namespace

TEST_CASE("a worker that registered is in the list with what it said, and live", "[fleet]") {
  Scene scene;
  CHECK(get(scene.store.workers()).empty());
  ok(scene.store.register_worker(worker("b")));
  ok(scene.store.register_worker(worker("a")));
  const std::vector<WorkerInfo> workers = get(scene.store.workers());
  REQUIRE(workers.size() == 2);
  CHECK(workers[0].worker_id == "a");
  const WorkerInfo& seen = workers[1];
  CHECK(seen.worker_id == "b");
  CHECK(seen.host == "machine");
  CHECK(seen.process_id == 42);
  CHECK(seen.version == "1.2.3");
  CHECK(seen.slots == 4);
  CHECK(seen.provider == "http://localhost m");
  CHECK(seen.space_id == kSpace.id());
  CHECK(seen.lease_duration == kLease);
  CHECK(seen.started_at == scene.clock->wall_now());
  CHECK(seen.last_seen_at == scene.clock->wall_now());
  CHECK(is_live(seen));
}

TEST_CASE("registering again refreshes the entry and keeps its beginning", "[fleet]") {
  Scene scene;
  const WallTime begun = scene.clock->wall_now();
  ok(scene.store.register_worker(worker("a")));
  scene.clock->advance(kLease + 1ms);
  CHECK_FALSE(is_live(get(scene.store.workers()).at(0)));
  WorkerInfo changed = worker("a");
  changed.slots = 9;
  changed.started_at = WallTime{};  // the worker's own times do not count
  ok(scene.store.register_worker(changed));
  const WorkerInfo seen = get(scene.store.workers()).at(0);
  CHECK(seen.started_at == begun);
  CHECK(seen.last_seen_at == scene.clock->wall_now());
  CHECK(seen.slots == 9);
  CHECK(is_live(seen));
}

TEST_CASE("a worker that signed off is gone; one that is not known may sign off too", "[fleet]") {
  Scene scene;
  ok(scene.store.register_worker(worker("a")));
  ok(scene.store.register_worker(worker("b")));
  ok(scene.store.unregister_worker("a"));
  ok(scene.store.unregister_worker("a"));
  const std::vector<WorkerInfo> workers = get(scene.store.workers());
  REQUIRE(workers.size() == 1);
  CHECK(workers[0].worker_id == "b");
}

TEST_CASE("workers that were not heard of for long are forgotten", "[fleet]") {
  Scene scene;
  ok(scene.store.register_worker(worker("old")));
  scene.clock->advance(20h);
  ok(scene.store.register_worker(worker("new")));
  scene.clock->advance(5h);
  CHECK(get(scene.store.forget_workers(24h)) == 1);
  REQUIRE(get(scene.store.workers()).size() == 1);
  CHECK(get(scene.store.workers())[0].worker_id == "new");
}

TEST_CASE("what a worker says is kept as bounded lines, whatever bytes it has", "[fleet]") {
  Scene scene;
  WorkerInfo strange = worker("a");
  strange.host = std::string("h\0st\n\xff\x1b[31m", 12) + std::string(100'000, 'x');
  strange.provider = std::string(10'000, '\xe2');
  strange.slots = -3;
  strange.lease_duration = -1h;
  ok(scene.store.register_worker(strange));
  const WorkerInfo seen = get(scene.store.workers()).at(0);
  CHECK(seen.host.size() <= 255);
  CHECK(seen.provider.size() <= 255);
  for (const char c : seen.host + seen.provider) {
    CHECK(static_cast<unsigned char>(c) >= 0x20);
    CHECK(static_cast<unsigned char>(c) < 0x7f);
  }
  CHECK(seen.slots == 0);
  CHECK(seen.lease_duration == 0s);
  CHECK(scene.store.register_worker(worker("")).code() == Code::kInvalidArgument);
  CHECK(scene.store.register_worker(worker(std::string(513, 'x'))).code() == Code::kInvalidArgument);
  CHECK(get(scene.store.workers()).size() == 1);
}
