// Jobs made on a connection of the host's own.
#include <catch2/catch.hpp>

#include "embedjobs/postgres_enqueue.hpp"
#include "postgres/host.hpp"

using namespace embedjobs;
using namespace embedjobs::test;

namespace {

Result<EnqueueResult> enqueue(Host& host) {
  return enqueue_on(host.sql.handle(), host.schema.name(), kKey, JobKind::kManualRetry);
}

}  // namespace

TEST_CASE("on a host's connection a job lives and dies with the transaction") {
  Host host;
  host.sql.ask("BEGIN");
  get(enqueue(host));
  CHECK(host.jobs() == 0);
  host.sql.ask("ROLLBACK");
  CHECK(host.jobs() == 0);
  host.sql.ask("BEGIN");
  const EnqueueResult made = get(enqueue(host));
  CHECK(made.created);
  CHECK(made.generation == 1);
  CHECK_FALSE(get(enqueue(host)).created);
  CHECK(host.jobs() == 0);
  host.sql.ask("COMMIT");
  const Job job = get(host.backend.store->get(made.job_id));
  CHECK(job.key == kKey);
  CHECK(job.kind == JobKind::kManualRetry);
  CHECK(job.generation == 2);
}

TEST_CASE("a document is put as it is, whatever the encoding of the host's session") {
  Host host;
  host.sql.ask("SET client_encoding = 'LATIN1'; SET search_path = nowhere");
  const SpecKey key{"catalog", "h\xc3\xa9llo"};
  const std::string content("\x00\xff{}", 4);
  get(put_spec_on(host.sql.handle(), host.schema.name(), key, content, kSpace.id()));
  CHECK(get(host.backend.catalog->resolve(key)).content == content);
  CHECK(get(host.backend.catalog->catalogs()).at(0).target_space_id == kSpace.id());
  get(put_spec_on(host.sql.handle(), host.schema.name(), key, ""));
  CHECK(get(host.backend.catalog->resolve(key)).content.empty());
}

TEST_CASE("a host's connection that is not ready is refused, and nothing is sent") {
  Host host;
  CHECK(enqueue_on(nullptr, host.schema.name(), kKey, JobKind::kSpecWrite).status().code() == Code::kRefused);
  host.sql.ask("BEGIN");
  CHECK_FALSE(host.sql.error_of("SELECT 1/0").empty());
  Status status = enqueue(host).status();
  CHECK(status.code() == Code::kRefused);
  CHECK(status.message().find("roll it back") != std::string::npos);
  host.sql.ask("ROLLBACK");

  REQUIRE(PQsendQuery(host.sql.handle(), "SELECT 7") == 1);
  CHECK(enqueue(host).status().code() == Code::kRefused);
  PGresult* result = PQgetResult(host.sql.handle());  // the host's own answer is still there
  CHECK(std::string(PQgetvalue(result, 0, 0)) == "7");
  PQclear(result);
  CHECK(PQgetResult(host.sql.handle()) == nullptr);

  REQUIRE(PQenterPipelineMode(host.sql.handle()) == 1);
  CHECK(enqueue(host).status().code() == Code::kRefused);
  REQUIRE(PQexitPipelineMode(host.sql.handle()) == 1);

  RawPostgres().ask("SELECT pg_terminate_backend(" + std::to_string(PQbackendPID(host.sql.handle())) + ")");
  CHECK(enqueue(host).status().code() == Code::kRetry);    // finds that it is gone
  CHECK(enqueue(host).status().code() == Code::kRefused);  // knows that it is
  CHECK(host.jobs() == 0);
}

TEST_CASE("what is wrong with a call is said before anything is sent") {
  Host host;
  PGconn* connection = host.sql.handle();
  const std::string& schema = host.schema.name();
  CHECK(enqueue_on(connection, "x\"; DROP", kKey, JobKind::kSpecWrite).status().code() == Code::kInvalidArgument);
  CHECK(enqueue_on(connection, schema, {"", "spec"}, JobKind::kSpecWrite).status().code() == Code::kInvalidArgument);
  CHECK(enqueue_on(connection, schema, kKey, static_cast<JobKind>(9)).status().code() == Code::kInvalidArgument);
  CHECK(put_spec_on(connection, schema, kKey, "x", "no space").status().code() == Code::kInvalidArgument);
  CHECK(enqueue_on(connection, "nowhere", kKey, JobKind::kSpecWrite).status().code() == Code::kUnusable);
  host.sql.ask("BEGIN");
  CHECK(enqueue_on(connection, "nowhere", kKey, JobKind::kSpecWrite).status().code() == Code::kUnusable);
  CHECK(PQtransactionStatus(connection) == PQTRANS_INERROR);
  host.sql.ask("ROLLBACK");
}

TEST_CASE("an enqueuer's role may enqueue on its connection, and no more") {
  Host host;
  const std::string& name = host.schema.name();
  const std::string role = "host_" + name;
  host.sql.ask("CREATE ROLE " + role + "; GRANT USAGE ON SCHEMA " + name + " TO " + role + "; SET ROLE " + role);
  CHECK(enqueue(host).status().code() == Code::kUnusable);
  host.sql.ask("RESET ROLE; GRANT EXECUTE ON FUNCTION " + name + ".enqueue TO " + role + "; SET ROLE " + role);
  get(enqueue(host));
  CHECK(put_spec_on(host.sql.handle(), name, kKey, "x").status().code() == Code::kUnusable);
  host.sql.ask("RESET ROLE; DROP OWNED BY " + role + "; DROP ROLE " + role);
  CHECK(host.jobs() == 1);
}
