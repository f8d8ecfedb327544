// From where a process looks for due jobs: remembered, and never what decides whether a job is found.
#include "postgres/due_floor.hpp"

#include <catch2/catch.hpp>

#include "conformance/scene.hpp"
#include "embedjobs/postgres.hpp"
#include "support/raw_postgres.hpp"

using namespace embedjobs;
using namespace embedjobs::test;

namespace {

/// Each question for the time takes a while: so does each scan of the jobs.
class SlowClock final : public Clock {
 public:
  explicit SlowClock(Duration each) : each_(each) {}
  MonoTime now() override {
    clock_.advance(each_);
    return clock_.now();
  }
  WallTime wall_now() override { return clock_.wall_now(); }
  Duration boot_time() override { return clock_.boot_time(); }
  std::string boot_id() override { return clock_.boot_id(); }
  void advance(Duration time) { clock_.advance(time); }

 private:
  const Duration each_;
  ManualClock clock_;
};

/// A store whose scans take as long as is said, and that has claimed a job a moment ago. Then a job that was due ten
/// seconds before that one shows up, as if its transaction had lasted so long.
struct LateJob {
  TempSchema schema;
  std::shared_ptr<SlowClock> clock;
  Backend backend;
  std::uint64_t nonce = 0;

  explicit LateJob(Duration scan) : clock(std::make_shared<SlowClock>(scan)), backend(open()) {
    get(backend.store->enqueue({"catalog", "first"}, JobKind::kSpecWrite));
    REQUIRE(claim() == 1);
    RawPostgres server;
    get(backend.store->enqueue({"catalog", "late"}, JobKind::kSpecWrite));
    server.ask("UPDATE " + schema.name() + ".jobs SET next_run_at = next_run_at - 10000000000 WHERE status = 0");
  }
  Backend open() {
    PostgresOptions options;
    options.use_clock = true;
    options.poll_only = true;
    return get(open_postgres(schema.dsn(), options, clock));
  }
  std::size_t claim() {
    return get(backend.store->claim({.worker_id = "w", .max_jobs = 1, .nonce = ++nonce, .space_id = kSpace.id()}))
        .leases.size();
  }
};

}  // namespace

TEST_CASE("while scans are cheap each one is full") {
  const auto clock = std::make_shared<ManualClock>();
  postgres::DueFloor floor(clock);
  for (int i = 0; i < 3; ++i) {
    const postgres::DueScan scan = floor.begin("space");
    CHECK(scan.full);
    clock->advance(100us);
    floor.end(scan, "space", {clock->wall_now(), clock->wall_now()});
  }
}

TEST_CASE("after a slow scan the next ones begin where it found the first job") {
  const auto clock = std::make_shared<ManualClock>();
  postgres::DueFloor floor(clock);
  const postgres::DueScan full = floor.begin("space");
  clock->advance(50ms);
  const WallTime first = clock->wall_now();
  floor.end(full, "space", {first, std::nullopt});
  const postgres::DueScan next = floor.begin("space");
  CHECK_FALSE(next.full);
  CHECK(next.above[0] < first);
  CHECK(next.above[0] >= first - 1s);
  CHECK(next.above[1] == postgres::kAlways);  // nobody has read that
  CHECK_FALSE(floor.begin_thorough("space").full);
  CHECK(floor.until_full() <= 1s);
  CHECK(floor.begin("other space").full);
  clock->advance(1s);
  CHECK(floor.begin("space").full);
}

TEST_CASE("a floor rises with what is found above it, and a full scan sets it anew") {
  const auto clock = std::make_shared<ManualClock>();
  postgres::DueFloor floor(clock);
  const WallTime begun = clock->wall_now();
  const auto scan = [&](WallTime found) {
    const postgres::DueScan how = floor.begin("space");
    clock->advance(50ms);
    floor.end(how, "space", {found, found});
    return floor.begin("space").above[0];
  };
  const WallTime low = scan(begun);
  const WallTime high = scan(begun + 5s);
  CHECK(high > low);
  CHECK(scan(begun) == high);
  clock->advance(1s);
  CHECK(scan(begun - 1h) < low);
}

TEST_CASE("a late job is found at once when the full scan is affordable") {
  LateJob late(1ms);
  CHECK(late.claim() == 1);
}

TEST_CASE("a late job is found before a claim that read above it finds nothing") {
  LateJob late(5ms);
  CHECK(late.claim() == 1);
}

TEST_CASE("where full scans are very slow a peek says when to ask again") {
  LateJob late(100ms);
  CHECK(late.claim() == 0);
  const Peek peek = get(late.backend.store->peek(kSpace.id()));
  REQUIRE(peek.next_pending_due);
  CHECK(*peek.next_pending_due <= 10s);
  late.clock->advance(*peek.next_pending_due);
  CHECK(late.claim() == 1);
}
