// From where a process looks for due jobs: remembered, and never what decides whether a job is found.
#include "postgres/due_floor.hpp"

#include <catch2/catch.hpp>

#include "conformance/scene.hpp"
#include "embedjobs/postgres.hpp"
#include "support/raw_postgres.hpp"

using namespace embedjobs;
using namespace embedjobs::test;

namespace {

/// Each look at the time takes a while: so does each look at the jobs.
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

/// A store whose looks take as long as is told, and that has claimed a job a moment ago. Then a job that was due ten
/// seconds before that one shows up, as if its transaction had lasted so long.
struct LateJob {
  TempSchema schema;
  std::shared_ptr<SlowClock> clock;
  Backend backend;
  std::uint64_t nonce = 0;

  explicit LateJob(Duration look) : clock(std::make_shared<SlowClock>(look)), backend(open()) {
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

TEST_CASE("while looks are cheap each one is whole") {
  const auto clock = std::make_shared<ManualClock>();
  postgres::DueFloor floor(clock);
  for (int i = 0; i < 3; ++i) {
    const postgres::DueLook look = floor.begin("space");
    CHECK(look.whole);
    clock->advance(100us);
    floor.end(look, "space", {clock->wall_now(), clock->wall_now()});
  }
}

TEST_CASE("after a dear look the next ones begin where it found the first job") {
  const auto clock = std::make_shared<ManualClock>();
  postgres::DueFloor floor(clock);
  const postgres::DueLook whole = floor.begin("space");
  clock->advance(50ms);
  const WallTime first = clock->wall_now();
  floor.end(whole, "space", {first, std::nullopt});
  const postgres::DueLook next = floor.begin("space");
  CHECK_FALSE(next.whole);
  CHECK(next.above[0] < first);
  CHECK(next.above[0] >= first - 1s);
  CHECK(next.above[1] == postgres::kAlways);  // nobody has looked there
  CHECK_FALSE(floor.begin_thorough("space").whole);
  CHECK(floor.until_whole() <= 1s);
  CHECK(floor.begin("other space").whole);
  clock->advance(1s);
  CHECK(floor.begin("space").whole);
}

TEST_CASE("a floor rises with what is found above it, and a whole look sets it anew") {
  const auto clock = std::make_shared<ManualClock>();
  postgres::DueFloor floor(clock);
  const WallTime begun = clock->wall_now();
  const auto look = [&](WallTime found) {
    const postgres::DueLook how = floor.begin("space");
    clock->advance(50ms);
    floor.end(how, "space", {found, found});
    return floor.begin("space").above[0];
  };
  const WallTime low = look(begun);
  const WallTime high = look(begun + 5s);
  CHECK(high > low);
  CHECK(look(begun) == high);
  clock->advance(1s);
  CHECK(look(begun - 1h) < low);
}

TEST_CASE("a late job is found at once when the whole look is affordable") {
  LateJob late(1ms);
  CHECK(late.claim() == 1);
}

TEST_CASE("a late job is found before a claim that looked above it says nothing") {
  LateJob late(5ms);
  CHECK(late.claim() == 1);
}

TEST_CASE("where whole looks are very dear a peek says when to look again") {
  LateJob late(100ms);
  CHECK(late.claim() == 0);
  const Peek peek = get(late.backend.store->peek(kSpace.id()));
  REQUIRE(peek.next_pending_due);
  CHECK(*peek.next_pending_due <= 10s);
  late.clock->advance(*peek.next_pending_due);
  CHECK(late.claim() == 1);
}
