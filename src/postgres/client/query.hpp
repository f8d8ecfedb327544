// What the server answered.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "embedjobs/types.hpp"
#include "postgres/client/values.hpp"

// libpq's own name for what it does not show.
struct pg_result;

namespace embedjobs::postgres {

class Connection;

/// Rows that an INSERT, UPDATE or DELETE touched.
std::int64_t rows_changed(pg_result* result);

/// The rows of an answer, all of them in memory.
class Query {
 public:
  Query(Connection& connection, pg_result* result);
  ~Query();
  Query(const Query&) = delete;
  Query& operator=(const Query&) = delete;

  /// True: a row is there to read. False: the end, or an error.
  bool next();
  [[nodiscard]] std::size_t size() const { return static_cast<std::size_t>(rows_); }

  [[nodiscard]] std::int64_t integer(int column) const { return read_integer(blob(column)); }
  [[nodiscard]] std::uint64_t number(int column) const { return static_cast<std::uint64_t>(integer(column)); }
  [[nodiscard]] bool boolean(int column) const { return integer(column) != 0; }
  [[nodiscard]] WallTime time(int column) const { return WallTime(Duration(integer(column))); }
  /// NULL is empty. Valid as long as this.
  [[nodiscard]] std::string_view blob(int column) const;
  [[nodiscard]] std::string text(int column) const { return std::string(blob(column)); }
  [[nodiscard]] bool is_null(int column) const;
  /// A value of another size is damage, and an error of the connection.
  [[nodiscard]] TextHash hash(int column) const;
  /// Rows that an INSERT, UPDATE or DELETE touched.
  [[nodiscard]] std::int64_t affected() const;
  /// The command's tag, for example "COMMIT".
  [[nodiscard]] std::string_view tag() const;

 private:
  Connection& connection_;
  pg_result* result_;
  int rows_ = 0;
  int row_ = -1;
};

/// The answer to a question that was sent along with others.
struct LaterAnswer {
  pg_result* result = nullptr;
  LaterAnswer() = default;
  ~LaterAnswer();
  LaterAnswer(const LaterAnswer&) = delete;
  LaterAnswer& operator=(const LaterAnswer&) = delete;
};

}  // namespace embedjobs::postgres
