#include "sqlite/connection.hpp"

#include <fmt/format.h>
#include <sqlite3.h>

#include <algorithm>
#include <climits>
#include <cstring>

#include "sqlite/errors.hpp"

namespace embedjobs::sqlite {
namespace {

// Settings of every connection. The rest (journal, synchronous) depends on options and is set by the schema's opener.
constexpr const char* kSettings =
    "PRAGMA foreign_keys = ON;"
    "PRAGMA trusted_schema = OFF;"
    "PRAGMA cell_size_check = ON;"
    "PRAGMA temp_store = MEMORY;"
    "PRAGMA cache_size = -8000";

constexpr const char* kBeginImmediate = "BEGIN IMMEDIATE";
constexpr const char* kBeginRead = "BEGIN";
constexpr const char* kCommit = "COMMIT";
constexpr const char* kRollback = "ROLLBACK";

int to_millis(Duration duration) {
  const auto millis = std::chrono::ceil<std::chrono::milliseconds>(duration).count();
  return static_cast<int>(std::clamp<std::int64_t>(millis, 0, INT_MAX));
}

int open_flags(Connection::Access access, bool create) {
  if (access == Connection::Access::kReadOnlyFile) {
    return SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
  }
  return SQLITE_OPEN_READWRITE | (create ? SQLITE_OPEN_CREATE : 0) | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
}

}  // namespace

Query::~Query() {
  reset();
}

void Query::reset() {
  if (statement_ != nullptr) {
    sqlite3_reset(statement_);
    sqlite3_clear_bindings(statement_);
  }
}

bool Query::next() {
  if (statement_ == nullptr || !connection_.ok()) {
    return false;
  }
  const int code = sqlite3_step(statement_);
  if (code != SQLITE_ROW && code != SQLITE_DONE) {
    connection_.fail_code(code);
  }
  return code == SQLITE_ROW;
}

std::int64_t Query::integer(int column) const {
  return sqlite3_column_int64(statement_, column);
}

std::string_view Query::text(int column) const {
  const auto* data = sqlite3_column_text(statement_, column);
  if (data == nullptr) {
    return {};
  }
  return {reinterpret_cast<const char*>(data), static_cast<std::size_t>(sqlite3_column_bytes(statement_, column))};
}

std::span<const std::uint8_t> Query::blob(int column) const {
  const auto* data = static_cast<const std::uint8_t*>(sqlite3_column_blob(statement_, column));
  return {data, data == nullptr ? 0 : static_cast<std::size_t>(sqlite3_column_bytes(statement_, column))};
}

TextHash Query::hash(int column) const {
  TextHash hash{};
  const auto bytes = blob(column);
  if (bytes.size() == hash.size()) {
    std::copy(bytes.begin(), bytes.end(), hash.begin());
  } else {
    connection_.fail(
        {Code::kUnusable, fmt::format("{}: damaged: a text hash has {} bytes", connection_.path(), bytes.size())});
  }
  return hash;
}

void Query::bind_integer(int index, std::int64_t value) {
  if (statement_ != nullptr) {
    connection_.fail_code(sqlite3_bind_int64(statement_, index, value));
  }
}

void Query::bind_text(int index, std::string_view value, bool copy) {
  if (statement_ != nullptr) {
    const char* data = value.data() == nullptr ? "" : value.data();  // a null pointer would bind NULL
    connection_.fail_code(sqlite3_bind_text64(statement_, index, data, value.size(),
                                              copy ? SQLITE_TRANSIENT : SQLITE_STATIC, SQLITE_UTF8));
  }
}

void Query::bind_blob(int index, Blob value, bool copy) {
  if (statement_ != nullptr) {
    const void* data = value.data == nullptr ? "" : value.data;
    connection_.fail_code(
        sqlite3_bind_blob64(statement_, index, data, value.size, copy ? SQLITE_TRANSIENT : SQLITE_STATIC));
  }
}

Result<std::unique_ptr<Connection>> Connection::open(const std::string& path, Access access, bool create,
                                                     Duration busy_timeout) {
  if (sqlite3_threadsafe() == 0) {
    return {Code::kUnusable, "the linked SQLite was built without threads"};
  }
  sqlite3* db = nullptr;
  const int code = sqlite3_open_v2(path.c_str(), &db, open_flags(access, create), nullptr);
  std::unique_ptr<Connection> connection(new Connection(db, path));
  if (code != SQLITE_OK) {
    return to_status(code, db, path);
  }
  sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  connection->set_busy_timeout(busy_timeout);
  connection->execute(kSettings);
  if (access == Access::kRead) {
    connection->execute("PRAGMA query_only = ON");
  }
  if (!connection->ok()) {
    return connection->take_error();
  }
  return connection;
}

Connection::~Connection() {
  for (const auto& [sql, statement] : statements_) {
    sqlite3_finalize(statement);
  }
  sqlite3_close(db_);
}

sqlite3_stmt* Connection::prepare(const char* sql) {
  if (!ok()) {
    return nullptr;
  }
  const auto found = statements_.find(sql);
  if (found != statements_.end()) {
    if (sqlite3_stmt_busy(found->second) != 0) {
      fail({Code::kInternal, fmt::format("a statement is used within itself: {}", sql)});
      return nullptr;
    }
    return found->second;
  }
  sqlite3_stmt* statement = nullptr;
  const int code = sqlite3_prepare_v3(db_, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, nullptr);
  if (code != SQLITE_OK) {
    fail_code(code);
    return nullptr;
  }
  statements_.emplace(sql, statement);
  return statement;
}

int Connection::changes() const {
  return ok() ? sqlite3_changes(db_) : 0;
}

void Connection::execute(const char* sql) {
  if (ok()) {
    fail_code(sqlite3_exec(db_, sql, nullptr, nullptr, nullptr));
  }
}

void Connection::begin_immediate() {
  run(kBeginImmediate);
}

void Connection::begin_read() {
  run(kBeginRead);
}

void Connection::commit() {
  run(kCommit);
}

void Connection::rollback() {
  // SQLite has rolled back by itself after some errors (full disk, I/O).
  if (sqlite3_get_autocommit(db_) != 0) {
    return;
  }
  Status kept = std::exchange(error_, Status());
  run(kRollback);
  broken_ = broken_ || !ok();
  error_ = std::move(kept);
}

void Connection::set_busy_timeout(Duration timeout) {
  sqlite3_busy_timeout(db_, to_millis(timeout));
}

bool Connection::read_only() const {
  return sqlite3_db_readonly(db_, "main") == 1;
}

Status Connection::take_error() {
  return std::exchange(error_, Status());
}

void Connection::fail(Status error) {
  if (ok()) {
    error_ = std::move(error);
  }
}

void Connection::fail_code(int code) {
  if (code == SQLITE_OK || !ok()) {
    return;
  }
  broken_ = broken_ || is_io_fault(code);
  error_ = to_status(code, db_, path_);
}

}  // namespace embedjobs::sqlite
