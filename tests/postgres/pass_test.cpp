// Documents in, vectors out, through the engine: by a worker without the right to change the schema, and through
// whatever pooler stands between (this file runs under pgbouncer too).
#include <catch2/catch.hpp>

#include <fstream>
#include <sstream>

#include "embedjobs/engine.hpp"
#include "embedjobs/postgres.hpp"
#include "embedjobs/sys/store.hpp"
#include "support/raw_postgres.hpp"
#include "support/results.hpp"
#include "support/spec.hpp"

using namespace embedjobs;
using namespace embedjobs::test;
using namespace std::chrono_literals;

namespace {

/// Put, embed, search, edit, and remove; with all sweeps.
void put_embed_search(const std::string& dsn) {
  EngineOptions options;
  options.dsn = dsn;
  options.embedder = "hashing:16";
  const auto engine = test::get(Engine::open(options));
  const SpecKey key{"catalog", "animals"};
  test::get(engine->put(key, spec_of({"Feed the elephant", "Wash the giraffe", "Count all penguins"})));
  ok(engine->start());
  const auto is_idle = [&] { return test::get(engine->wait_idle(1h)).idle; };
  REQUIRE(is_idle());
  const auto nearest = [&] { return test::get(engine->search("catalog", "wash a giraffe", 1)).at(0).operation_id; };
  CHECK(nearest() == "op-1");
  test::get(engine->put(key, spec_of({"Wash the giraffe", "Feed the elephant"})));
  REQUIRE(is_idle());
  CHECK(nearest() == "op-0");
  test::get(engine->retry(key));
  REQUIRE(is_idle());
  CHECK(test::get(engine->verify("catalog", std::nullopt)).at(0).equal);
  CHECK(test::get(engine->reconcile()) == 0);
  CHECK(test::get(engine->status(std::nullopt)).size() == 1);
  CHECK(test::get(engine->store().counts()).succeeded == 3);
  test::get(engine->store().purge(0s, 100));
  ok(engine->remove(key));
  CHECK(engine->stop(30s));
}

/// The SQL of docs/postgres.md that makes the roles: what is run before the schema is made, and after.
std::pair<std::string, std::string> documented_roles() {
  std::ifstream file(std::string(EMBEDJOBS_SOURCE_DIR) + "/docs/postgres.md");
  std::ostringstream page;
  page << file.rdbuf();
  const std::string text = page.str();
  const std::size_t begin = text.find("CREATE ROLE embedjobs_owner");
  const std::size_t between = text.find("-- Now, as embedjobs_owner", begin);
  const std::size_t end = text.find("```", between);
  REQUIRE(end != std::string::npos);
  std::string before = text.substr(begin, between - begin);
  const std::size_t database = before.find("DATABASE app");
  REQUIRE(database != std::string::npos);
  return {before.replace(database, 12, "DATABASE postgres"), text.substr(between, end - between)};
}

std::string dsn_of(const std::string& role) {
  std::string dsn = postgres_server();
  return dsn.replace(dsn.find("embedjobs@"), 10, role + "@");
}

}  // namespace

TEST_CASE("a pass through the engine: put, embed, search") {
  TempSchema schema;
  put_embed_search(schema.dsn());
}

TEST_CASE("the documented roles: a worker without the right to change the schema, a host that may only enqueue",
          "[roles]") {
  RawPostgres server;
  const auto [before, after] = documented_roles();
  server.ask("REVOKE TEMPORARY ON DATABASE postgres FROM PUBLIC");  // nothing of ours needs it
  server.ask(before);
  ok(open_postgres(dsn_of("embedjobs_owner"), {}, nullptr).status());
  server.ask(after);
  {
    RawPostgres worker(dsn_of("embedjobs_worker"));
    CHECK_FALSE(worker.error_of("CREATE TABLE embedjobs.mine (id int)").empty());
    CHECK_FALSE(worker.error_of("ALTER TABLE embedjobs.jobs ADD COLUMN mine int").empty());
    worker.ask("SELECT embedjobs.make_history_days(0)");  // those of 1970 have ended: retention drops them
    put_embed_search(dsn_of("embedjobs_worker") + "&migrate=off");
    CHECK(worker.ask("SELECT to_regclass('embedjobs.history_19700101') IS NULL") == "t");
    server.ask("ALTER ROLE embedjobs_enqueuer LOGIN");
    RawPostgres enqueuer(dsn_of("embedjobs_enqueuer"));
    CHECK(enqueuer.ask("SELECT generation FROM embedjobs.enqueue('catalog', 'from a host')") == "1");
    CHECK_FALSE(enqueuer.error_of("SELECT 1 FROM embedjobs.jobs").empty());
    CHECK_FALSE(enqueuer.error_of("SELECT embedjobs.put_spec('catalog', 'spec', 'x'::text)").empty());
  }
  server.ask("GRANT TEMPORARY ON DATABASE postgres TO PUBLIC");
  server.ask(
      "DROP SCHEMA embedjobs CASCADE; DROP OWNED BY embedjobs_owner, embedjobs_worker, embedjobs_enqueuer; "
      "DROP ROLE embedjobs_owner, embedjobs_worker, embedjobs_enqueuer");
}
