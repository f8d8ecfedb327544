// What a host does with SQL of its own, in its own transaction.
#include <catch2/catch.hpp>

#include "embedjobs/postgres_enqueue.hpp"
#include "postgres/host.hpp"

using namespace embedjobs;
using namespace embedjobs::test;

TEST_CASE("a job that is enqueued in a host's transaction is there when it commits, and not before") {
  Host host;
  host.sql.ask("BEGIN");
  const std::string id = host.call("enqueue('catalog', 'spec')");
  CHECK(host.jobs() == 0);
  host.sql.ask("COMMIT");
  REQUIRE(host.jobs() == 1);
  const Job job = get(host.backend.store->list({}))[0];
  CHECK(std::to_string(job.id) == id);
  CHECK(job.key == kKey);
  CHECK(job.kind == JobKind::kSpecWrite);
  CHECK(job.status == JobStatus::kPending);
}

TEST_CASE("rolled back, nothing has happened") {
  Host host;
  host.sql.ask("BEGIN");
  host.call("enqueue('catalog', 'spec')");
  host.call("put_spec('catalog', 'other', 'document'::text)");
  host.sql.ask("ROLLBACK");
  CHECK(host.jobs() == 0);
  CHECK(get(host.backend.catalog->catalogs()).empty());
}

TEST_CASE("a document that SQL put is the document that a worker resolves, text or bytes") {
  Host host;
  host.call("put_spec('catalog', 'spec', 'h\xc3\xa9llo'::text, '4/test?v1')");
  host.call("put_spec('catalog', 'another spec', '\\x00ff'::bytea)");
  const Document text = get(host.backend.catalog->resolve(kKey));
  CHECK(text.content == "h\xc3\xa9llo");
  CHECK(text.version == to_hex(hash_text(text.content)));
  CHECK(get(host.backend.catalog->resolve(kOtherKey)).content == std::string("\x00\xff", 2));
  CHECK(get(host.backend.catalog->catalogs())[0].target_space_id == "4/test?v1");
}

TEST_CASE("a space that is none is refused by SQL as it is by the library") {
  Host host;
  for (const std::string space : {"0064/model", "garbage", "0/m", "65537/m", "4/", "4/a?\\u0001", "4/\\u000a",
                                  "999999/m", "/m", "-1/m", "4/?v"}) {
    INFO(space);
    CHECK(host.error("put_spec('catalog', 'spec', 'document'::text, E'" + space + "')").find("not a space") !=
          std::string::npos);
  }
  CHECK_FALSE(host.error("put_spec('catalog', 'spec', 'document'::text, '4/' || repeat('x', 257))").empty());
  CHECK_FALSE(host.error("put_spec('catalog', 'spec', 'document'::text, '4/m?' || repeat('x', 257))").empty());
  CHECK(get(host.backend.catalog->catalogs()).empty());
  host.call("put_spec('catalog', 'spec', 'document'::text, '65536/org/model?a?b')");
  CHECK(get(host.backend.catalog->catalogs())[0].target_space_id == "65536/org/model?a?b");
}

TEST_CASE("names from a column of any collation, and sessions with other strings, are as good as others") {
  Host host;
  host.sql.ask("CREATE TEMPORARY TABLE mine (name text COLLATE \"POSIX\"); INSERT INTO mine VALUES ('spec')");
  const std::string at = "SELECT " + host.schema.name() + ".";
  host.sql.ask(at + "enqueue(name, name) FROM mine");
  host.sql.ask(at + "put_spec(name, name, name, '4/m') FROM mine");
  host.sql.ask(at + "remove_spec(name, name) FROM mine");
  host.sql.ask("SET standard_conforming_strings = off; SET escape_string_warning = off");
  host.call("enqueue('catalog', 'spec')");
  CHECK_FALSE(host.error("enqueue('catalog', E'a\\u0001')").empty());
  CHECK(get(host.backend.store->counts()).pending == 1);
}

TEST_CASE("in a host's snapshot that is too old an enqueue fails, and does not look for ever") {
  Host host;
  host.sql.ask("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1");
  RawPostgres().ask("SELECT " + host.schema.name() + ".enqueue('catalog', 'spec')");
  CHECK(enqueue_on(host.sql.handle(), host.schema.name(), kKey, JobKind::kSpecWrite).status().code() == Code::kRetry);
  host.sql.ask("ROLLBACK");
  CHECK(host.jobs() == 1);
}

TEST_CASE("the last spec of the old space, removed in a snapshot that is too old, does not keep searches there") {
  Host host;
  const std::string& name = host.schema.name();
  const auto pass = [&](const Space& space) {
    const ClaimResult claimed =
        get(host.backend.store->claim({.worker_id = "w", .max_jobs = 1, .nonce = 7, .space_id = space.id()}));
    REQUIRE(claimed.leases.size() == 1);
    const Lease& lease = claimed.leases[0];
    const PassContext context{.key = lease.job.key,
                              .job_id = lease.job.id,
                              .fence = lease.job.fence,
                              .space = space,
                              .epoch = lease.state.epoch};
    const Ops ops{{"a", "text"}};
    ok(host.backend.catalog->persist_batch(context, Rows(ops, space).all()));
    ok(host.backend.catalog->finalize(context, manifest_of(ops)));
    CHECK(get(host.backend.store->settle(ref(lease), {})) == JobStatus::kSucceeded);
    return lease.job.key.spec_name;
  };
  for (const std::string spec : {"one", "other"}) {
    get(host.backend.catalog->put({"catalog", spec}, "document", kSpace.id()));
    (void)pass(kSpace);
  }
  CHECK(get(host.backend.catalog->switch_space("catalog", kNewSpace)) == 2);
  host.sql.ask("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1");
  const std::string left = pass(kNewSpace) == "one" ? "other" : "one";
  const std::string remove = "SELECT " + name + ".remove_spec('catalog', '" + left + "')";
  CHECK(host.sql.error_of(remove).find("serialize") != std::string::npos);
  host.sql.ask("ROLLBACK");
  host.sql.ask(remove);
  CHECK(get(host.backend.catalog->catalogs()).at(0).search_space_id == kNewSpace.id());
}

TEST_CASE("SQL knows the kinds of jobs and refuses what is not one, and names that are none") {
  Host host;
  host.call("enqueue('catalog', 'spec', 'manual_retry')");
  CHECK(get(host.backend.store->list({}))[0].kind == JobKind::kManualRetry);
  CHECK(host.error("enqueue('catalog', 'spec', 'urgent')").find("manual_retry") != std::string::npos);
  CHECK_FALSE(host.error("enqueue('', 'spec')").empty());
  CHECK_FALSE(host.error("enqueue('catalog', E'a\\nb')").empty());
  CHECK_FALSE(host.error("enqueue('catalog', NULL)").empty());
  CHECK_FALSE(host.error("put_spec('catalog', repeat('x', 513), 'document'::text)").empty());
  CHECK_FALSE(host.error("put_spec('catalog', 'spec', NULL::text)").empty());
  CHECK(host.jobs() == 1);
}

TEST_CASE(
    "a host's transaction that stays open after an enqueue holds up neither heartbeat nor chunks of the pass that "
    "runs") {
  Host host;
  get(host.backend.catalog->put(kKey, "document", kSpace.id()));
  const Lease lease =
      get(host.backend.store->claim({.worker_id = "w", .max_jobs = 1, .nonce = 7, .space_id = kSpace.id()}))
          .leases.at(0);
  host.sql.ask("BEGIN");
  host.call("enqueue('catalog', 'spec')");
  CHECK(get(host.backend.store->renew(std::vector{ref(lease)}, 0s, 2s)) == std::vector{true});
  const PassContext context{
      .key = kKey, .job_id = lease.job.id, .fence = lease.job.fence, .space = kSpace, .epoch = lease.state.epoch};
  const Ops ops{{"a", "text"}};
  PostgresOptions hurried;
  hurried.call_timeout = 5s;
  const Backend other = get(open_postgres(host.schema.dsn(), hurried, nullptr));
  CHECK(get(other.catalog->reserve(context, std::vector{hash_text("text")}, {})) == std::vector{Reservation::kMine});
  host.sql.ask("COMMIT");
  ok(other.catalog->persist_batch(context, Rows(ops, kSpace).all()));
  CHECK(get(host.backend.store->settle(ref(lease), {})) == JobStatus::kPending);
}

TEST_CASE(
    "chunks of a spec that has rows are not held up by a host's transaction that enqueued it, tokens told or not") {
  Host host;
  get(host.backend.catalog->put(kKey, "document", kSpace.id()));
  const Lease lease = get(host.backend.store->claim(
                              {.worker_id = "w", .max_jobs = 1, .nonce = 7, .space_id = kSpace.id(), .provider = "p"}))
                          .leases.at(0);
  PassContext context{
      .key = kKey, .job_id = lease.job.id, .fence = lease.job.fence, .space = kSpace, .epoch = lease.state.epoch};
  ok(host.backend.catalog->persist_batch(context, Rows({{"first", "text of the first"}}, kSpace).all()));
  host.sql.ask("BEGIN");
  host.call("enqueue('catalog', 'spec')");
  PostgresOptions hurried;
  hurried.call_timeout = 3s;
  const Backend other = get(open_postgres(host.schema.dsn(), hurried, nullptr));
  ok(other.catalog->persist_batch(context, Rows({{"a", "text"}}, kSpace).all()));
  context.prompt_tokens = 5;
  ok(other.catalog->persist_batch(context, Rows({{"b", "another text"}}, kSpace).all()));
  host.sql.ask("COMMIT");
  CHECK(get(host.backend.store->settle(ref(lease), {.progress = Progress{.operation_count = 3, .prompt_tokens = 5}})) ==
        JobStatus::kPending);
  CHECK(get(host.backend.store->provider_state("p")).tokens_total == 5);
}

TEST_CASE("nobody may enqueue until it is granted; then that alone is enough") {
  Host host;
  const std::string& name = host.schema.name();
  const std::string role = "enqueuer_" + name;
  host.sql.ask("CREATE ROLE " + role);
  host.sql.ask("GRANT USAGE ON SCHEMA " + name + " TO " + role);
  CHECK(host.sql.error_of("SET ROLE " + role + "; SELECT " + name + ".enqueue('catalog', 'spec')").find("permission") !=
        std::string::npos);
  host.sql.ask("RESET ROLE");
  host.sql.ask("GRANT EXECUTE ON FUNCTION " + name + ".enqueue TO " + role);
  host.sql.ask("SET ROLE " + role);
  host.call("enqueue('catalog', 'spec')");
  CHECK(host.sql.error_of("SELECT * FROM " + name + ".jobs").find("permission") != std::string::npos);
  host.sql.ask("RESET ROLE; DROP OWNED BY " + role + "; DROP ROLE " + role);
  CHECK(host.jobs() == 1);
}
