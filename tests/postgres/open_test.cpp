// Opening: what a DSN says, what the schema is, and one clear line for everything that is wrong.
#include <catch2/catch.hpp>

#include <fstream>
#include <iterator>
#include <thread>
#include <vector>

#include "conformance/scene.hpp"
#include "embedjobs/engine.hpp"
#include "embedjobs/postgres.hpp"
#include "support/postgres_cluster.hpp"
#include "support/raw_postgres.hpp"
#include "support/wait_until.hpp"

using namespace embedjobs;
using namespace embedjobs::test;

namespace {

Status open_status(const std::string& dsn, PostgresOptions options = {}) {
  options.connect_timeout = 5s;
  return open_postgres(dsn, options, nullptr).status();
}

std::string read_file(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

bool one_clear_line(const Status& status) {
  return !status.message().empty() && status.message().size() < 400 && status.message().find('\n') == std::string::npos;
}

}  // namespace

TEST_CASE("the engine's DSN opens PostgreSQL, by either scheme") {
  TempSchema schema;
  ok(open_backend(schema.dsn(), {}, nullptr).status());
  std::string short_scheme = schema.dsn();
  short_scheme.replace(0, std::string("postgresql:").size(), "postgres:");
  ok(open_backend(short_scheme, {}, nullptr).status());
}

TEST_CASE("a DSN that can't be read is refused, and nothing of it is repeated") {
  for (const std::string rest :
       {"host:notaport/db", "%zz@host/db", "u:secret@h/db?nosuchoption=1", "u:secret@h/db?novalue",
        "h/db?migrate=perhaps", "h/db?max_connections=0", "h/db?max_connections=9x", "h/db?connect_timeout=soon",
        "h/db?connect_timeout=-1", "h/db?poll_only=1"}) {
    const Status status = open_status("postgresql://" + rest);
    INFO(rest << ": " << status.to_string());
    CHECK(status.code() == Code::kInvalidArgument);
    CHECK(one_clear_line(status));
    CHECK(status.message().find("secret") == std::string::npos);
  }
}

TEST_CASE("a schema's name is one that needs no quoting") {
  for (const std::string name : {"", "a\"b", "a'b", "A", "1a", "a b", "a;DROP", "pg_mine", "\xc3\xa9"}) {
    const Status status = open_status(postgres_server() + "&schema=" + name);
    INFO(name);
    CHECK(status.code() == Code::kInvalidArgument);
    CHECK(one_clear_line(status));
  }
  CHECK(postgres_migration_sql("x\" CASCADE").status().code() == Code::kInvalidArgument);
}

TEST_CASE("an option that nobody knows is told from a DSN that can't be read") {
  CHECK(open_status("postgresql://u:secret@h/db?sslmod=require").message().find("options") != std::string::npos);
}

TEST_CASE("the longest name of a schema is as good as a short one, and its workers are woken") {
  const std::string longest = (TempSchema().name() + std::string(63, 'x')).substr(0, 63);
  RawPostgres server;
  {
    const Backend backend = get(open_postgres(postgres_server() + "&schema=" + longest, {}, nullptr));
    std::atomic<int> woken = 0;
    backend.store->set_wake([&] { ++woken; });
    wait_until([&] { return woken > 0; });  // it listens
    const int before = woken;
    server.ask("SELECT " + longest + ".enqueue('catalog', 'spec')");
    wait_until([&] { return woken > before; });
    backend.store->set_wake(nullptr);
  }
  server.ask("DROP SCHEMA " + longest + " CASCADE");
}

TEST_CASE("no server: worth trying again, and soon known") {
  const Status status = open_status("postgresql://u:secret@127.0.0.1:1/db");
  CHECK(status.code() == Code::kRetry);
  CHECK(one_clear_line(status));
  CHECK(status.message().find("secret") == std::string::npos);
}

TEST_CASE("no such database, no such user: unusable, with what to do") {
  std::string other_database = postgres_server();
  other_database.replace(other_database.find("/postgres?"), 10, "/nothere?");
  std::string other_user = postgres_server();
  other_user.replace(other_user.find("embedjobs@"), 10, "nobody:secret@");
  for (const std::string& dsn : {other_database, other_user}) {
    const Status status = open_status(dsn);
    INFO(status.to_string());
    CHECK(status.code() == Code::kUnusable);
    CHECK(one_clear_line(status));
    CHECK(status.message().find("secret") == std::string::npos);
  }
}

TEST_CASE("a password that is not escaped is shown in no part, wherever it is cut") {
  for (const std::string dsn :
       {"hunter@secret@127.0.0.1:1/db", "secret@hunter@127.0.0.1:1/db", "hunter/secret@127.0.0.1:1/db",
        "secret/hunter@127.0.0.1:1/db", "1234/secret@127.0.0.1:1/db", "hunter?secret@127.0.0.1:1/db",
        "secret@/hunter@127.0.0.1:1/db"}) {
    INFO(dsn);
    const Status status = open_status("postgresql://u:" + dsn);
    CHECK_FALSE(status.ok());
    INFO(status.message());
    CHECK(status.message().find("secret") == std::string::npos);
    CHECK(status.message().find("hunter") == std::string::npos);
    CHECK(status.code() == Code::kInvalidArgument);
  }
  CHECK(open_status("postgresql://u:a%40b%2Fc@127.0.0.1:1/db").code() != Code::kInvalidArgument);
}

TEST_CASE("a wrong password is one clear line, and the right one opens") {
  RawPostgres server;
  server.ask("CREATE ROLE guarded LOGIN PASSWORD 'the-right-one'");
  const std::string hba = cluster_folder() + "/data/pg_hba.conf";
  const std::string trusting = read_file(hba);
  std::ofstream(hba) << "local all guarded scram-sha-256\n" << trusting;
  server.ask("SELECT pg_reload_conf()");
  const auto dsn_with = [](const std::string& password) {
    std::string dsn = postgres_server();
    return dsn.replace(dsn.find("embedjobs@"), 10, "guarded:" + password + "@");
  };
  wait_until(
      [&] { return !inspect_postgres(dsn_with("a-wrong-one")).ok(); });  // the server reads its file when it gets to it
  const Status status = open_status(dsn_with("a-wrong-one"));
  CHECK(status.code() == Code::kUnusable);
  CHECK(one_clear_line(status));
  CHECK(status.message().find("check user, password and database") != std::string::npos);
  CHECK(status.message().find("a-wrong-one") == std::string::npos);
  ok(inspect_postgres(dsn_with("the-right-one")).status());
  std::ofstream(hba) << trusting;
  server.ask("SELECT pg_reload_conf()");
  server.ask("DROP ROLE guarded");
}

TEST_CASE("a database that is not UTF-8 is refused") {
  RawPostgres server;
  server.ask("CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0");
  std::string dsn = postgres_server();
  dsn.replace(dsn.find("/postgres?"), 10, "/latin?");
  const Status status = open_status(dsn);
  CHECK(status.code() == Code::kUnusable);
  CHECK(status.message().find("UTF8") != std::string::npos);
  server.ask("DROP DATABASE latin");
}

TEST_CASE("a schema that is newer, or not ours, is refused and stays as it is") {
  TempSchema schema;
  RawPostgres server;
  SECTION("newer") {
    ok(open_status(schema.dsn()));
    server.ask("UPDATE " + schema.name() + ".schema_version SET version = 99");
    const Status status = open_status(schema.dsn());
    CHECK(status.code() == Code::kUnusable);
    CHECK(status.message().find("newer") != std::string::npos);
    CHECK(server.ask("SELECT version FROM " + schema.name() + ".schema_version") == "99");
  }
  SECTION("of another program, which has functions only") {
    server.ask("CREATE SCHEMA " + schema.name() + "; CREATE FUNCTION " + schema.name() +
               ".theirs() RETURNS int LANGUAGE sql AS 'SELECT 1'");
    CHECK(open_status(schema.dsn()).code() == Code::kUnusable);
    CHECK(server.ask("SELECT proacl IS NULL FROM pg_proc WHERE proname = 'theirs'") ==
          "t");  // anybody may still call it
  }
  SECTION("of another program") {
    server.ask("CREATE SCHEMA " + schema.name());
    server.ask("CREATE TABLE " + schema.name() + ".theirs (id int)");
    const Status status = open_status(schema.dsn());
    CHECK(status.code() == Code::kUnusable);
    CHECK(one_clear_line(status));
    CHECK(
        server.ask("SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = '" +
                   schema.name() + "'") == "1");
  }
}

TEST_CASE("a schema that is not there is made only when that is wanted") {
  TempSchema schema;
  const Status status = open_status(schema.dsn("&migrate=off"));
  CHECK(status.code() == Code::kUnusable);
  CHECK(status.message().find("migrate") != std::string::npos);
  CHECK(get(inspect_postgres(schema.dsn())).database_version == 0);
  ok(open_status(schema.dsn()));
  ok(open_status(schema.dsn("&migrate=off")));
  CHECK(get(inspect_postgres(schema.dsn())).database_version == get(inspect_postgres(schema.dsn())).library_version);
}

TEST_CASE("many processes that make the schema at the same time all succeed") {
  TempSchema schema;
  std::atomic<int> failed = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] { failed += open_status(schema.dsn()).ok() ? 0 : 1; });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  CHECK(failed == 0);
}

TEST_CASE("the printed migration makes the same schema") {
  TempSchema printed;
  TempSchema made;
  RawPostgres server;
  server.ask(get(postgres_migration_sql(printed.name())));
  ok(open_status(made.dsn()));
  ok(open_status(printed.dsn("&migrate=off")));
  const auto columns = [&](const std::string& name) {
    return server.ask(
        "SELECT string_agg(table_name || '.' || column_name || ':' || data_type, ',' ORDER BY table_name, "
        "ordinal_position) "
        "FROM information_schema.columns WHERE table_schema = '" +
        name + "'");
  };
  CHECK(columns(printed.name()) == columns(made.name()));
  CHECK_FALSE(columns(made.name()).empty());
}

TEST_CASE("a schema that others use too: their functions stay everybody's, and ours are nobody's") {
  TempSchema schema;
  RawPostgres server;
  const std::string theirs = schema.name() + ".theirs()";
  const std::string open_to_all =
      "SELECT string_agg(p.proname, ' ') FROM pg_proc AS p WHERE p.pronamespace = '" + schema.name() +
      "'::regnamespace AND EXISTS (SELECT 1 FROM aclexplode(coalesce(p.proacl, acldefault('f', p.proowner)))"
      " AS a WHERE a.grantee = 0)";
  ok(open_status(schema.dsn()));
  CHECK(server.ask(open_to_all).empty());
  // As schema 2 left it, but for what others made since.
  server.ask("CREATE FUNCTION " + theirs + " RETURNS int LANGUAGE sql AS 'SELECT 1'");
  const std::string watches =
      server.ask("SELECT string_agg(oid::regprocedure::text, ', ') FROM pg_proc WHERE proname ~ 'watch' AND" +
                 (" pronamespace = '" + schema.name() + "'::regnamespace"));
  server.ask("ALTER TABLE " + schema.name() +
             ".providers DROP COLUMN input_bytes, DROP COLUMN stopped; DROP FUNCTION " + watches + "; UPDATE " +
             schema.name() + ".schema_version SET version = 2");
  ok(open_status(schema.dsn()));
  CHECK(server.ask(open_to_all) == "theirs");
}

TEST_CASE("who may not make schemas may run the printed migration in one that was made for him") {
  TempSchema schema;
  RawPostgres server;
  const std::string role = "owner_" + schema.name();
  server.ask("CREATE ROLE " + role + "; CREATE SCHEMA " + schema.name() + " AUTHORIZATION " + role + "; SET ROLE " +
             role);
  server.ask(get(postgres_migration_sql(schema.name())));
  server.ask("RESET ROLE");
  ok(open_status(schema.dsn("&migrate=off")));
  server.ask("DROP OWNED BY " + role + " CASCADE; DROP ROLE " + role);
}

TEST_CASE("a role without rights on the schema is told so; one that may work needs none to change it") {
  TempSchema schema;
  RawPostgres server;
  const std::string& name = schema.name();
  server.ask("CREATE ROLE worker_" + name + " LOGIN");
  std::string dsn = schema.dsn();
  dsn.replace(dsn.find("embedjobs@"), 10, "worker_" + name + "@");
  const Status none_yet = open_status(dsn);
  CHECK(none_yet.code() == Code::kUnusable);
  CHECK(one_clear_line(none_yet));
  ok(open_status(schema.dsn()));
  const Status no_right = open_status(dsn);
  INFO(no_right.to_string());
  CHECK(no_right.code() == Code::kUnusable);
  CHECK(one_clear_line(no_right));
  const std::string role = "worker_" + name;
  server.ask("GRANT USAGE ON SCHEMA " + name + " TO " + role +
             "; GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA " + name + " TO " + role +
             "; GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA " + name + " TO " + role +
             "; GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA " + name + " TO " + role);
  const Backend backend = get(open_postgres(dsn, {}, nullptr));
  get(backend.catalog->put(kKey, "document", kSpace.id()));
  const ClaimResult claimed =
      get(backend.store->claim({.worker_id = "w", .max_jobs = 1, .nonce = 7, .space_id = kSpace.id()}));
  REQUIRE(claimed.leases.size() == 1);
  CHECK(get(backend.store->settle(ref(claimed.leases[0]), {})) == JobStatus::kSucceeded);
  server.ask("REVOKE ALL ON " + name + ".history, " + name + ".workers FROM " + role);
  const Status lacking = open_status(dsn);
  CHECK(lacking.code() == Code::kUnusable);
  CHECK(one_clear_line(lacking));
  CHECK(lacking.message().find("history, workers") != std::string::npos);
  server.ask("REVOKE INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA " + name + " FROM " + role);
  server.ask("GRANT SELECT ON ALL TABLES IN SCHEMA " + name + " TO " + role);
  CHECK(get(get(open_postgres(dsn, {}, nullptr)).store->counts()).succeeded == 1);  // who only looks may
  CHECK_FALSE(server.error_of("SET ROLE " + role + "; CREATE TABLE " + name + ".mine (id int)").empty());
  server.ask("RESET ROLE; DROP OWNED BY " + role + "; DROP ROLE " + role);
}
