#include <fmt/format.h>

#include "embedjobs/postgres.hpp"
#include "embedjobs/sys/runtime.hpp"
#include "postgres/backend.hpp"
#include "postgres/client/vector_type.hpp"
#include "postgres/database.hpp"
#include "postgres/schema.hpp"

namespace embedjobs {
namespace {

PostgresSchema wanted_schema(const postgres::Dsn& dsn) {
  return {
      .name = dsn.options.schema, .library_version = postgres::kSchemaVersion, .wanted_vectors = dsn.options.vectors};
}

}  // namespace

Result<Backend> open_postgres(std::string_view dsn, const PostgresOptions& options, std::shared_ptr<Clock> clock) {
  return core::guarded("PostgreSQL", [&]() -> Result<Backend> {
    auto database = postgres::Database::open(dsn, options, clock != nullptr ? std::move(clock) : system_clock());
    if (!database.ok()) {
      return database.status();
    }
    return Backend{postgres::make_store(*database), postgres::make_catalog(*database)};
  });
}

Result<PostgresSchema> inspect_postgres(std::string_view dsn) {
  return core::guarded("PostgreSQL", [&]() -> Result<PostgresSchema> {
    auto parsed = postgres::parse_dsn(dsn, {});
    if (!parsed.ok()) {
      return parsed.status();
    }
    const postgres::Deadline deadline = postgres::deadline_in(parsed->options.call_timeout);
    auto connection = postgres::Connection::open(parsed->parameters, parsed->options, deadline);
    if (!connection.ok()) {
      return connection.status();
    }
    auto version = postgres::read_version(**connection, parsed->options.schema);
    if (!version.ok()) {
      return version.status();
    }
    PostgresSchema schema = wanted_schema(*parsed);
    schema.database_version = *version;
    if (*version > 0) {
      schema.vectors = (*connection)->vector_type().kind;
    }
    Status error = (*connection)->take_error();
    return error.ok() ? Result<PostgresSchema>(std::move(schema)) : Result<PostgresSchema>(std::move(error));
  });
}

Result<PostgresSchema> parse_postgres(std::string_view dsn) {
  return core::guarded("PostgreSQL", [&]() -> Result<PostgresSchema> {
    auto parsed = postgres::parse_dsn(dsn, {});
    return parsed.ok() ? Result<PostgresSchema>(wanted_schema(*parsed)) : Result<PostgresSchema>(parsed.status());
  });
}

Result<std::string> postgres_migration_sql(std::string_view schema, int from_version, PostgresVectors vectors) {
  if (Status status = postgres::check_schema_name(schema); !status.ok()) {
    return status;
  }
  if (from_version < 0 || from_version > postgres::kSchemaVersion) {
    return {Code::kInvalidArgument, fmt::format("this library migrates from version 0 to {}, not from {}",
                                                postgres::kSchemaVersion, from_version)};
  }
  // Not IF NOT EXISTS: that asks for the right to make it even where it is there.
  const std::string create = from_version == 0 ? fmt::format(
                                                     "DO $$ BEGIN IF pg_catalog.to_regnamespace('\"{0}\"') IS NULL "
                                                     "THEN CREATE SCHEMA \"{0}\"; END IF; END $$;\n",
                                                     schema)
                                               : std::string();
  return fmt::format("BEGIN;\n{}{}COMMIT;\n", create, postgres::migration_sql(schema, from_version, vectors));
}

}  // namespace embedjobs
