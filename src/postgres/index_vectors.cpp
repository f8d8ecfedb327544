// An index a space: an expression gives the column its dimension, a condition keeps other spaces out.
#include "postgres/index_vectors.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "core/rules/errors.hpp"
#include "core/values/guard.hpp"
#include "embedjobs/postgres.hpp"
#include "embedjobs/space.hpp"
#include "postgres/database.hpp"
#include "postgres/records.hpp"
#include "postgres/schema.hpp"

namespace embedjobs::postgres {
namespace {

using Report = std::function<void(const PostgresIndexProgress&)>;

constexpr Duration kReportInterval = std::chrono::seconds(1);
constexpr Duration kNoLimit = std::chrono::hours(24 * 365);

constexpr const char* kIndexState =
    "SELECT i.indisvalid FROM pg_catalog.pg_index AS i WHERE i.indexrelid = to_regclass($1)";
constexpr const char* kTryLock = "SELECT pg_try_advisory_lock($1)::int";
constexpr const char* kProgress =
    "SELECT p.phase, CASE WHEN p.tuples_total > 0 THEN p.tuples_done ELSE p.blocks_done END,"
    " CASE WHEN p.tuples_total > 0 THEN p.tuples_total ELSE p.blocks_total END "
    "FROM pg_catalog.pg_stat_progress_create_index AS p WHERE p.relid = to_regclass('@vectors')";

/// How many dimensions an HNSW index takes.
std::size_t most_dimensions(PostgresVectors kind) {
  return kind == PostgresVectors::kHalfvec ? 4000 : 2000;
}

enum class IndexState { kMissing, kInvalid, kValid };

IndexState index_state(Connection& connection, std::int64_t space_id) {
  Query row = connection.query(kIndexState, connection.qualified(vector_index_name(space_id)));
  if (!row.next()) {
    return IndexState::kMissing;
  }
  return row.boolean(0) ? IndexState::kValid : IndexState::kInvalid;
}

/// Reports what the server says about an index that is being made, from a thread and a connection of its own, until it
/// ends.
class Reporter {
 public:
  Reporter(const Dsn& dsn, const Report& report)
      : dsn_(dsn),
        report_(report),
        thread_(report ? std::jthread([this](const std::stop_token& stop) { run(stop); }) : std::jthread()) {}

 private:
  void run(const std::stop_token& stop) {
    auto opened = Connection::open(dsn_.parameters, dsn_.options, deadline_in(dsn_.options.connect_timeout));
    if (!opened.ok()) {
      return;  // the index is made all the same
    }
    Connection& connection = **opened;
    std::mutex mutex;
    std::condition_variable_any stopped;
    std::unique_lock lock(mutex);
    while (!stopped.wait_for(lock, stop, kReportInterval, [&] { return stop.stop_requested(); })) {
      connection.set_deadline(deadline_in(dsn_.options.call_timeout));
      Query row = connection.query(kProgress);
      if (row.next()) {
        report_({.phase = row.text(0), .done = row.number(1), .total = row.number(2)});
      }
    }
  }

  const Dsn& dsn_;
  const Report& report_;
  std::jthread thread_;  // the last: it uses the others
};

Status check_dimension(const VectorType& type, const Space& space) {
  const std::size_t most = most_dimensions(type.kind);
  if (space.dimension <= most) {
    return {};
  }
  return {Code::kRefused,
          fmt::format("the space {} has {} dimensions, an index of {} takes {}: {}", space.id(), space.dimension,
                      to_string(type.kind), most,
                      space.dimension <= most_dimensions(PostgresVectors::kHalfvec)
                          ? "a schema with vectors=halfvec takes 4000"
                          : "choose a model, or a size of its vectors, with fewer; searches work without an index")};
}

Result<PostgresIndex> make_index(Connection& connection, const Dsn& dsn, std::int64_t space_id,
                                 const std::string& space_name, const Report& report) {
  auto space = parse_space(space_name);
  if (!space.ok()) {
    return space.status();
  }
  const VectorType& type = connection.vector_type();
  if (Status status = check_dimension(type, *space); !status.ok()) {
    return status;
  }
  PostgresIndex index{.name = vector_index_name(space_id), .space_id = space_name, .created = false};
  const IndexState state = index_state(connection, space_id);
  if (state == IndexState::kValid) {
    return index;
  }
  if (state == IndexState::kInvalid) {  // what an interrupted run left
    (void)connection.execute(fmt::format("DROP INDEX CONCURRENTLY @{}", index.name));
  }
  {
    const Reporter reporter(dsn, report);
    (void)connection.execute(
        fmt::format("CREATE INDEX CONCURRENTLY {0} ON @vectors USING hnsw ((vector::#{1}({2})) #{1}_cosine_ops) "
                    "WHERE space_id = {3}",
                    index.name, to_string(type.kind), space->dimension, space_id));
  }
  index.created = true;
  return index;
}

Result<std::vector<PostgresIndex>> make_indexes(Connection& connection, const Dsn& dsn, std::string_view catalog_id,
                                                const Report& report) {
  if (connection.vector_type().kind == PostgresVectors::kReal) {
    return {
        Code::kRefused,
        fmt::format("the schema {} keeps vectors as real[], which has no index: install pgvector and fill a new schema",
                    dsn.options.schema)};
  }
  const std::optional<CatalogRow> catalog = find_catalog(connection, catalog_id);
  if (!catalog) {
    return {connection.ok() ? core::no_such_catalog(catalog_id) : connection.take_error()};
  }
  // Of the session, so that it ends with the process, however that ends.
  if (connection.value_or(0, kTryLock, advisory_key(dsn.options.schema, "index")) == 0 && connection.ok()) {
    return {Code::kRetry, "another process is making an index in this schema: see pg_stat_progress_create_index"};
  }
  std::vector<std::string> names{catalog->search_space};
  if (catalog->target_space != catalog->search_space) {
    names.push_back(catalog->target_space);
  }
  std::vector<PostgresIndex> indexes;
  for (const std::string& name : names) {
    const std::int64_t space_id = find_space(connection, catalog->id, name);
    if (space_id == 0) {
      continue;
    }
    auto index = make_index(connection, dsn, space_id, name, report);
    if (!index.ok()) {
      return index.status();
    }
    indexes.push_back(*std::move(index));
  }
  if (!connection.ok()) {
    return connection.take_error();
  }
  return indexes;
}

}  // namespace

std::string vector_index_name(std::int64_t space_id) {
  return fmt::format("vectors_hnsw_{}", space_id);
}

bool has_vector_index(Connection& connection, std::int64_t space_id) {
  return index_state(connection, space_id) == IndexState::kValid;
}

}  // namespace embedjobs::postgres

namespace embedjobs {

Result<std::vector<PostgresIndex>> index_postgres_vectors(
    std::string_view dsn, std::string_view catalog_id,
    const std::function<void(const PostgresIndexProgress&)>& progress) {
  return core::guarded("PostgreSQL", [&]() -> Result<std::vector<PostgresIndex>> {
    auto parsed = postgres::parse_dsn(dsn, {});
    if (!parsed.ok()) {
      return parsed.status();
    }
    auto opened = postgres::Connection::open(parsed->parameters, parsed->options,
                                             postgres::deadline_in(parsed->options.call_timeout));
    if (!opened.ok()) {
      return opened.status();
    }
    postgres::Connection& connection = **opened;
    parsed->options.migrate = false;
    if (Status status = postgres::prepare_schema(connection, parsed->options); !status.ok()) {
      return status;
    }
    if (Status status = postgres::check_vector_type(connection, parsed->options); !status.ok()) {
      return status;
    }
    (void)connection.execute("SET statement_timeout = 0");
    connection.set_deadline(postgres::deadline_in(postgres::kNoLimit));
    return postgres::make_indexes(connection, *parsed, catalog_id, progress);
  });
}

}  // namespace embedjobs
