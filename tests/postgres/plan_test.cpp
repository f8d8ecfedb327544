// The plans that decide what a claim costs: by index, on an empty, a small and a huge table.
#include <catch2/catch.hpp>

#include <algorithm>
#include <thread>

#include "conformance/scene.hpp"
#include "embedjobs/postgres.hpp"
#include "postgres/claim_plan.hpp"
#include "support/long_history.hpp"
#include "support/raw_postgres.hpp"

using namespace embedjobs;
using namespace embedjobs::test;

TEST_CASE("due jobs come from their index in its order, however many there are") {
  TempSchema schema;
  ok(open_postgres(schema.dsn(), {}, nullptr).status());
  RawPostgres server;
  const std::string jobs = schema.name() + ".jobs";
  const int rows = GENERATE(0, 50, 100'000);
  server.ask("INSERT INTO " + jobs +
             " (key_id, catalog_id, next_run_at, created_at, updated_at, generation, kind, status, priority) " +
             "SELECT i, 1, i, 0, 0, 1, 0, 0, i % 2 FROM generate_series(1, " + std::to_string(rows) + ") AS i");
  if (rows != 50) {
    server.ask("ANALYZE " + jobs);  // without it the planner guesses: that must do too
  }
  const std::string json = due_plan(server, schema.name());
  INFO(json);
  for (const std::string index : {"jobs_urgent", "jobs_patient"}) {
    CHECK(json.find("\"Index Name\": \"" + index + "\"") != std::string::npos);
  }
  CHECK(json.find("\"Sort\"") == std::string::npos);
  CHECK(json.find("\"Seq Scan\", \"Parent Relationship\": \"Outer\", \"Relation Name\": \"jobs\"") ==
        std::string::npos);
}

namespace {

/// Sessions tell what they have read when they end.
void wait_for_ends(RawPostgres& server) {
  while (server.ask("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'embedjobs'") != "0") {
    std::this_thread::sleep_for(10ms);
  }
}

/// Entries of the indices of a table, and its rows without an index, that were read since the server began; partitions
/// belong to their table.
long long entries_read(RawPostgres& server, const std::string& schema, const std::string& table) {
  return std::stoll(
      server.ask("SELECT (SELECT coalesce(sum(idx_tup_read), 0) FROM pg_stat_user_indexes WHERE schemaname = '" +
                 schema + "' AND relname ~ '^" + table +
                 "(_[0-9]+|_rest)?$') + (SELECT coalesce(sum(seq_tup_read), 0)"
                 " FROM pg_stat_user_tables WHERE schemaname = '" +
                 schema + "' AND relname ~ '^" + table + "(_[0-9]+|_rest)?$')"));
}

}  // namespace

TEST_CASE("a plan made while few jobs were open reads few when there are many") {
  TempSchema schema;
  RawPostgres server;
  constexpr int kMany = 20'000;
  {
    const Backend backend = get(open_postgres(schema.dsn("&poll_only=on&max_connections=1"), {}, nullptr));
    std::uint64_t nonce = 0;
    const auto cycle = [&] {
      (void)get(backend.store->enqueue(kKey, JobKind::kSpecWrite));
      const ClaimResult claimed =
          get(backend.store->claim({.worker_id = "w", .max_jobs = 1, .nonce = ++nonce, .space_id = kSpace.id()}));
      REQUIRE(claimed.leases.size() == 1);
      const LeaseRef lease = ref(claimed.leases[0]);
      CHECK(get(backend.store->renew(std::vector{lease}, 0s, 10s)) == std::vector{true});
      ok(backend.store->progress(lease, {.operation_count = 1}));
      (void)get(backend.store->settle(lease, {}));
    };
    const std::string filled = "INSERT INTO " + schema.name() + ".";
    server.ask(filled + "catalogs (name) VALUES ('catalog')");
    server.ask(filled + "keys (catalog_id, spec_name) SELECT 1, 'k' || i FROM generate_series(1, " +
               std::to_string(kMany) + ") AS i");
    cycle();
    server.ask("VACUUM ANALYZE " + schema.name() + ".jobs");
    server.ask("VACUUM ANALYZE " + schema.name() + ".leases");
    server.ask("VACUUM ANALYZE " + schema.name() + ".keys");
    cycle();
    // Many wait, due after the one of the next cycle; nobody tells the planner.
    server.ask(filled +
               "jobs (key_id, catalog_id, next_run_at, created_at, updated_at, generation, kind, status, priority) " +
               "SELECT i, 1, " + schema.name() + ".time_now() + 60000000000, 0, 0, 1, 0, 0, 0 " +
               "FROM generate_series(1, " + std::to_string(kMany) + ") AS i");  // reads none: what is read is counted
    cycle();
  }
  wait_for_ends(server);
  for (const std::string table : {"jobs", "keys", "leases"}) {
    INFO(table);
    CHECK(entries_read(server, schema.name(), table) < 1000);
  }
}

TEST_CASE("a worker's peek reads few of the jobs that wait") {
  TempSchema schema;
  RawPostgres server;
  constexpr int kMany = 20'000;
  const bool analyzed = GENERATE(false, true);
  {
    const Backend backend = get(open_postgres(schema.dsn("&poll_only=on&max_connections=1"), {}, nullptr));
    get(backend.catalog->put(kKey, "document", kSpace.id()));
    const std::string filled = "INSERT INTO " + schema.name() + ".";
    server.ask(filled + "keys (catalog_id, spec_name) SELECT 1, 'k' || i FROM generate_series(1, " +
               std::to_string(kMany) + ") AS i");
    REQUIRE(get(backend.store->claim({.worker_id = "w", .max_jobs = 1, .nonce = 1, .space_id = kSpace.id()}))
                .leases.size() == 1);
    server.ask(filled +
               "jobs (key_id, catalog_id, next_run_at, created_at, updated_at, generation, kind, status, priority) " +
               "SELECT k.id, 1, 1, 0, 0, 1, 0, 0, 1 FROM " + schema.name() + ".keys AS k WHERE k.spec_name LIKE 'k%'");
    if (analyzed) {
      server.ask("VACUUM ANALYZE " + schema.name() + ".jobs");
      server.ask("VACUUM ANALYZE " + schema.name() + ".leases");
    }
    for (int i = 0; i < 3; ++i) {
      const Peek peek = get(backend.store->peek(kSpace.id()));
      CHECK(peek.running);
      CHECK(peek.next_pending_due == 0s);
    }
  }
  wait_for_ends(server);
  CHECK(entries_read(server, schema.name(), "jobs") < 1000);
}

TEST_CASE("a page of specs reads few keys of a large catalog, or of others") {
  TempSchema schema;
  RawPostgres server;
  constexpr int kMany = 20'000;
  const std::string filled = "INSERT INTO " + schema.name() + ".";
  long long before = 0;
  {
    const Backend backend = get(open_postgres(schema.dsn("&poll_only=on&max_connections=1"), {}, nullptr));
    get(backend.catalog->put({"small", "last"}, "document", kSpace.id()));
    server.ask(filled + "catalogs (name) VALUES ('large'), ('none'), ('other')");
    server.ask(filled + "keys (catalog_id, spec_name, has_spec) SELECT c.id, 'k' || 100000 + i, true FROM " +
               schema.name() + ".catalogs AS c, generate_series(1, " + std::to_string(kMany) +
               ") AS i WHERE c.name = 'large' OR c.name = 'other' AND i < 3");
    server.ask(filled + "documents SELECT id, 'v', 'x' FROM " + schema.name() + ".keys WHERE spec_name <> 'last'");
    for (const std::string table : {"catalogs", "keys", "documents"}) {
      server.ask("VACUUM ANALYZE " + schema.name() + "." + table);
    }
    server.ask("SELECT pg_stat_force_next_flush()");
    before = entries_read(server, schema.name(), "keys");
    const SpecKey middle{"large", "k110000"};
    const SpecKey end{"large", "k119999"};
    const auto names = [](const auto& page) {
      std::string all;
      for (const auto& one : page) {
        all += one.key.catalog_id + "/" + one.key.spec_name + " ";
      }
      return all;
    };
    CHECK(names(get(backend.catalog->list(&middle, 2))) == "large/k110001 large/k110002 ");
    CHECK(names(get(backend.catalog->specs(std::nullopt, &middle, 2))) == "large/k110001 large/k110002 ");
    const std::string last = "large/k120000 other/k100001 other/k100002 small/last ";
    CHECK(names(get(backend.catalog->list(&end, 100))) == last);
    CHECK(names(get(backend.catalog->specs(std::nullopt, &end, 100))) == last);
    CHECK(names(get(backend.catalog->specs("small", nullptr, 100))) == "small/last ");
    CHECK(get(backend.catalog->list(nullptr, 500)).size() == 500);
    CHECK(get(backend.catalog->search_space_of("small")) == kSpace.id());
  }
  wait_for_ends(server);
  CHECK(entries_read(server, schema.name(), "keys") - before < 5000);
}

TEST_CASE("a host that enqueues many new specs in one session reads few keys for each") {
  TempSchema schema;
  ok(open_postgres(schema.dsn(), {}, nullptr).status());
  constexpr int kMany = 1000;
  RawPostgres().ask("SELECT count(e.job_id) FROM generate_series(1, " + std::to_string(kMany) + ") AS i, " +
                    schema.name() + ".enqueue('catalog', 'spec ' || i) AS e");
  RawPostgres server;
  const std::string told =
      "SELECT n_tup_ins FROM pg_stat_user_tables WHERE relname = 'keys' AND schemaname = '" + schema.name() + "'";
  while (server.ask(told) != std::to_string(kMany)) {
    std::this_thread::sleep_for(10ms);
  }
  CHECK(entries_read(server, schema.name(), "keys") < 20 * kMany);
}

TEST_CASE("a host whose session has seen small tables finds the rows of a large watched one by index") {
  TempSchema schema;
  ok(open_postgres(schema.dsn(), {}, nullptr).status());
  constexpr int kMany = 3000;
  {
    RawPostgres host;
    const std::string table = schema.name() + ".hosts";
    host.ask("CREATE TABLE " + table + " (id text PRIMARY KEY, body text); SELECT " + schema.name() + ".watch('" +
             table + "', 'catalog', ARRAY['id'], 'body')");
    for (int i = 0; i < 10; ++i) {
      host.ask("INSERT INTO " + table + " VALUES ('first " + std::to_string(i) + "', '1')");
    }
    host.ask("INSERT INTO " + table + " SELECT 'row ' || i, '1' FROM generate_series(1, " + std::to_string(kMany) +
             ") AS i");
    host.ask("UPDATE " + table + " SET body = '2'");
    host.ask("DELETE FROM " + table);
    host.ask("SELECT pg_stat_force_next_flush()");
  }
  RawPostgres server;
  CHECK(std::stoll(server.ask("SELECT sum(seq_tup_read) FROM pg_stat_user_tables WHERE schemaname = '" + schema.name() +
                              "' AND relname IN ('keys', 'jobs', 'documents')")) < kMany);
}

TEST_CASE("retention of what is left of days that are gone reads nothing of the days that are there") {
  TempSchema schema;
  RawPostgres server;
  const Backend backend = get(open_postgres(schema.dsn("&poll_only=on"), {}, nullptr));
  fill_history(server, schema.name(), 50'000, 100);
  server.ask("INSERT INTO " + schema.name() +
             ".history (id, key_id, catalog_id, next_run_at, created_at, updated_at, generation, kind, status, "
             "priority, completed_at)"
             " SELECT i, 1, 1, 0, 0, 0, 1, 0, 2, 0, i FROM generate_series(1, 30) AS i");
  server.ask("VACUUM ANALYZE " + schema.name() + ".history");
  server.ask("SELECT pg_stat_force_next_flush()");
  const long long before = entries_read(server, schema.name(), "history");
  CHECK(get(backend.store->purge(24h * 30, 20)) == 20);
  CHECK(get(backend.store->purge(24h * 30, 20)) == 10);
  while (server.ask("SELECT n_tup_del FROM pg_stat_user_tables WHERE relname = 'history_rest' AND schemaname = '" +
                    schema.name() + "'") != "30") {
    std::this_thread::sleep_for(10ms);
  }
  CHECK(entries_read(server, schema.name(), "history") - before < 1000);
  CHECK(get(backend.store->counts()).succeeded == 50'000 - 30);
}

TEST_CASE("lists of the newest jobs read few of a long history") {
  TempSchema schema;
  RawPostgres server;
  constexpr long long kHistory = 50'000;
  const std::vector<std::string> tables = {"history", "jobs", "keys"};
  std::vector<long long> before;
  {
    const Backend backend = get(open_postgres(schema.dsn("&poll_only=on"), {}, nullptr));
    fill_history(server, schema.name(), kHistory, 10'000);
    // As many wait as there are keys, and wait for longer than the history goes back.
    server.ask("INSERT INTO " + schema.name() +
               ".jobs (id, key_id, catalog_id, next_run_at, created_at, updated_at, generation, kind," +
               " status, priority) OVERRIDING SYSTEM VALUE SELECT -1000000 - k.id, k.id, k.catalog_id, 0, 0, 0, 1, 0, "
               "0, 0 FROM " +
               schema.name() + ".keys AS k WHERE k.spec_name <> 'filled 7'");
    (void)get(backend.store->enqueue({"catalog", "filled 7"}, JobKind::kSpecWrite));
  }
  wait_for_ends(server);
  server.ask("SELECT pg_stat_force_next_flush()");  // what this session read too
  for (const std::string& table : tables) {
    before.push_back(entries_read(server, schema.name(), table));
  }
  {
    const Backend backend = get(open_postgres(schema.dsn("&poll_only=on"), {}, nullptr));
    const auto listed = [&](const JobFilter& filter) {
      const std::vector<Job> jobs = get(backend.store->list(filter));
      CHECK(std::is_sorted(jobs.begin(), jobs.end(), [](const Job& a, const Job& b) { return a.id > b.id; }));
      return jobs;
    };
    const std::vector<Job> all = listed({.limit = 10});
    REQUIRE(all.size() == 10);
    CHECK(all[0].key.spec_name == "filled 7");
    CHECK(all[0].status == JobStatus::kPending);
    CHECK(all[1].key.spec_name == "filled 0");
    CHECK(listed({.catalog_id = "catalog", .limit = 10}).size() == 10);
    CHECK(listed({.status = JobStatus::kSucceeded, .limit = 10}).size() == 10);
    CHECK(listed({.status = JobStatus::kFailed, .limit = 10}).size() == 10);
    CHECK(listed({.spec_name = "filled 7", .limit = 10}).size() == 6);
    CHECK(listed({.catalog_id = "catalog", .spec_name = "filled 7", .limit = 10}).size() == 6);
    CHECK(get(backend.store->last_jobs(std::vector{SpecKey{"catalog", "filled 7"}, SpecKey{"catalog", "filled 8"}}))
              .size() == 2);
  }
  wait_for_ends(server);
  for (std::size_t i = 0; i < tables.size(); ++i) {
    INFO(tables[i]);
    CHECK(entries_read(server, schema.name(), tables[i]) - before[i] < 1000);
  }
}
