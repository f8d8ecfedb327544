// A host's table that is watched: its rows are the specs of a catalog.
#include <catch2/catch.hpp>

#include <functional>
#include <thread>

#include "embedjobs/engine.hpp"
#include "postgres/host.hpp"

using namespace embedjobs;
using namespace embedjobs::test;

namespace {

struct WatchedHost : Host {
  std::string table = "host_" + schema.name() + ".\"My Docs\"";

  WatchedHost() {
    sql.ask("CREATE SCHEMA host_" + schema.name() + "; CREATE TABLE " + table +
            " (\"the id\" text PRIMARY KEY, body jsonb, note text)");
  }
  ~WatchedHost() { sql.ask("DROP SCHEMA host_" + schema.name() + " CASCADE"); }
  WatchedHost(const WatchedHost&) = delete;
  WatchedHost& operator=(const WatchedHost&) = delete;

  std::string watch_call(const std::string& more = "") const {
    return "SELECT " + schema.name() + ".watch('" + table + "', 'catalog', ARRAY['the id'], 'body'" + more + ")";
  }
  std::string watch(const std::string& more = "") { return sql.ask(watch_call(more)); }
  /// "name=generation" of each spec that has a document, in order.
  std::string specs() {
    std::string all;
    for (const SpecInfo& info : get(backend.catalog->specs("catalog", nullptr, 1000))) {
      all += info.key.spec_name + "=" + std::to_string(info.generation) + " ";
    }
    return all;
  }
  std::string content(const std::string& spec) { return get(backend.catalog->resolve({"catalog", spec})).content; }
};

}  // namespace

TEST_CASE("insert, update and delete of a watched row put and remove its spec") {
  WatchedHost host;
  host.watch();
  host.sql.ask("INSERT INTO " + host.table + " VALUES ('a', '{\"n\": 1}'), ('b', '2'), ('none', NULL)");
  CHECK(host.specs() == "a=1 b=1 ");
  CHECK(host.content("a") == "{\"n\": 1}");
  host.sql.ask("UPDATE " + host.table + " SET body = '3' WHERE \"the id\" = 'a'");
  CHECK(host.content("a") == "3");
  CHECK(host.specs() == "a=2 b=1 ");
  host.sql.ask("UPDATE " + host.table + " SET note = 'other'");
  CHECK(host.specs() == "a=2 b=1 ");
  host.sql.ask("UPDATE " + host.table + " SET body = NULL WHERE \"the id\" = 'b'");
  CHECK(host.specs() == "a=2 ");
  host.sql.ask("DELETE FROM " + host.table);
  CHECK(host.specs().empty());
  CHECK(get(host.backend.store->counts()).cancelled == 2);
}

TEST_CASE("a changed name removes the old spec and puts the new; names may be swapped") {
  WatchedHost host;
  host.watch();
  host.sql.ask("INSERT INTO " + host.table + " VALUES ('a', '1'), ('b', '2')");
  host.sql.ask("UPDATE " + host.table + " SET \"the id\" = 'c' WHERE \"the id\" = 'a'");
  CHECK(host.specs() == "b=1 c=1 ");
  host.sql.ask("ALTER TABLE " + host.table + " DROP CONSTRAINT \"My Docs_pkey\", ADD UNIQUE (\"the id\") DEFERRABLE");
  host.sql.ask("UPDATE " + host.table + " SET \"the id\" = CASE \"the id\" WHEN 'b' THEN 'c' ELSE 'b' END");
  CHECK(host.content("b") == "1");
  CHECK(host.content("c") == "2");
}

TEST_CASE("a name that a new row takes before the old one leaves it keeps the new row's document") {
  WatchedHost host;
  host.sql.ask("ALTER TABLE " + host.table +
               " DROP CONSTRAINT \"My Docs_pkey\", ADD UNIQUE (\"the id\") DEFERRABLE INITIALLY DEFERRED");
  host.watch();
  host.sql.ask("INSERT INTO " + host.table + " VALUES ('a', '1')");
  host.sql.ask("BEGIN; INSERT INTO " + host.table + " VALUES ('a', '2'); SAVEPOINT s; DELETE FROM " + host.table +
               " WHERE body = '1'; RELEASE s; COMMIT");
  CHECK(host.specs() == "a=2 ");
  CHECK(host.content("a") == "2");
  host.sql.ask("DELETE FROM " + host.table);
  CHECK(host.specs().empty());
}

TEST_CASE("one statement that deletes and inserts a row leaves the new one's document, whichever trigger fires first") {
  WatchedHost host;
  host.watch();
  host.sql.ask("INSERT INTO " + host.table + " VALUES ('a', '1'), ('b', '1')");
  const std::string gone = "WITH gone AS (DELETE FROM " + host.table + " WHERE \"the id\" = ";
  const std::string back = " RETURNING \"the id\") INSERT INTO " + host.table + " SELECT \"the id\", '2' FROM gone";
  host.sql.ask(gone + "'a'" + back);
  host.sql.ask(gone + "'b'" + back + " LIMIT 1");
  CHECK(host.content("a") == "2");
  CHECK(host.content("b") == "2");
}

TEST_CASE("a row that a trigger of the table's own writes again has the document that it has in the end") {
  WatchedHost host;
  host.watch();
  const std::string function = "host_" + host.schema.name() + ".more";
  host.sql.ask("CREATE FUNCTION " + function + "() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN UPDATE " + host.table +
               " SET body = to_jsonb((NEW.body #>> '{}') || '!') WHERE \"the id\" = NEW.\"the id\" AND body::text NOT "
               "LIKE '%!\"'; RETURN "
               "NULL; END$$");
  host.sql.ask("CREATE TRIGGER more AFTER INSERT OR UPDATE ON " + host.table + " FOR EACH ROW EXECUTE FUNCTION " +
               function + "()");
  host.sql.ask("INSERT INTO " + host.table + " VALUES ('a', '\"one\"')");
  CHECK(host.content("a") == "\"one!\"");
  host.sql.ask("UPDATE " + host.table + " SET body = '\"two\"'");
  CHECK(host.content("a") == "\"two!\"");
  host.sql.ask("BEGIN; UPDATE " + host.table + " SET body = '\"three\"'; UPDATE " + host.table +
               " SET body = '\"four!\"'; COMMIT");
  CHECK(host.content("a") == "\"four!\"");
  host.sql.ask("BEGIN; UPDATE " + host.table + " SET body = '\"five!\"'; DELETE FROM " + host.table + "; COMMIT");
  CHECK(host.specs().empty());
}

TEST_CASE("truncate removes all, and an upsert is followed") {
  WatchedHost host;
  host.watch();
  host.sql.ask("INSERT INTO " + host.table + " VALUES ('a', '1'), ('b', '2')");
  host.sql.ask("INSERT INTO " + host.table +
               " VALUES ('a', '5'), ('c', '6') ON CONFLICT (\"the id\") DO UPDATE SET body = EXCLUDED.body");
  CHECK(host.content("a") == "5");
  CHECK(host.specs() == "a=2 b=1 c=1 ");
  host.sql.ask("TRUNCATE " + host.table);
  CHECK(host.specs().empty());
}

TEST_CASE("rows that are there already are put once; rolled back, nothing has happened") {
  WatchedHost host;
  host.sql.ask("INSERT INTO " + host.table + " VALUES ('a', '1'), ('b', NULL)");
  host.sql.ask("BEGIN");
  CHECK(host.watch() == "1");
  host.sql.ask("ROLLBACK");
  CHECK(host.specs().empty());
  host.watch(", existing => false");
  CHECK(host.specs().empty());
  CHECK(host.sql.ask("SELECT " + host.schema.name() + ".unwatch('" + host.table + "')") == "t");
  CHECK(host.sql.ask("SELECT " + host.schema.name() + ".unwatch('" + host.table + "')") == "f");
  host.watch();
  CHECK(host.specs() == "a=1 ");
  host.sql.ask("BEGIN; UPDATE " + host.table + " SET body = '2'; ROLLBACK");
  CHECK(host.content("a") == "1");
}

TEST_CASE("a name that is none fails the statement, or is skipped where that was asked for") {
  WatchedHost host;
  const std::string bad = "INSERT INTO " + host.table + " VALUES ('', '1'), ('good', '2')";
  host.watch();
  CHECK(host.sql.error_of(bad).find("bad_names") != std::string::npos);
  CHECK(host.sql.ask("SELECT count(*) FROM " + host.table) == "0");
  host.sql.ask("SELECT " + host.schema.name() + ".unwatch('" + host.table + "')");
  host.watch(", bad_names => 'skip'");
  host.sql.ask(bad);
  CHECK(host.specs() == "good=1 ");
  host.sql.ask("DELETE FROM " + host.table);
  CHECK(host.specs().empty());
}

TEST_CASE("what can't be watched is refused with a reason") {
  WatchedHost host;
  const std::string in = "host_" + host.schema.name() + ".";
  const auto refusal = [&](const std::string& table, const std::string& names, const std::string& content) {
    return host.sql.error_of("SELECT " + host.schema.name() + ".watch('" + in + table + "', 'other', " + names + ", '" +
                             content + "')");
  };
  host.sql.ask("CREATE TABLE " + in + "parts (id int PRIMARY KEY, body text) PARTITION BY RANGE (id)");
  host.sql.ask("CREATE TYPE " + in + "mood AS ENUM ('sad'); CREATE TABLE " + in + "t (id int, body text, m " + in +
               "mood, n int)");
  CHECK(refusal("parts", "ARRAY['id']", "body").find("ordinary table") != std::string::npos);
  CHECK(refusal("t", "ARRAY['id']", "body").find("unique") != std::string::npos);
  host.sql.ask("ALTER TABLE " + in + "t ADD UNIQUE (id)");
  CHECK(refusal("t", "ARRAY['nothere']", "body").find("no column") != std::string::npos);
  CHECK(refusal("t", "ARRAY['m','id']", "body").find("built-in") != std::string::npos);
  CHECK(refusal("t", "ARRAY['id']", "n").find("must be text") != std::string::npos);
  CHECK_FALSE(refusal("t", "ARRAY[]::text[]", "body").empty());
  CHECK_FALSE(refusal("t", "NULL", "body").empty());
  host.sql.ask("CREATE UNLOGGED TABLE " + in + "unlogged (id int PRIMARY KEY, body text)");
  CHECK(refusal("unlogged", "ARRAY['id']", "body").find("logged") != std::string::npos);
  host.sql.ask("BEGIN ISOLATION LEVEL REPEATABLE READ");
  CHECK(refusal("t", "ARRAY['id']", "body").find("READ COMMITTED") != std::string::npos);
  host.sql.ask("ROLLBACK");
  host.watch();
  CHECK(host.sql.error_of(host.watch_call()).find("already") != std::string::npos);
}

TEST_CASE("the owner of a table needs the functions that the documentation names, and no more") {
  WatchedHost host;
  const std::string role = "watcher_" + host.schema.name();
  std::string functions;
  for (const std::string name : {"watch", "unwatch", "watch_columns", "watch_apply", "watch_apply_all", "watch_changed",
                                 "check_watchable", "check_name", "check_space", "is_name"}) {
    functions += (functions.empty() ? "" : ", ") + host.schema.name() + "." + name;
  }
  host.sql.ask("CREATE ROLE " + role + "; GRANT USAGE ON SCHEMA " + host.schema.name() + " TO " + role +
               "; GRANT EXECUTE ON FUNCTION " + functions + " TO " + role + "; CREATE SCHEMA AUTHORIZATION " + role +
               "; SET ROLE " + role + "; CREATE TABLE " + role + ".t (id text PRIMARY KEY, body text); INSERT INTO " +
               role + ".t VALUES ('a', '1'), ('b', '2')");
  CHECK(host.call("watch('" + role + ".t', 'catalog', ARRAY['id'], 'body', '8/model')") == "2");
  host.sql.ask("DELETE FROM " + role + ".t WHERE id = 'a'; UPDATE " + role + ".t SET body = '3'");
  CHECK(host.call("unwatch('" + role + ".t')") == "t");
  host.sql.ask("RESET ROLE");
  CHECK(host.specs() == "b=2 ");
  // Where a policy hides rows from their owner too, the rest is not taken for all.
  host.sql.ask("ALTER TABLE " + role + ".t ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY; CREATE POLICY p ON " +
               role + ".t USING (id = 'a'); SET ROLE " + role);
  CHECK(host.error("watch('" + role + ".t', 'catalog', ARRAY['id'], 'body')").find("row-level security") !=
        std::string::npos);
  host.sql.ask("RESET ROLE; DROP OWNED BY " + role + " CASCADE; DROP ROLE " + role);
}

TEST_CASE("a trigger made by hand can't have a view read with the rights of the schema's owner") {
  WatchedHost host;
  const std::string role = "maker_" + host.schema.name();
  const std::string in = role + ".";
  const std::string ours = host.schema.name() + ".";
  host.sql.ask("CREATE ROLE " + role + "; GRANT USAGE ON SCHEMA " + host.schema.name() + " TO " + role +
               "; GRANT EXECUTE ON FUNCTION " + ours + "watch, " + ours + "watch_columns, " + ours + "watch_apply, " +
               ours + "watch_changed TO " + role + "; CREATE SCHEMA AUTHORIZATION " + role + "; SET ROLE " + role);
  host.sql.ask("CREATE TABLE " + in + "t (id text, body text); CREATE FUNCTION " + in +
               "f() RETURNS text LANGUAGE plpgsql AS $$BEGIN"
               " RAISE 'it ran as %', current_user; END$$; CREATE TEMPORARY VIEW new_rows AS SELECT " +
               in + "f() AS id, 'x'::text AS body");
  host.sql.ask("CREATE TRIGGER mine AFTER INSERT ON " + in + "t FOR EACH STATEMENT EXECUTE FUNCTION " + ours +
               "watch_changed('catalog', '', 'error', 'body', 'id')");
  const std::string error = host.sql.error_of("INSERT INTO " + in + "t VALUES ('a', '1')");
  CHECK(error.find("not made by watch") != std::string::npos);
  CHECK(error.find("it ran") == std::string::npos);
  host.sql.ask("RESET ROLE; DROP OWNED BY " + role + " CASCADE; DROP ROLE " + role);
}

TEST_CASE("names are those whose text is the same in every session, and no two rows have one") {
  WatchedHost host;
  const std::string in = "host_" + host.schema.name() + ".";
  const auto watch = [&](const std::string& names, const std::string& catalog) {
    return host.sql.error_of("SELECT " + host.schema.name() + ".watch('" + in + "t', '" + catalog + "', " + names +
                             ", 'body')");
  };
  host.sql.ask(
      "CREATE TABLE " + in +
      "t (at timestamptz UNIQUE, f float8 UNIQUE, a text COLLATE \"POSIX\", b text, body text, UNIQUE (a, b))");
  CHECK(watch("ARRAY['at']", "c").find("must be") != std::string::npos);
  CHECK(watch("ARRAY['f']", "c").find("must be") != std::string::npos);
  CHECK(watch("ARRAY['a', 'b']", "catalog").empty());
  host.sql.ask("INSERT INTO " + in + "t (a, b, body) VALUES ('x', 'y/z', '1')");
  CHECK(host.specs() == "x/y/z=1 ");
  CHECK(host.sql.error_of("INSERT INTO " + in + "t (a, b, body) VALUES ('x/y', 'z', '2')").find("slash") !=
        std::string::npos);
  CHECK(host.content("x/y/z") == "1");
}

TEST_CASE("only the owner of a table may have it watched; its writers need no right of ours") {
  WatchedHost host;
  const std::string role = "writer_" + host.schema.name();
  const std::string in = "host_" + host.schema.name();
  host.sql.ask("CREATE ROLE " + role + "; GRANT USAGE ON SCHEMA " + in + " TO " + role + "; GRANT ALL ON " +
               host.table + " TO " + role);
  host.sql.ask("SET ROLE " + role);
  CHECK_FALSE(host.sql.error_of(host.watch_call()).empty());
  host.sql.ask("RESET ROLE; GRANT USAGE ON SCHEMA " + host.schema.name() + " TO " + role);
  host.sql.ask("GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA " + host.schema.name() + " TO " + role + "; SET ROLE " + role);
  CHECK(host.sql.error_of(host.watch_call()).find("owner") != std::string::npos);
  host.sql.ask("RESET ROLE; REVOKE ALL ON ALL FUNCTIONS IN SCHEMA " + host.schema.name() + " FROM " + role);
  host.sql.ask("REVOKE ALL ON SCHEMA " + host.schema.name() + " FROM " + role);
  host.watch();
  host.sql.ask("SET ROLE " + role);
  host.sql.ask("INSERT INTO " + host.table + " VALUES ('a', '1')");
  host.sql.ask("RESET ROLE; DROP OWNED BY " + role + "; DROP ROLE " + role);
  CHECK(host.specs() == "a=1 ");
}

TEST_CASE("two writers of overlapping rows both succeed") {
  WatchedHost host;
  host.watch();
  host.sql.ask("INSERT INTO " + host.table + " SELECT 'r' || i, '0' FROM generate_series(1, 60) AS i");
  const auto write = [&](const std::string& order, int from) {
    RawPostgres sql;
    for (int i = 0; i < 15; ++i) {  // the host's own row locks in one order, as a careful host takes them
      sql.ask("WITH mine AS (SELECT ctid FROM " + host.table + " WHERE substr(\"the id\", 2)::int BETWEEN " +
              std::to_string(from) + " AND " + std::to_string(from + 39) + " ORDER BY \"the id\" FOR UPDATE) UPDATE " +
              host.table + " SET body = to_jsonb('" + order + std::to_string(i) +
              "'::text) WHERE ctid IN (SELECT ctid FROM mine)");
    }
  };
  std::string error;
  std::thread other([&] {
    try {
      write("x", 1);
    } catch (const std::exception& failed) {
      error = failed.what();
    }
  });
  write("y", 21);
  other.join();
  CHECK(error.empty());
  CHECK(host.sql.ask("SELECT count(*) FROM " + host.table + " AS t JOIN " + host.schema.name() +
                     ".keys AS k ON k.spec_name = t.\"the id\" JOIN " + host.schema.name() +
                     ".documents AS d ON d.key_id = k.id WHERE convert_from(d.content, 'UTF8') = t.body::text") ==
        "60");
}

TEST_CASE("keys are locked in the order of their ids, by a removal and by a switch of the space too") {
  WatchedHost host;
  host.watch();
  host.sql.ask("INSERT INTO " + host.table + " VALUES ('z', '1')");
  host.sql.ask("INSERT INTO " + host.table + " VALUES ('a', '1')");
  const auto lock = [&](const std::string& spec) {
    return "SELECT id FROM " + host.schema.name() + ".keys WHERE spec_name = '" + spec + "' FOR UPDATE NOWAIT";
  };
  std::function<void()> removal_or_switch;
  SECTION("DELETE") {
    removal_or_switch = [&] { host.sql.ask("DELETE FROM " + host.table); };
  }
  SECTION("TRUNCATE") {
    removal_or_switch = [&] { host.sql.ask("TRUNCATE " + host.table); };
  }
  SECTION("switch") {
    removal_or_switch = [&] { REQUIRE(host.backend.catalog->switch_space("catalog", {"hashing", 4, "v1"}).ok()); };
  }
  RawPostgres first;
  first.ask("BEGIN");
  first.ask(lock("z"));
  std::thread second(removal_or_switch);
  const std::string waits =
      "SELECT pg_backend_pid() = ANY (pg_blocking_pids(pid)) FROM pg_stat_activity WHERE pg_backend_pid() = ANY "
      "(pg_blocking_pids(pid))";
  while (first.ask(waits).empty()) {
    std::this_thread::yield();
  }
  const std::string error = first.error_of(lock("a"));
  first.ask("ROLLBACK");
  second.join();
  CHECK(error.empty());
}

TEST_CASE("of two calls that watch for one catalog at the same time the later one is refused") {
  WatchedHost host;
  host.sql.ask("CREATE TABLE host_" + host.schema.name() + ".other (id text PRIMARY KEY, body text)");
  host.sql.ask("BEGIN");
  host.watch();
  RawPostgres second;
  const std::string call = "SELECT " + host.schema.name() + ".watch('host_" + host.schema.name() +
                           ".other', 'catalog', ARRAY['id'], 'body')";
  second.ask("SET lock_timeout = '100ms'");
  CHECK_THAT(second.error_of(call), Catch::Matchers::Contains("lock timeout"));  // waits for the first one
  host.sql.ask("COMMIT");
  CHECK_THAT(second.error_of(call), Catch::Matchers::Contains("watched already"));
}

TEST_CASE("a change of many rows puts and removes each of them") {
  WatchedHost host;
  host.watch();
  host.sql.ask("INSERT INTO " + host.table + " SELECT 'r' || i, to_jsonb(i) FROM generate_series(1, 1234) AS i");
  CHECK(get(host.backend.store->counts()).pending == 1234);
  CHECK(host.content("r1") == "1");
  CHECK(host.content("r1234") == "1234");
  host.sql.ask("UPDATE " + host.table + " SET body = CASE WHEN body::int % 2 = 0 THEN '7'::jsonb END");
  CHECK(get(host.backend.store->counts()).pending == 617);
  CHECK(host.content("r1000") == "7");
  CHECK(host.backend.catalog->resolve({"catalog", "r1001"}).status().code() == Code::kGone);
}

TEST_CASE("a bulk change wakes once, and removal by SQL is that of the catalog") {
  WatchedHost host;
  host.watch();
  RawPostgres listener;
  listener.ask("LISTEN \"embedjobs_" + host.schema.name() + "\"");
  host.sql.ask("INSERT INTO " + host.table + " SELECT 'r' || i, '0' FROM generate_series(1, 500) AS i");
  listener.ask("SELECT 1");
  int notified = 0;
  while (PGnotify* note = PQnotifies(listener.handle())) {
    ++notified;
    PQfreemem(note);
  }
  CHECK(notified == 1);
  const Lease lease =
      get(host.backend.store->claim({.worker_id = "w", .max_jobs = 1, .nonce = 7, .space_id = kSpace.id()}))
          .leases.at(0);
  host.sql.ask("DELETE FROM " + host.table + " WHERE \"the id\" = '" + lease.job.key.spec_name + "'");
  lost(host.backend.store->settle(ref(lease), {}).status());
  CHECK(get(host.backend.store->get(lease.job.id)).status == JobStatus::kCancelled);
  CHECK(host.backend.catalog->remove(lease.job.key).code() == Code::kNotFound);
  CHECK(host.sql.ask("SELECT " + host.schema.name() + ".remove_spec('catalog', '" + lease.job.key.spec_name + "')") ==
        "f");
}

TEST_CASE("a worker embeds the rows of a watched table, and follows update and delete") {
  WatchedHost host;
  host.watch();
  EngineOptions options;
  options.dsn = host.schema.dsn();
  options.embedder = "hashing:64";
  const std::unique_ptr<Engine> engine = get(Engine::open(options));
  ok(engine->start());
  const auto api = [](const std::string& path) {
    return R"({"openapi": "3.0.0", "info": {"title": "t", "version": "1"}, "paths": {"/)" + path +
           R"(": {"get": {"operationId": ")" + path + R"(", "responses": {"200": {"description": "ok"}}}}}})";
  };
  const auto shown = [&](const std::string& spec) {
    REQUIRE(get(engine->wait_idle(30s)).idle);
    std::string ids;
    const auto rows = engine->rows({"catalog", spec}, false, [&](const StoredRow& row) {
      ids += row.operation_id + " ";
      return true;
    });
    return rows.ok() ? ids : "gone";
  };
  host.sql.ask("INSERT INTO " + host.table + " VALUES ('a', '" + api("dogs") + "')");
  const std::string first = shown("a");
  CHECK(first.find("dogs") != std::string::npos);
  host.sql.ask("UPDATE " + host.table + " SET body = '" + api("cats") + "'");
  const std::string second = shown("a");
  CHECK(second.find("cats") != std::string::npos);
  CHECK(second.find("dogs") == std::string::npos);
  const std::vector<WorkerStatus> fleet = get(engine->workers());
  REQUIRE(fleet.size() == 1);
  CHECK(is_live(fleet[0].worker));
  host.sql.ask("DELETE FROM " + host.table);
  CHECK(shown("a") == "gone");
  CHECK(engine->stop(30s));
  CHECK(get(host.backend.store->workers()).empty());
}
