// The backend over PostgreSQL: any number of processes on any number of machines.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "embedjobs/backend.hpp"
#include "embedjobs/options.hpp"

namespace embedjobs {

class Clock;

/// How a schema keeps its vectors. Chosen when the schema is made, and kept.
enum class PostgresVectors {
  kAuto,    ///< As pgvector's `vector` when the server has it, else as `real[]`.
  kReal,    ///< `real[]`: needs no extension. The searching process compares the vectors.
  kVector,  ///< pgvector's `vector`: up to 16,000 dimensions, or 2,000 with an index.
  kHalfvec  ///< pgvector's `halfvec` (0.7 or newer): half the bytes, about three decimal digits. Up to 16,000
            ///< dimensions, or 4,000 with an index.
};

struct PostgresOptions {
  StoreOptions store;
  /// Where the tables are: [a-z_][a-z0-9_]{0,62}. DSN: ?schema=NAME
  std::string schema = "embedjobs";
  /// Make or migrate the schema when it is not current. False: kUnusable in that case, with a line that says what to
  /// run. DSN: ?migrate=off
  bool migrate = true;
  /// False behind a pooler that hands a server connection to another client after each transaction. DSN:
  /// ?prepared_statements=off
  bool prepared_statements = true;
  /// True: no LISTEN; workers look every quarter of a second. For the same poolers. DSN: ?poll_only=on
  bool poll_only = false;
  /// The column type for vectors in a new schema. A schema that has another type is refused. kAuto takes any. DSN:
  /// ?vectors=halfvec
  PostgresVectors vectors = PostgresVectors::kAuto;
  /// Connections for calls, beside one for renewals and one that listens. Calls that find none wait. DSN:
  /// ?max_connections=N
  std::size_t max_connections = 8;
  /// How long connecting may take. kRetry when it takes longer. DSN: ?connect_timeout=SECONDS
  Duration connect_timeout = std::chrono::seconds(10);
  /// How long one transaction may take, waits for locks included. kRetry when it takes longer.
  Duration call_timeout = std::chrono::seconds(30);
  /// For tests and simulations: leases, due times and stamps are by the clock given to open_postgres, not by the
  /// server's.
  bool use_clock = false;
  /// For tests: called before (false) and after (true) each commit. If it returns an error, the transaction answers
  /// that error. An error before the commit also rolls back. After the commit the effect stays.
  std::function<Status(bool committed)> commit_fault;
};

/// Opens (and makes or migrates) the schema in the database that `dsn` names:
/// postgresql://USER@HOST:PORT/DATABASE?OPTION=VALUE, as libpq has it, with the options above. The password is better
/// kept in ~/.pgpass or PGPASSWORD; it appears in no message. Time is the server's: the clocks of the workers' machines
/// do not matter. kUnusable, harming nothing: no such database, refused, no right, not UTF-8, server older than
/// 13, a newer schema. kRetry: the server can't be reached. Do not carry it over fork: a call in the child answers
/// kRefused.
Result<Backend> open_postgres(std::string_view dsn, const PostgresOptions& options, std::shared_ptr<Clock> clock);

/// What a DSN leads to: the schema's name, the version that this library writes, and that of the database (0: none
/// yet). Changes nothing.
struct PostgresSchema {
  std::string name;
  int library_version = 0;
  int database_version = 0;
  PostgresVectors wanted_vectors = PostgresVectors::kAuto;  ///< What the DSN asks for.
  PostgresVectors vectors = PostgresVectors::kAuto;  ///< What the schema keeps them as; kAuto: there is none yet.
};
/// Errors as open_postgres.
Result<PostgresSchema> inspect_postgres(std::string_view dsn);
/// What the DSN alone says, without asking the server: `database_version` and `vectors` are unknown. kInvalidArgument:
/// not a DSN.
Result<PostgresSchema> parse_postgres(std::string_view dsn);

/// The SQL that makes the schema, or brings it from `from_version` to this library's, for those who run such things
/// themselves. kInvalidArgument: not a schema's name, or not a version that this library can start from.
Result<std::string> postgres_migration_sql(std::string_view schema, int from_version = 0,
                                           PostgresVectors vectors = PostgresVectors::kAuto);

/// An index over the vectors of one space.
struct PostgresIndex {
  std::string name;
  std::string space_id;
  bool created = false;  ///< False: it was there.
};
struct PostgresIndexProgress {
  std::string phase;  ///< The server's word for what it does, for example "building index: loading tuples".
  std::uint64_t done = 0;
  std::uint64_t total = 0;  ///< Of blocks or rows; 0: not known.
};
/// Makes an HNSW index over the vectors of each of the catalog's spaces (the one that searches read, and the target),
/// if there is none. Readers and writers go on meanwhile. What an interrupted call left is replaced. It may take hours:
/// `progress`, where given, is called about once per second, from another thread. Needs the role that owns the schema.
/// kNotFound: no such catalog. kRefused: the schema keeps vectors as real[], or the space has more dimensions than an
/// index can have. kRetry: another process makes the index. Other errors as open_postgres.
Result<std::vector<PostgresIndex>> index_postgres_vectors(
    std::string_view dsn, std::string_view catalog_id,
    const std::function<void(const PostgresIndexProgress&)>& progress = {});

}  // namespace embedjobs
