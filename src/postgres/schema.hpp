// The schema's version: making it, migrating to it, refusing what is not ours.
#pragma once

#include <string>
#include <string_view>

#include "embedjobs/postgres.hpp"
#include "postgres/client/connection.hpp"

namespace embedjobs::postgres {

inline constexpr int kSchemaVersion = 4;
/// kMigrations[n] leads from version n to n + 1. '@' stands for the schema.
extern const char* const kMigrations[kSchemaVersion];

/// The schema's version; 0: there is none yet, or an empty one. kUnusable: not ours, or newer.
Result<int> read_version(Connection& connection, std::string_view schema);

/// Checks the schema, and makes or migrates it. Nothing is changed when it can't be used, or is current: that needs no
/// right to change it.
Status prepare_schema(Connection& connection, const PostgresOptions& options);

/// kUnusable, with their names: there are tables that a role which writes may not read and write. Better told now than
/// in the middle of a job.
Status check_rights(Connection& connection, std::string_view schema);

/// What workers listen to: the channel of the schema's notifications.
std::string channel_of(std::string_view schema);

/// From one version to this library's, without BEGIN and COMMIT. `vectors` is what a new schema is asked to keep them
/// as.
std::string migration_sql(std::string_view schema, int from_version, PostgresVectors vectors);

}  // namespace embedjobs::postgres
