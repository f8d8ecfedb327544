#include <filesystem>

#include <fmt/format.h>

#include "embedjobs/sqlite.hpp"
#include "embedjobs/sys/runtime.hpp"
#include "sqlite/backend.hpp"
#include "sqlite/database.hpp"
#include "sqlite/schema.hpp"

namespace embedjobs {

Result<Backend> open_sqlite(const std::string& path, const SqliteOptions& options, std::shared_ptr<Clock> clock) {
  try {
    auto database = sqlite::Database::open(path, options, clock != nullptr ? std::move(clock) : system_clock());
    if (!database.ok()) {
      return database.status();
    }
    return Backend{sqlite::make_store(*database), sqlite::make_catalog(*database)};
  } catch (const std::exception& error) {
    return {Code::kInternal, fmt::format("{}: {}", path, error.what())};
  }
}

Result<SqliteSchema> inspect_sqlite(const std::string& path) {
  try {
    std::error_code error;
    if (!std::filesystem::exists(path, error)) {
      return {Code::kNotFound, fmt::format("{}: no such database", path)};
    }
    const SqliteOptions defaults;
    auto connection =
        sqlite::Connection::open(path, sqlite::Connection::Access::kReadOnlyFile, false, defaults.busy_timeout);
    if (!connection.ok()) {
      return connection.status();
    }
    auto version = sqlite::file_version(**connection);
    if (!version.ok()) {
      return version.status();
    }
    return SqliteSchema{.library_version = sqlite::kSchemaVersion, .file_version = *version};
  } catch (const std::exception& error) {
    return {Code::kInternal, fmt::format("{}: {}", path, error.what())};
  }
}

}  // namespace embedjobs
