// One SQLite connection with its prepared statements.
//
// Errors are sticky: after the first one every query of the connection answers "no row" and does nothing, until
// take_error(). A transaction is therefore written as straight code, and whoever ends it (Database) looks at the error
// once, before everything else: what the code concluded from missing rows is thrown away with the transaction.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <unordered_map>
#include <vector>

#include "embedjobs/status.hpp"
#include "embedjobs/types.hpp"

struct sqlite3;
struct sqlite3_stmt;

namespace embedjobs::sqlite {

class Connection;

/// Bytes to bind as a blob.
struct Blob {
  const void* data = nullptr;
  std::size_t size = 0;
};

/// A running query. One at a time for one SQL text; it is reset when this ends.
class Query {
 public:
  enum class Bind { kCopy, kView };  ///< kView: arguments outlive the query.
  template <typename... Args>
  Query(Connection& connection, sqlite3_stmt* statement, Bind mode, const Args&... args)
      : connection_(connection), statement_(statement) {
    bind_all(mode, args...);
  }
  ~Query();
  Query(const Query&) = delete;
  Query& operator=(const Query&) = delete;

  /// True: a row is there to read. False: the end, or an error.
  bool next();
  /// Starts again with other arguments, which must live until the next call or the end of this. Null statement:
  /// nothing.
  template <typename... Args>
  Query& again(const Args&... args) {
    reset();
    bind_all(Bind::kView, args...);
    return *this;
  }

  [[nodiscard]] std::int64_t integer(int column) const;
  [[nodiscard]] std::uint64_t number(int column) const { return static_cast<std::uint64_t>(integer(column)); }
  [[nodiscard]] bool boolean(int column) const { return integer(column) != 0; }
  [[nodiscard]] WallTime time(int column) const { return WallTime(Duration(integer(column))); }
  /// Valid until the next step.
  [[nodiscard]] std::string_view text(int column) const;
  [[nodiscard]] std::span<const std::uint8_t> blob(int column) const;
  /// A blob of another size is damage, and an error of the connection.
  [[nodiscard]] TextHash hash(int column) const;

 private:
  void reset();
  template <typename... Args>
  void bind_all(Bind mode, const Args&... args) {
    [[maybe_unused]] const bool copy = mode == Bind::kCopy;
    [[maybe_unused]] int index = 0;
    (bind(++index, args, copy), ...);
  }
  template <typename T>
  void bind(int index, const T& value, bool copy) {
    if constexpr (std::is_same_v<T, WallTime>) {
      bind_integer(index, value.time_since_epoch().count());
    } else if constexpr (std::is_same_v<T, Duration>) {
      bind_integer(index, value.count());
    } else if constexpr (std::is_integral_v<T> || std::is_enum_v<T>) {
      bind_integer(index, static_cast<std::int64_t>(value));
    } else if constexpr (std::is_same_v<T, TextHash>) {
      bind_blob(index, {value.data(), value.size()}, copy);
    } else if constexpr (std::is_same_v<T, Blob>) {
      bind_blob(index, value, copy);
    } else {
      bind_text(index, std::string_view(value), copy);
    }
  }
  void bind_integer(int index, std::int64_t value);
  void bind_text(int index, std::string_view value, bool copy);
  void bind_blob(int index, Blob value, bool copy);

  Connection& connection_;
  sqlite3_stmt* statement_;
};

/// Used by one thread at a time.
class Connection {
 public:
  enum class Access { kWrite, kRead, kReadOnlyFile };
  /// kRead opens for writing too (a crashed writer's journal must be rolled back by whoever comes first) but refuses
  /// statements that write.
  static Result<std::unique_ptr<Connection>> open(const std::string& path, Access access, bool create,
                                                  Duration busy_timeout);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  /// `sql` is a constant: its address is the key of the statement cache. Arguments are copied.
  template <typename... Args>
  Query query(const char* sql, const Args&... args) {
    return Query(*this, prepare(sql), Query::Bind::kCopy, args...);
  }
  /// Runs to the end; the number of rows changed.
  template <typename... Args>
  int run(const char* sql, const Args&... args) {
    Query query(*this, prepare(sql), Query::Bind::kView, args...);
    while (query.next()) {
    }
    return changes();
  }
  /// The first column of the first row, or `otherwise`.
  template <typename... Args>
  std::int64_t value_or(std::int64_t otherwise, const char* sql, const Args&... args) {
    Query query(*this, prepare(sql), Query::Bind::kView, args...);
    return query.next() ? query.integer(0) : otherwise;
  }
  /// Several statements, not cached.
  void execute(const char* sql);

  void begin_immediate();
  void begin_read();
  void commit();
  /// Ends a transaction, if there is one, without a trace; keeps the sticky error.
  void rollback();

  void set_busy_timeout(Duration timeout);
  [[nodiscard]] bool read_only() const;
  [[nodiscard]] bool ok() const noexcept { return error_.ok(); }
  /// The sticky error, which is then forgotten.
  Status take_error();
  /// Records an error of the caller's own finding, for example a value that can't be.
  void fail(Status error);
  void fail_code(int code);
  /// True after a fault of the file system.
  [[nodiscard]] bool broken() const noexcept { return broken_; }
  [[nodiscard]] const std::string& path() const noexcept { return path_; }
  sqlite3* handle() noexcept { return db_; }

 private:
  Connection(sqlite3* db, std::string path) : db_(db), path_(std::move(path)) {}
  sqlite3_stmt* prepare(const char* sql);
  [[nodiscard]] int changes() const;

  sqlite3* db_;
  std::string path_;
  Status error_;
  bool broken_ = false;
  std::unordered_map<const char*, sqlite3_stmt*> statements_;
};

}  // namespace embedjobs::sqlite
