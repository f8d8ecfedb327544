// The history has a partition a day, and retention drops days.
#include <catch2/catch.hpp>

#include "conformance/scene.hpp"
#include "embedjobs/postgres.hpp"
#include "support/raw_postgres.hpp"

using namespace embedjobs;
using namespace embedjobs::test;

namespace {

struct Days {
  TempSchema schema;
  std::shared_ptr<ManualClock> clock = std::make_shared<ManualClock>();
  Backend backend = get(open_postgres(schema.dsn("&poll_only=on"), options(), clock));
  RawPostgres sql;

  static PostgresOptions options() {
    PostgresOptions postgres;
    postgres.use_clock = true;
    return postgres;
  }
  Store& store() { return *backend.store; }
  std::string partitions() {
    return sql.ask("SELECT count(*) FROM pg_inherits WHERE inhparent = '" + schema.name() + ".history'::regclass");
  }
  std::string rest() { return sql.ask("SELECT count(*) FROM " + schema.name() + ".history_rest"); }
  std::string in_days() {
    return sql.ask("SELECT count(*) FROM " + schema.name() + ".history WHERE tableoid <> '" + schema.name() +
                   ".history_rest'::regclass");
  }
  JobId end(const SpecKey& key, OutcomeKind kind = OutcomeKind::kComplete) {
    (void)get(store().enqueue(key, JobKind::kSpecWrite));
    const ClaimResult claimed =
        get(store().claim({.worker_id = "w", .max_jobs = 1, .nonce = ++nonce, .space_id = kSpace.id()}));
    REQUIRE(claimed.leases.size() == 1);
    (void)get(store().settle(ref(claimed.leases[0]), {.kind = kind, .error = "broken"}));
    return claimed.leases[0].job.id;
  }
  std::uint64_t nonce = 0;
};

}  // namespace

TEST_CASE("jobs that end go to the partition of their day") {
  Days days;
  CHECK(get(days.store().purge(48h, 10)) == 0);  // makes the days of this clock
  days.end(kKey);
  CHECK(days.in_days() == "1");
  CHECK(days.rest() == "0");
}

TEST_CASE("a day that is old enough is dropped whole, and counted") {
  Days days;
  CHECK(get(days.store().purge(48h, 10)) == 0);
  for (int i = 0; i < 5; ++i) {
    days.end({"catalog", std::to_string(i)});
  }
  days.clock->advance(47h);
  CHECK(get(days.store().purge(48h, 1)) == 0);
  const std::string before = days.partitions();
  days.clock->advance(49h);
  CHECK(get(days.store().purge(48h, 1)) == 5);
  CHECK(get(days.store().counts()).succeeded == 0);
  CHECK(days.in_days() == "0");
  INFO(before << " " << days.partitions());
  CHECK_FALSE(get(days.store().last_jobs(std::vector<SpecKey>{{"catalog", "0"}}))[0].has_value());
}

TEST_CASE("failed jobs that retention keeps outlive their day") {
  Days days;
  CHECK(get(days.store().purge(48h, 10)) == 0);
  const JobId first = days.end(kKey, OutcomeKind::kFail);
  const JobId second = days.end(kKey, OutcomeKind::kFail);
  const JobId done = days.end(kOtherKey);
  days.clock->advance(100h);
  CHECK(get(days.store().purge(48h, 10)) == 1);
  CHECK(days.store().get(done).status().code() == Code::kNotFound);
  CHECK(get(days.store().get(first)).status == JobStatus::kFailed);
  CHECK(days.rest() == "2");
  ok(days.store().resolve_failure(kKey));
  CHECK(get(days.store().purge(48h, 10)) == 1);
  CHECK(get(days.store().get(second)).status == JobStatus::kFailed);
  CHECK(get(days.store().counts()).failed == 1);
}

TEST_CASE("who reads the history holds up its retention, and nobody else") {
  Days days;
  CHECK(get(days.store().purge(48h, 10)) == 0);
  days.end(kKey);
  days.clock->advance(100h);
  RawPostgres reader;
  reader.ask("BEGIN ISOLATION LEVEL REPEATABLE READ");
  reader.ask("SELECT count(*) FROM " + days.schema.name() + ".all_jobs");
  CHECK(get(days.store().purge(48h, 10)) == 0);
  days.end(kOtherKey);
  reader.ask("COMMIT");
  CHECK(get(days.store().purge(48h, 10)) == 1);
}
