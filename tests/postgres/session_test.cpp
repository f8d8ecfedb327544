// Sessions: settings of the database that must not matter, connections that end, limits that hold.
#include <sys/wait.h>
#include <unistd.h>
#include <catch2/catch.hpp>

#include <atomic>
#include <thread>

#include "conformance/scene.hpp"
#include "embedjobs/postgres.hpp"
#include "postgres/client/connection.hpp"
#include "postgres/database.hpp"
#include "support/raw_postgres.hpp"

using namespace embedjobs;
using namespace embedjobs::test;

namespace {

/// A pass from put to complete.
void index_one(const Backend& backend, const SpecKey& key, std::uint64_t nonce) {
  get(backend.catalog->put(key, "document " + key.spec_name, kSpace.id()));
  const ClaimResult claimed =
      get(backend.store->claim({.worker_id = "w", .max_jobs = 1, .nonce = nonce, .space_id = kSpace.id()}));
  REQUIRE(claimed.leases.size() == 1);
  const Lease& lease = claimed.leases[0];
  const PassContext context{.key = lease.job.key,
                            .job_id = lease.job.id,
                            .fence = lease.job.fence,
                            .space = kSpace,
                            .epoch = lease.state.epoch,
                            .content_version = "v"};
  const Ops ops{{"a", "text of " + lease.job.key.spec_name}, {"b", "shared"}};
  get(backend.catalog->reserve(context, std::vector{hash_text("shared")}, {}));
  ok(backend.catalog->persist_batch(context, Rows(ops, kSpace).all()));
  ok(backend.catalog->finalize(context, manifest_of(ops)));
  CHECK(get(backend.store->settle(ref(lease), {})) == JobStatus::kSucceeded);
}

}  // namespace

TEST_CASE("a pass works whatever the database's defaults are, and without prepared statements") {
  TempSchema schema;
  const std::string settings =
      GENERATE(std::string(), "&options=-c%20default_transaction_isolation%3Dserializable",
               "&options=-c%20synchronous_commit%3Doff", "&options=-c%20default_transaction_read_only%3Don",
               "&options=-c%20search_path%3Dnowhere", "&options=-c%20bytea_output%3Descape",
               "&options=-c%20standard_conforming_strings%3Doff", "&client_encoding=LATIN1",
               "&options=-c%20lock_timeout%3D1%20-c%20TimeZone%3DAsia%2FTokyo%20-c%20DateStyle%3DGerman",
               "&options=-c%20statement_timeout%3D1", "&prepared_statements=off");
  INFO(settings);
  ok(open_postgres(schema.dsn(), {}, nullptr).status());
  const Backend backend = get(open_postgres(schema.dsn(settings), {}, nullptr));
  for (std::uint64_t i = 1; i <= 3; ++i) {
    index_one(backend, {"catalog", "h\xc3\xa9llo " + std::to_string(i)}, i);
  }
  CHECK(get(backend.store->counts()).succeeded == 3);
  CHECK(RawPostgres().ask("SELECT count(*) FROM " + schema.name() + ".keys WHERE spec_name ~ '^h.llo .$'") == "3");
}

TEST_CASE("what stands before pg_catalog in the search_path is not called, by worker, migration or enqueue") {
  TempSchema schema;
  RawPostgres sql;
  const std::string evil = "evil_" + schema.name();
  sql.ask("CREATE SCHEMA " + evil + "; CREATE FUNCTION " + evil +
          ".f(bigint, bigint) RETURNS boolean LANGUAGE plpgsql AS $$BEGIN"
          " RAISE 'evil'; END$$; CREATE OPERATOR " +
          evil + ".= (LEFTARG = bigint, RIGHTARG = bigint, FUNCTION = " + evil +
          ".f);"
          " CREATE FUNCTION " +
          evil + ".clock_timestamp() RETURNS timestamptz LANGUAGE plpgsql AS $$BEGIN RAISE 'evil'; END$$");
  {
    const Backend backend =
        get(open_postgres(schema.dsn("&options=-c%20search_path%3D" + evil + ",pg_catalog"), {}, nullptr));
    index_one(backend, kKey, 1);
    sql.ask("SET search_path = " + evil + ", pg_catalog; SELECT " + schema.name() + ".enqueue('catalog', 'spec')");
    CHECK(get(backend.store->counts()).pending == 1);
  }
  sql.ask("RESET search_path; DROP SCHEMA " + evil + " CASCADE");
}

TEST_CASE("stamps and leases are by the server's clock") {
  TempSchema schema;
  const Backend backend = get(open_postgres(schema.dsn(), {}, std::make_shared<ManualClock>()));  // of another decade
  get(backend.store->enqueue(kKey, JobKind::kSpecWrite));
  const Lease lease =
      get(backend.store->claim({.worker_id = "w", .max_jobs = 1, .nonce = 7, .space_id = kSpace.id()})).leases.at(0);
  RawPostgres server;
  const auto now = std::stoll(server.ask("SELECT (extract(epoch FROM clock_timestamp()) * 1000000000)::bigint"));
  CHECK(std::abs(lease.job.started_at.time_since_epoch().count() - now) < 60'000'000'000);
  CHECK(lease.job.lease_expires_at - lease.job.started_at == 10min);
}

TEST_CASE("connections that the server ended are replaced before a call notices") {
  TempSchema schema;
  const Backend backend = get(open_postgres(schema.dsn("&poll_only=on"), {}, nullptr));
  RawPostgres server;
  for (std::uint64_t i = 1; i <= 5; ++i) {
    index_one(backend, {"catalog", std::to_string(i)}, i);
    server.ask(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type "
        "= 'client "
        "backend'");
  }
  CHECK(get(backend.store->counts()).succeeded == 5);
}

TEST_CASE("more threads than connections share them; nobody fails") {
  TempSchema schema;
  const Backend backend = get(open_postgres(schema.dsn("&max_connections=2"), {}, nullptr));
  std::atomic<int> failed = 0;
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 6; ++thread) {
    threads.emplace_back([&, thread] {
      for (int i = 0; i < 20; ++i) {
        failed +=
            backend.store->enqueue({"catalog", std::to_string(thread * 100 + i)}, JobKind::kSpecWrite).ok() ? 0 : 1;
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  CHECK(failed == 0);
  CHECK(get(backend.store->counts()).pending == 120);
  CHECK(std::stoi(RawPostgres().ask("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'embedjobs'")) <=
        2);
}

TEST_CASE("a call that waits for a lock ends in time, and a renewal within its own limit") {
  TempSchema schema;
  PostgresOptions hurried;
  hurried.call_timeout = 700ms;
  const Backend backend = get(open_postgres(schema.dsn(), hurried, nullptr));
  get(backend.store->enqueue(kKey, JobKind::kSpecWrite));
  const Lease lease =
      get(backend.store->claim({.worker_id = "w", .max_jobs = 1, .nonce = 7, .space_id = kSpace.id()})).leases.at(0);
  RawPostgres host;
  host.ask("BEGIN; LOCK TABLE " + schema.name() + ".keys, " + schema.name() + ".leases IN ACCESS EXCLUSIVE MODE");
  const auto begun = std::chrono::steady_clock::now();
  CHECK(backend.store->enqueue(kKey, JobKind::kSpecWrite).status().code() == Code::kRetry);
  CHECK(backend.store->renew(std::vector{ref(lease)}, 0s, 300ms).status().code() == Code::kRetry);
  CHECK(std::chrono::steady_clock::now() - begun < 20s);
  host.ask("COMMIT");
  CHECK(get(backend.store->renew(std::vector{ref(lease)}, 0s, 10s)) == std::vector{true});
  get(backend.store->enqueue(kKey, JobKind::kSpecWrite));
}

TEST_CASE("a commit whose answer is lost took effect, and the same call finds it") {
  TempSchema schema;
  std::atomic<bool> lose = false;
  PostgresOptions options;
  options.commit_fault = [&](bool committed) {
    return committed && lose.exchange(false) ? Status(Code::kRetry, "lost") : Status();
  };
  const Backend backend = get(open_postgres(schema.dsn(), options, nullptr));
  get(backend.store->enqueue(kKey, JobKind::kSpecWrite));
  const ClaimRequest request{.worker_id = "w", .max_jobs = 1, .nonce = 7, .space_id = kSpace.id()};
  lose = true;
  CHECK(backend.store->claim(request).status().code() == Code::kRetry);
  const ClaimResult again = get(backend.store->claim(request));
  REQUIRE(again.leases.size() == 1);
  CHECK(again.leases[0].job.fence.counter == 1);
  lose = true;
  CHECK(backend.store->settle(ref(again.leases[0]), {}).status().code() == Code::kRetry);
  CHECK(get(backend.store->settle(ref(again.leases[0]), {})) == JobStatus::kSucceeded);
}

TEST_CASE("a forked child is refused, and the parent goes on") {
  TempSchema schema;
  const Backend backend = get(open_postgres(schema.dsn("&poll_only=on"), {}, nullptr));
  const pid_t child = ::fork();
  if (child == 0) {
    const bool refused = backend.store->counts().status().code() == Code::kRefused &&
                         backend.store->enqueue(kKey, JobKind::kSpecWrite).status().code() == Code::kRefused;
    ::_exit(refused ? 0 : 1);
  }
  int status = -1;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
  get(backend.store->enqueue(kKey, JobKind::kSpecWrite));
}

TEST_CASE("a sweep that can't be alone gives up soon, for all chunks wait behind it") {
  TempSchema schema;
  const Backend backend = get(open_postgres(schema.dsn(), {}, nullptr));
  index_one(backend, kKey, 1);
  RawPostgres frozen;
  frozen.ask("BEGIN; SELECT pg_advisory_xact_lock_shared(" +
             std::to_string(postgres::advisory_key(schema.name(), "sweep")) + ")");
  const Status swept = backend.catalog->sweep(0s, 100).status();
  CHECK(swept.code() == Code::kRetry);
  CHECK_THAT(swept.message(), Catch::Contains("lock timeout"));
  frozen.ask("ROLLBACK");
  get(backend.catalog->sweep(0s, 100));
}

TEST_CASE("a statement that an error kept from being prepared is prepared the next time") {
  const postgres::Dsn dsn = get(postgres::parse_dsn(postgres_server(), {}));
  const auto deadline = postgres::deadline_in(30s);
  const auto connection = get(postgres::Connection::open(dsn.parameters, dsn.options, deadline));
  constexpr const char *kBegin = "BEGIN", *kFails = "SELECT 1/0", *kFirst = "SELECT 1::bigint",
                       *kSecond = "SELECT 2::bigint";
  connection->run_later(kBegin);
  connection->run_later(kFails);
  CHECK(connection->value_or(0, kFirst) == 0);
  CHECK_FALSE(connection->take_error().ok());
  connection->rollback();
  CHECK(connection->value_or(0, kSecond) == 2);
  CHECK(connection->value_or(0, kFirst) == 1);
  CHECK(connection->ok());
}
