// The schema's version: making it, migrating to it, refusing what is not ours.
#pragma once

#include "embedjobs/sqlite.hpp"
#include "sqlite/connection.hpp"

namespace embedjobs::sqlite {

inline constexpr int kSchemaVersion = 3;
/// "emjb" as a number, in the file's header: tells our files from those of other programs.
inline constexpr int kApplicationId = 0x656d6a62;
/// kMigrations[n] leads from version n to n + 1.
extern const char* const kMigrations[kSchemaVersion];

/// The file's version; 0 for an empty database. kUnusable when it belongs to another program.
Result<int> file_version(Connection& connection);

/// Checks the file, sets the journal, and makes or migrates the schema. Nothing is changed when it can't be used.
Status prepare_schema(Connection& connection, SqliteJournal journal);
/// The journal's settings that belong to a connection.
Status apply_journal(Connection& connection, SqliteJournal journal);

/// True when this version of SQLite (a sqlite3_libversion_number) has the fix of the WAL-reset defect.
/// https://sqlite.org/wal.html: 3.51.3, with backports 3.50.7 and 3.44.6.
bool wal_is_safe(int version);

}  // namespace embedjobs::sqlite
