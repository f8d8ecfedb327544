// The plans that decide what a claim costs: by index, on an empty, a small and a huge table.
#include <catch2/catch.hpp>

#include "conformance/scene.hpp"
#include "embedjobs/postgres.hpp"
#include "postgres/claim_plan.hpp"
#include "support/raw_postgres.hpp"

using namespace embedjobs;
using namespace embedjobs::test;

TEST_CASE("due jobs come from their index in its order, however many there are") {
  TempSchema schema;
  ok(open_postgres(schema.dsn(), {}, nullptr).status());
  RawPostgres server;
  const std::string jobs = schema.name() + ".jobs";
  const int rows = GENERATE(0, 50, 100'000);
  server.ask("INSERT INTO " + jobs + " (key_id, catalog_id, next_run_at, created_at, updated_at, generation, kind, status, priority) " +
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
  CHECK(json.find("\"Seq Scan\", \"Parent Relationship\": \"Outer\", \"Relation Name\": \"jobs\"") == std::string::npos);
}
