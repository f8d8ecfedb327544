// What vectors are kept as, indexes over them, and that a pass in which nothing changed touches none. Run twice: on a
// server without pgvector, and on one that has it.
#include <catch2/catch.hpp>

#include <cmath>
#include <map>

#include "conformance/scene.hpp"
#include "embedjobs/postgres.hpp"
#include "support/raw_postgres.hpp"

using namespace embedjobs;
using namespace embedjobs::test;

namespace {

bool has_pgvector() {
  return RawPostgres().ask("SELECT count(*) FROM pg_available_extensions WHERE name = 'vector'") == "1";
}

PostgresVectors kept(const std::string& dsn) {
  return get(inspect_postgres(dsn)).vectors;
}

/// The DSN of another database of the same server.
std::string in_database(const std::string& name, const std::string& role = "embedjobs") {
  std::string dsn = postgres_server();
  dsn.replace(dsn.find("/postgres?"), 10, "/" + name + "?");
  dsn.replace(dsn.find("embedjobs@"), 10, role + "@");
  return dsn;
}

bool one_clear_line(const Status& status) {
  return !status.message().empty() && status.message().size() < 400 && status.message().find('\n') == std::string::npos;
}

/// One pass after another over one spec.
struct Writer {
  explicit Writer(const std::string& dsn, const Space& of = kSpace)
      : backend(get(open_postgres(dsn, {}, nullptr))), space(of) {
    get(backend.catalog->put(kKey, "document", space.id()));
  }
  void begin() {
    const ClaimResult claimed =
        get(backend.store->claim({.worker_id = "w", .max_jobs = 1, .nonce = ++nonce, .space_id = space.id()}));
    REQUIRE(claimed.leases.size() == 1);
    const Job& job = claimed.leases[0].job;
    lease = ref(claimed.leases[0]);
    context = {.key = kKey,
               .job_id = job.id,
               .fence = job.fence,
               .generation = job.generation,
               .space = space,
               .epoch = claimed.leases[0].state.epoch,
               .content_version = "1",
               .splitter_version = "1"};
  }
  Status persist(const std::map<std::string, std::vector<float>>& vectors) {
    std::vector<VectorRow> rows;
    for (const auto& [id, vector] : vectors) {
      rows.push_back({.operation_id = id, .text_hash = hash_text(id), .vector = vector});
    }
    return backend.catalog->persist_batch(context, rows);
  }
  void end(const Manifest& manifest) {
    ok(backend.catalog->finalize(context, manifest));
    CHECK(get(backend.store->settle(lease, {})) == JobStatus::kSucceeded);
  }
  std::vector<float> vector(const std::string& id) {
    std::vector<float> found;
    get(backend.catalog->rows(kKey, true, [&](const StoredRow& row) {
      found = row.operation_id == id ? row.vector : found;
      return true;
    }));
    return found;
  }

  Backend backend;
  Space space;
  LeaseRef lease;
  PassContext context;
  std::uint64_t nonce = 0;
};

std::map<std::string, std::vector<float>> directions(int count, std::size_t dimension) {
  std::map<std::string, std::vector<float>> vectors;
  for (int i = 0; i < count; ++i) {
    const std::string id = "op " + std::to_string(i);
    vectors[id] = vector_of(id, {"x", dimension, ""});
  }
  return vectors;
}

/// By brute force, in double.
std::vector<std::string> nearest(const std::map<std::string, std::vector<float>>& vectors,
                                 const std::vector<float>& query, std::size_t k) {
  std::vector<std::pair<float, std::string>> scores;
  for (const auto& [id, vector] : vectors) {
    double dot = 0, a = 0, b = 0;
    for (std::size_t i = 0; i < query.size(); ++i) {
      dot += static_cast<double>(query[i]) * vector[i];
      a += static_cast<double>(query[i]) * query[i];
      b += static_cast<double>(vector[i]) * vector[i];
    }
    scores.emplace_back(-static_cast<float>(dot / std::sqrt(a) / std::sqrt(b)), id);
  }
  std::sort(scores.begin(), scores.end());
  std::vector<std::string> ids;
  for (std::size_t i = 0; i < std::min(k, scores.size()); ++i) {
    ids.push_back(scores[i].second);
  }
  return ids;
}

std::vector<std::string> found(Catalog& catalog, const Space& space, const std::vector<float>& query, std::size_t k) {
  std::vector<std::string> ids;
  for (const SearchHit& hit : get(catalog.search("catalog", space, query, k))) {
    ids.push_back(hit.operation_id);
  }
  return ids;
}

}  // namespace

TEST_CASE("a new schema keeps vectors as pgvector's type where the server has it", "[vectors]") {
  TempSchema schema;
  ok(open_postgres(schema.dsn(), {}, nullptr).status());
  CHECK(kept(schema.dsn()) == (has_pgvector() ? PostgresVectors::kVector : PostgresVectors::kReal));
}

TEST_CASE("what vectors are kept as can be asked for, and stays", "[vectors]") {
  TempSchema schema;
  ok(open_postgres(schema.dsn("&vectors=real"), {}, nullptr).status());
  ok(open_postgres(schema.dsn(), {}, nullptr).status());
  CHECK(kept(schema.dsn()) == PostgresVectors::kReal);
  const Status other = open_postgres(schema.dsn("&vectors=vector"), {}, nullptr).status();
  CHECK(other.code() == Code::kUnusable);
  CHECK(one_clear_line(other));
}

TEST_CASE("halfvec where it is asked for; without pgvector that is one clear line", "[vectors]") {
  TempSchema schema;
  const Status status = open_postgres(schema.dsn("&vectors=halfvec"), {}, nullptr).status();
  INFO(status.to_string());
  if (!has_pgvector()) {
    CHECK(status.code() == Code::kUnusable);
    CHECK(one_clear_line(status));
    CHECK(status.message().find("pgvector") != std::string::npos);
    return;
  }
  ok(status);
  CHECK(kept(schema.dsn()) == PostgresVectors::kHalfvec);
  Writer writer(schema.dsn());
  writer.begin();
  // Rounded to the nearest half, ties to even; denormal halves too.
  ok(writer.persist(
      {{"a", {1.0F, -0.333251953125F, 65504.0F, 0x1p-24F}}, {"b", {1.00048828125F, 2049.0F, 0.1F, 0.0F}}}));
  CHECK(writer.vector("a") == std::vector<float>{1.0F, -0.333251953125F, 65504.0F, 0x1p-24F});
  CHECK(writer.vector("b") == std::vector<float>{1.0F, 2048.0F, 0.0999755859375F, 0.0F});
  CHECK(writer.persist({{"c", {65520.0F, 1, 1, 1}}}).code() == Code::kInvalidArgument);
  CHECK(writer.persist({{"c", {1e-9F, 0, 0, 0}}}).code() == Code::kInvalidArgument);
  CHECK(found(*writer.backend.catalog, kSpace, {1e30F, 1e30F, 0, 0}, 5) == std::vector<std::string>{"b", "a"});
}

TEST_CASE("the option of vectors is one of four words", "[vectors]") {
  const Status status = open_postgres(postgres_server() + "&vectors=floats", {}, nullptr).status();
  CHECK(status.code() == Code::kInvalidArgument);
  CHECK(one_clear_line(status));
}

TEST_CASE("a role that may not create the extension works with what there is", "[vectors]") {
  RawPostgres server;
  server.ask("CREATE DATABASE no_extension TEMPLATE template0 ENCODING 'UTF8'");
  server.ask("CREATE ROLE plain LOGIN");
  const std::string dsn = in_database("no_extension");
  {
    RawPostgres(dsn).ask("CREATE SCHEMA embedjobs AUTHORIZATION plain");
    const std::string as_plain = in_database("no_extension", "plain");
    ok(open_postgres(as_plain, {}, nullptr).status());
    CHECK(kept(as_plain) == PostgresVectors::kReal);
  }
  server.ask("DROP DATABASE no_extension WITH (FORCE)");
  server.ask("DROP ROLE plain");
}

TEST_CASE("the extension may be in a schema of its own", "[vectors]") {
  if (!has_pgvector()) {
    WARN("skipped: this server has no pgvector");
    return;
  }
  RawPostgres server;
  server.ask("CREATE DATABASE own_schema TEMPLATE template0 ENCODING 'UTF8'");
  const std::string dsn = in_database("own_schema");
  RawPostgres(dsn).ask("CREATE SCHEMA \"its \"\"own\"; CREATE EXTENSION vector SCHEMA \"its \"\"own\"");
  for (const std::string type : {"vector", "halfvec"}) {
    const std::string of_type = dsn + "&schema=of_" + type + "&vectors=" + type;
    Writer writer(of_type);
    writer.begin();
    ok(writer.persist({{"a", {1, 0, 0, 0}}, {"b", {0, 1, 0, 0}}}));
    CHECK(writer.vector("b") == std::vector<float>{0, 1, 0, 0});
    CHECK(get(index_postgres_vectors(of_type, "catalog")).at(0).created);
    CHECK(found(*writer.backend.catalog, kSpace, {1, 2, 0, 0}, 5) == std::vector<std::string>{"b", "a"});
    Manifest manifest;
    manifest.add("a", hash_text("a"));
    writer.end(manifest);
    CHECK(found(*writer.backend.catalog, kSpace, {1, 2, 0, 0}, 5) == std::vector<std::string>{"a"});
  }
  server.ask("DROP DATABASE own_schema WITH (FORCE)");
}

TEST_CASE("a role that may not use the extension's schema works with what there is", "[vectors]") {
  if (!has_pgvector()) {
    WARN("skipped: this server has no pgvector");
    return;
  }
  RawPostgres server;
  server.ask("CREATE DATABASE hidden TEMPLATE template0 ENCODING 'UTF8'");
  server.ask("CREATE ROLE stranger LOGIN");
  const std::string dsn = in_database("hidden");
  RawPostgres(dsn).ask(
      "CREATE SCHEMA ext; CREATE EXTENSION vector SCHEMA ext; GRANT CREATE ON DATABASE hidden TO stranger");
  const std::string as_stranger = in_database("hidden", "stranger");
  const Status asked_for = open_postgres(as_stranger + "&vectors=vector", {}, nullptr).status();
  INFO(asked_for.to_string());
  CHECK(asked_for.code() == Code::kUnusable);
  CHECK(asked_for.message().find("USAGE") != std::string::npos);
  ok(open_postgres(as_stranger, {}, nullptr).status());
  CHECK(kept(as_stranger) == PostgresVectors::kReal);
  server.ask("DROP DATABASE hidden WITH (FORCE)");
  server.ask("DROP ROLE stranger");
}

TEST_CASE("a type that the server can't work with any more is one clear line", "[vectors]") {
  if (!has_pgvector()) {
    WARN("skipped: this server has no pgvector");
    return;
  }
  RawPostgres server;
  server.ask("CREATE DATABASE lost_library TEMPLATE template0 ENCODING 'UTF8'");
  const std::string dsn = in_database("lost_library");
  ok(open_postgres(dsn, {}, nullptr).status());
  RawPostgres(dsn).ask("UPDATE pg_proc SET probin = '$libdir/nothere' WHERE probin = '$libdir/vector'");
  const Status status = open_postgres(dsn, {}, nullptr).status();
  INFO(status.to_string());
  CHECK(status.code() == Code::kUnusable);
  CHECK(status.message().find("install pgvector") != std::string::npos);
  CHECK(one_clear_line(status));
  RawPostgres(dsn).ask("DROP SCHEMA embedjobs CASCADE; CREATE SCHEMA embedjobs");
  server.ask("DROP DATABASE lost_library WITH (FORCE)");
}

TEST_CASE("searches find what comparing every row finds, with and without an index", "[vectors]") {
  TempSchema schema;
  const Space space{"wide", 32, ""};
  const auto vectors = directions(700, space.dimension);
  Writer writer(schema.dsn(), space);
  writer.begin();
  ok(writer.persist(vectors));
  const std::vector<float> query = vector_of("question", space);
  CHECK(found(*writer.backend.catalog, space, query, 10) == nearest(vectors, query, 10));
  CHECK(found(*writer.backend.catalog, space, query, 1000) == nearest(vectors, query, 1000));
  if (!has_pgvector()) {
    CHECK(index_postgres_vectors(schema.dsn(), "catalog").status().code() == Code::kRefused);
    return;
  }
  const auto indexes = get(index_postgres_vectors(schema.dsn(), "catalog"));
  REQUIRE(indexes.size() == 1);
  CHECK(indexes[0].created);
  CHECK(indexes[0].space_id == space.id());
  CHECK_FALSE(get(index_postgres_vectors(schema.dsn(), "catalog")).at(0).created);
  // The planner would rather sort so few rows; told not to, it takes the index.
  Backend indexed = get(open_postgres(schema.dsn("&options=-c%20enable_sort%3Doff"), {}, nullptr));
  RawPostgres server;
  const auto scans = [&] {
    server.ask("SELECT pg_stat_force_next_flush()");
    return std::stoi(server.ask("SELECT idx_scan FROM pg_stat_user_indexes WHERE schemaname = '" + schema.name() +
                                "' AND indexrelname = '" + indexes[0].name + "'"));
  };
  // An index gives nearly the nearest; what it does not give is looked for without it.
  const auto approximate = found(*indexed.catalog, space, query, 200);
  const auto exact = nearest(vectors, query, 200);
  CHECK(approximate.size() == 200);
  CHECK(std::count_if(approximate.begin(), approximate.end(), [&](const std::string& id) {
          return std::find(exact.begin(), exact.end(), id) != exact.end();
        }) >= 180);
  CHECK(found(*indexed.catalog, space, query, 1000) == nearest(vectors, query, 1000));
  indexed = {};  // its sessions end, and tell the statistics what they did
  for (int i = 0; i < 1000 && scans() == 0; ++i) {
    server.ask("SELECT pg_sleep(0.01)");
  }
  CHECK(scans() > 0);
}

TEST_CASE("rows that a search may not see take no place of those that it may", "[vectors]") {
  TempSchema schema;
  Writer writer(schema.dsn());
  writer.begin();
  std::map<std::string, std::vector<float>> near;
  Manifest far;
  for (int i = 0; i < 400; ++i) {
    near["near " + std::to_string(i)] = {1, 0.0001F * static_cast<float>(i), 0, 0};
  }
  ok(writer.persist(near));
  ok(writer.persist({{"far a", {0, 0, 1, 0}}, {"far b", {-1, 0, 0, 0}}}));
  far.add("far a", hash_text("far a"));
  far.add("far b", hash_text("far b"));
  writer.end(far);  // the others stay stored for a while, and nothing points to them
  if (has_pgvector()) {
    get(index_postgres_vectors(schema.dsn(), "catalog"));
  }
  CHECK(found(*writer.backend.catalog, kSpace, {1, 0, 0, 0}, 5) == std::vector<std::string>{"far a", "far b"});
}

TEST_CASE("what an interrupted run left of an index is replaced", "[vectors]") {
  if (!has_pgvector()) {
    WARN("skipped: this server has no pgvector");
    return;
  }
  TempSchema schema;
  Writer writer(schema.dsn());
  writer.begin();
  ok(writer.persist(directions(10, kSpace.dimension)));
  const std::string name = get(index_postgres_vectors(schema.dsn(), "catalog")).at(0).name;
  RawPostgres server;
  const std::string state =
      "pg_index SET indisvalid = false WHERE indexrelid = '" + schema.name() + "." + name + "'::regclass";
  server.ask("UPDATE " + state);
  CHECK(get(index_postgres_vectors(schema.dsn(), "catalog")).at(0).created);
  CHECK(server.ask("SELECT indisvalid FROM pg_index WHERE indexrelid = '" + schema.name() + "." + name +
                   "'::regclass") == "t");
}

TEST_CASE("an index that the type can't have is refused, with what to do", "[vectors]") {
  if (!has_pgvector()) {
    WARN("skipped: this server has no pgvector");
    return;
  }
  const auto [vectors, dimension, advice] =
      GENERATE(std::make_tuple("vector", 2001, "halfvec"), std::make_tuple("halfvec", 4001, "fewer"));
  TempSchema schema;
  const Space space{"wide", static_cast<std::size_t>(dimension), ""};
  const std::string dsn = schema.dsn("&vectors=" + std::string(vectors));
  Writer writer(dsn, space);
  writer.begin();
  ok(writer.persist(directions(2, space.dimension)));
  const Status status = index_postgres_vectors(dsn, "catalog").status();
  INFO(status.to_string());
  CHECK(status.code() == Code::kRefused);
  CHECK(status.message().find(advice) != std::string::npos);
  CHECK(one_clear_line(status));
  CHECK(found(*writer.backend.catalog, space, vector_of("op 1", space), 1).size() == 1);
  CHECK(index_postgres_vectors(dsn, "nosuch").status().code() == Code::kNotFound);
}

TEST_CASE("a vector that comes again as it was stays where it is", "[vectors]") {
  TempSchema schema;
  Writer writer(schema.dsn());
  RawPostgres server;
  writer.begin();
  ok(writer.persist({{"a", {1, 2, 3, 4}}, {"b", {4, 3, 2, 1}}}));
  ok(writer.persist({{"a", {1, 2, 3, 4}}, {"b", {4, 3, 2, 5}}, {"c", {1, 1, 1, 1}}}));
  CHECK(writer.vector("a") == std::vector<float>{1, 2, 3, 4});
  CHECK(writer.vector("b") == std::vector<float>{4, 3, 2, 5});
  CHECK(writer.vector("c") == std::vector<float>{1, 1, 1, 1});
  CHECK(server.ask("SELECT count(*) FROM " + schema.name() + ".vectors") == "3");
}

TEST_CASE("a pass in which nothing changed writes no row and at most 4 KB of WAL", "[vectors]") {
  TempSchema schema;
  Writer writer(schema.dsn());
  RawPostgres server;
  const int operations = GENERATE(10, 3000);
  const auto vectors = directions(operations, kSpace.dimension);
  Manifest manifest;
  for (const auto& [id, vector] : vectors) {
    manifest.add(id, hash_text(id));
  }
  writer.begin();
  ok(writer.persist(vectors));
  writer.end(manifest);
  const auto rows = [&](const std::string& table) {
    return server.ask(
        "SELECT md5(string_agg(t.xmin::text || t.xmax::text || t.ctid::text, ',' ORDER BY t.ctid)) FROM " +
        schema.name() + "." + table + " AS t");
  };
  const auto wal = [&] { return std::stoll(server.ask("SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint")); };
  const std::string before = rows("operations") + rows("vectors") + rows("manifests");
  // The server's own housekeeping writes too, now and then: the least of several passes is what a pass writes.
  long long least = 1LL << 40;
  for (int i = 0; i < 5 || (i < 50 && least > 4096); ++i) {
    get(writer.backend.store->enqueue(kKey, JobKind::kSpecWrite));
    const long long begun = wal();
    writer.begin();
    get(writer.backend.catalog->list_existing(writer.context, manifest));
    writer.end(manifest);
    least = std::min(least, wal() - begun);
  }
  CHECK(least <= 4096);
  CHECK(rows("operations") + rows("vectors") + rows("manifests") == before);
}
