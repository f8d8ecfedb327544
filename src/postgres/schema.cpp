#include "postgres/schema.hpp"

#include <fmt/format.h>

#include "embedjobs/limits.hpp"
#include "postgres/client/vector_type.hpp"
#include "postgres/database.hpp"

namespace embedjobs::postgres {
namespace {

// 2: it has a version; 1: it has something else; 0: it has nothing, or is not there. One statement, since another
// process may be at it.
constexpr const char* kWhatThere =
    "SELECT coalesce(max(there), 0) FROM ("
    "SELECT n.nspname, CASE WHEN c.relname = 'schema_version' THEN 2 ELSE 1 END AS there"
    " FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace "
    "UNION ALL SELECT n.nspname, 1 FROM pg_catalog.pg_proc AS p JOIN pg_catalog.pg_namespace AS n ON n.oid = "
    "p.pronamespace) AS t"
    " WHERE t.nspname = $1";
constexpr const char* kHasSchema = "SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = $1";
// Of a role that may write somewhere: the tables that it may not read and write. One that only reads is let.
constexpr const char* kMissingRights =
    "SELECT CASE WHEN bool_or(has_table_privilege(c.oid, 'INSERT')) THEN string_agg(c.relname, ', ' ORDER BY "
    "c.relname) FILTER (WHERE NOT"
    " (has_table_privilege(c.oid, 'SELECT') AND has_table_privilege(c.oid, 'INSERT') AND has_table_privilege(c.oid, "
    "'UPDATE')"
    " AND has_table_privilege(c.oid, 'DELETE'))) END "
    "FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace "
    "WHERE n.nspname = $1 AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relname <> 'schema_version'";
constexpr const char* kGetVersion = "SELECT version FROM @schema_version";
constexpr const char* kCanMigrate =
    "SELECT (CASE WHEN EXISTS (SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = $1) THEN has_schema_privilege($1, "
    "'CREATE')"
    " ELSE has_database_privilege(current_database(), 'CREATE') END)::int";
// What is written means the same whoever runs it, with whatever settings.
constexpr std::string_view kMigrationSettings =
    "SET LOCAL search_path = pg_catalog, pg_temp;\nSET LOCAL standard_conforming_strings = on;\n";
constexpr const char* kLock = "SELECT pg_advisory_xact_lock($1)";

void replace_all(std::string& text, std::string_view what, std::string_view with) {
  for (std::size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + with.size())) {
    text.replace(at, what.size(), with);
  }
}

std::string expanded(std::string_view sql, std::string_view schema, PostgresVectors vectors) {
  std::string text(sql);
  replace_all(text, "@max_document_bytes", std::to_string(kMaxDocumentBytes));
  replace_all(text, "@max_name_bytes", std::to_string(kMaxNameBytes));
  replace_all(text, "@vectors_wanted", to_string(vectors));
  replace_all(text, "@schema_name", schema);
  replace_all(text, "@channel", channel_of(schema));
  replace_all(text, "@schema_quoted", fmt::format("\"{}\"", schema));
  replace_all(text, "@", fmt::format("\"{}\".", schema));
  return text;
}

/// Asks again under the lock: another process may have migrated in between.
Status migrate_locked(Connection& connection, std::string_view schema, PostgresVectors vectors) {
  (void)connection.query(kLock, advisory_key(schema, "migrate"));
  auto version = read_version(connection, schema);
  if (!version.ok()) {
    return version.status();
  }
  if (*version < kSchemaVersion) {
    if (connection.value_or(0, kCanMigrate, schema) == 0 && connection.ok()) {
      return {Code::kUnusable,
              fmt::format(
                  "the schema {} has version {}, {} is needed, and this role may not change it: let its owner migrate",
                  schema, *version, kSchemaVersion)};
    }
    const bool is_there = connection.value_or(0, kHasSchema, schema) != 0;
    (void)connection.execute(is_there ? "" : fmt::format("CREATE SCHEMA \"{}\"", schema));
    (void)connection.execute(migration_sql(schema, *version, vectors));
  }
  return connection.take_error();
}

Status migrate(Connection& connection, std::string_view schema, PostgresVectors vectors) {
  (void)connection.execute("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE");
  Status status = connection.ok() ? migrate_locked(connection, schema, vectors) : connection.take_error();
  if (status.ok() && !connection.commit()) {
    status = connection.take_error();
    status = status.ok() ? Status(Code::kRetry, "PostgreSQL: the server rolled the migration back") : status;
  }
  connection.rollback();
  return status;
}

}  // namespace

Result<int> read_version(Connection& connection, std::string_view schema) {
  int version = 0;
  switch (connection.value_or(0, kWhatThere, schema)) {
    case 2: version = static_cast<int>(connection.value_or(-1, kGetVersion)); break;
    case 1: version = -1; break;
    default: break;
  }
  if (!connection.ok()) {
    return connection.take_error();
  }
  if (version < 0) {
    return {
        Code::kUnusable,
        fmt::format("the schema {} belongs to another program, or is damaged: name another in the DSN, ?schema=NAME",
                    schema)};
  }
  if (version > kSchemaVersion) {
    return {Code::kUnusable,
            fmt::format("the schema {} has version {}, this library knows up to {}: use a newer embedjobs", schema,
                        version, kSchemaVersion)};
  }
  return version;
}

std::string channel_of(std::string_view schema) {
  constexpr std::size_t kLongestName =
      63;  // of the server's identifiers; two schemas with one channel wake each other, no more
  return fmt::format("embedjobs_{}", schema).substr(0, kLongestName);
}

std::string migration_sql(std::string_view schema, int from_version, PostgresVectors vectors) {
  std::string sql(kMigrationSettings);
  for (int from = from_version; from < kSchemaVersion; ++from) {
    sql += expanded(kMigrations[from], schema, vectors);
  }
  if (from_version == 0) {
    sql += expanded(
        "\nCREATE TABLE @schema_version (version integer NOT NULL);\nINSERT INTO @schema_version (version) VALUES "
        "(0);\n",
        schema, vectors);
  }
  sql += expanded(fmt::format("UPDATE @schema_version SET version = {};\n", kSchemaVersion), schema, vectors);
  return sql;
}

Status check_rights(Connection& connection, std::string_view schema) {
  Query row = connection.query(kMissingRights, schema);
  const std::string tables = row.next() ? row.text(0) : std::string();
  if (!tables.empty()) {
    return {
        Code::kUnusable,
        fmt::format("this role may write to the schema {}, but lacks rights on {}: grant what docs/postgres.md lists, "
                    "again after each migration",
                    schema, tables)};
  }
  return {};
}

Status prepare_schema(Connection& connection, const PostgresOptions& options) {
  auto version = read_version(connection, options.schema);
  if (!version.ok()) {
    return version.status();
  }
  if (*version == kSchemaVersion) {
    return {};
  }
  if (!options.migrate) {
    return {Code::kUnusable, fmt::format("the schema {} has version {}, {} is needed: run 'embedjobs migrate'",
                                         options.schema, *version, kSchemaVersion)};
  }
  return migrate(connection, options.schema, options.vectors);
}

}  // namespace embedjobs::postgres
