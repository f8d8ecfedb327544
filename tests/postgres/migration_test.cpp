// Migrations of more than one step.
#include <catch2/catch.hpp>

#include <atomic>
#include <thread>
#include <vector>

#include "conformance/scene.hpp"
#include "embedjobs/postgres.hpp"
#include "support/raw_postgres.hpp"

using namespace embedjobs;
using namespace embedjobs::test;

namespace {

/// A schema as version 1 left it, with a document and a job: what later steps made is taken away.
struct OldSchema {
  TempSchema schema;
  RawPostgres sql;

  OldSchema() {
    get(get(open_postgres(schema.dsn(), {}, nullptr)).catalog->put(kKey, "document", kSpace.id()));
    const std::string at = " " + schema.name() + ".";
    sql.ask("DROP TABLE" + at + "workers; DROP FUNCTION" + at + "watch," + at + "unwatch," + at + "watch_apply," + at +
            "watch_apply_all," + at + "watch_columns," + at + "watch_changed," + at + "check_watchable; ALTER TABLE" +
            at + "providers DROP COLUMN input_bytes, DROP COLUMN stopped; UPDATE" + at +
            "schema_version SET version = 1");
  }
  std::string functions(const std::string& name) {
    return sql.ask("SELECT string_agg(proname, ',' ORDER BY proname) FROM pg_proc WHERE pronamespace = '" + name +
                   "'::regnamespace");
  }
};

}  // namespace

TEST_CASE("a schema of version 1 with data in it is brought up to date, by many at once") {
  OldSchema old;
  std::atomic<int> failed = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] { failed += open_postgres(old.schema.dsn(), {}, nullptr).ok() ? 0 : 1; });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  CHECK(failed == 0);
  const PostgresSchema schema = get(inspect_postgres(old.schema.dsn()));
  CHECK(schema.database_version == schema.library_version);
  const Backend backend = get(open_postgres(old.schema.dsn("&migrate=off"), {}, nullptr));
  CHECK(get(backend.catalog->resolve(kKey)).content == "document");
  CHECK(get(backend.store->counts()).pending == 1);
  ok(backend.store->register_worker({.worker_id = "w"}));
}

TEST_CASE("without the right to migrate an old schema is refused and stays") {
  OldSchema old;
  const Status status = open_postgres(old.schema.dsn("&migrate=off"), {}, nullptr).status();
  CHECK(status.code() == Code::kUnusable);
  CHECK(get(inspect_postgres(old.schema.dsn())).database_version == 1);
}

TEST_CASE("the printed steps lead from where the database stands to the same schema") {
  OldSchema old;
  TempSchema fresh;
  ok(open_postgres(fresh.dsn(), {}, nullptr).status());
  const std::string sql = get(postgres_migration_sql(old.schema.name(), 1));
  CHECK(sql.find("CREATE TABLE \"" + old.schema.name() + "\".workers") != std::string::npos);
  CHECK(sql.find("CREATE TABLE \"" + old.schema.name() + "\".jobs") == std::string::npos);
  old.sql.ask(sql);
  ok(open_postgres(old.schema.dsn("&migrate=off"), {}, nullptr).status());
  CHECK(old.functions(old.schema.name()) == old.functions(fresh.name()));
  CHECK(old.sql.error_of(sql).find("already exists") != std::string::npos);  // run twice, it changes nothing
  ok(open_postgres(old.schema.dsn("&migrate=off"), {}, nullptr).status());
}

TEST_CASE("a worker's entry is refreshed in place, without touching an index") {
  TempSchema schema;
  const Backend backend = get(open_postgres(schema.dsn(), {}, nullptr));
  RawPostgres sql;
  for (int i = 0; i < 500; ++i) {
    ok(backend.store->register_worker({.worker_id = "w", .host = "h"}));
  }
  CHECK(sql.ask("SELECT pg_relation_size('" + schema.name() + ".workers_pkey')") == "16384");
}
