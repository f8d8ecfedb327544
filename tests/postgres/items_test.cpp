// Items on PostgreSQL: by the engine, and by a host's own SQL.
#include <catch2/catch.hpp>

#include "conformance/scene.hpp"
#include "embedjobs/engine.hpp"
#include "embedjobs/items.hpp"
#include "support/raw_postgres.hpp"

using namespace embedjobs;
using namespace embedjobs::test;

TEST_CASE("items become rows on PostgreSQL, whoever put them") {
  const TempSchema schema;
  auto opened = Engine::open({.dsn = schema.dsn(), .embedder = "hashing:64"});
  ok(opened.status());
  Engine& engine = **opened;
  get(engine.put_items({"support", "answers"},
                       "{\"id\":\"refund\",\"text\":\"money back\"}\n{\"id\":\"hours\",\"text\":\"opening hours\"}\n"));
  const std::string document = make_items_document(R"({"id":"address","text":"address of a delivery"})");
  RawPostgres().ask("SELECT * FROM " + schema.name() + ".put_spec('support', 'more', '" + document + "'::text)");
  ok(engine.start());
  CHECK(get(engine.wait_idle(1h)).idle);
  CHECK(get(engine.search("support", "money back", 1))[0].operation_id == "refund");
  CHECK(get(engine.search("support", "address of a delivery", 1))[0].operation_id == "address");
  for (const VerifyReport& report : get(engine.verify("support", std::nullopt))) {
    INFO(report.difference);
    CHECK(report.equal);
  }
}
