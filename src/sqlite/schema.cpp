#include "sqlite/schema.hpp"

#include <fmt/format.h>
#include <sqlite3.h>

namespace embedjobs::sqlite {
namespace {

constexpr const char* kGetApplicationId = "PRAGMA application_id";
constexpr const char* kGetUserVersion = "PRAGMA user_version";
constexpr const char* kCountObjects = "SELECT COUNT(*) FROM sqlite_schema";
constexpr const char* kGetJournal = "PRAGMA journal_mode";

// 8 KiB: three vectors of 512 floats share a page, where pages of 4 KiB would hold one each.
constexpr const char* kPageSize = "PRAGMA page_size = 8192";
constexpr const char* kUseRollback = "PRAGMA journal_mode = TRUNCATE";
constexpr const char* kUseWal = "PRAGMA journal_mode = WAL";
// EXTRA also syncs the directory's entry of the journal; in WAL FULL is what makes a commit durable.
constexpr const char* kSyncRollback = "PRAGMA synchronous = EXTRA";
constexpr const char* kSyncWal = "PRAGMA synchronous = FULL";

bool wants_wal(SqliteJournal journal) {
  return journal == SqliteJournal::kWal ||
         (journal == SqliteJournal::kAuto && wal_is_safe(sqlite3_libversion_number()));
}

Status newer_file(const Connection& connection, int version) {
  return {Code::kUnusable, fmt::format("{}: has schema {}, this library knows up to {}: use a newer embedjobs",
                                       connection.path(), version, kSchemaVersion)};
}

std::string current_journal(Connection& connection) {
  Query query = connection.query(kGetJournal);
  return query.next() ? std::string(query.text(0)) : std::string();
}

void migrate_from(Connection& connection, int version) {
  for (int from = version; from < kSchemaVersion; ++from) {
    connection.execute(kMigrations[from]);
  }
  connection.execute(
      fmt::format("PRAGMA application_id = {}; PRAGMA user_version = {}", kApplicationId, kSchemaVersion).c_str());
}

/// Looks again under the write lock: another process may have migrated in between.
Status migrate(Connection& connection) {
  connection.begin_immediate();
  if (!connection.ok()) {
    return connection.take_error();
  }
  auto version = file_version(connection);
  if (version.ok() && *version < kSchemaVersion) {
    migrate_from(connection, *version);
  }
  if (!version.ok() || !connection.ok()) {
    connection.rollback();
    Status error = connection.take_error();
    return version.ok() ? error : version.status();
  }
  connection.commit();
  Status error = connection.take_error();
  connection.rollback();
  return error;
}

}  // namespace

bool wal_is_safe(int version) {
  const int minor = version / 1000 * 1000;
  return version >= 3051003 || (minor == 3050000 && version >= 3050007) || (minor == 3044000 && version >= 3044006);
}

Result<int> file_version(Connection& connection) {
  const auto application = connection.value_or(0, kGetApplicationId);
  const auto version = connection.value_or(0, kGetUserVersion);
  const auto objects = connection.value_or(0, kCountObjects);
  if (!connection.ok()) {
    return connection.take_error();
  }
  if (application == 0 && version == 0 && objects == 0) {
    return 0;
  }
  if (application != kApplicationId) {
    return {Code::kUnusable, fmt::format("{}: belongs to another program: choose another file", connection.path())};
  }
  if (version < 1) {
    return {Code::kUnusable, fmt::format("{}: damaged: its schema has no version", connection.path())};
  }
  return static_cast<int>(version);
}

Status apply_journal(Connection& connection, SqliteJournal journal) {
  const bool wal = wants_wal(journal);
  connection.execute(wal ? kUseWal : kUseRollback);
  if (Status status = connection.take_error(); !status.ok()) {
    // Changing the mode needs the file alone. Others that use it in the other mode go on, and so do we, in theirs.
    if (status.code() != Code::kRetry || current_journal(connection).empty()) {
      return status;
    }
  }
  connection.execute(current_journal(connection) == "wal" ? kSyncWal : kSyncRollback);
  return connection.take_error();
}

Status prepare_schema(Connection& connection, SqliteJournal journal) {
  auto version = file_version(connection);
  if (!version.ok()) {
    return version.status();
  }
  if (*version > kSchemaVersion) {
    return newer_file(connection, *version);
  }
  if (connection.read_only()) {
    if (*version == kSchemaVersion) {
      return {};
    }
    return {Code::kUnusable,
            fmt::format("{}: is read-only and has no current schema: make it writable", connection.path())};
  }
  connection.execute(kPageSize);
  if (Status status = apply_journal(connection, journal); !status.ok()) {
    return status;
  }
  return *version < kSchemaVersion ? migrate(connection) : Status();
}

}  // namespace embedjobs::sqlite
