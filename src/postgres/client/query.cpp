#include "postgres/client/query.hpp"

#include <fmt/format.h>
#include <libpq-fe.h>

#include <algorithm>
#include <charconv>

#include "postgres/client/connection.hpp"

namespace embedjobs::postgres {

std::int64_t rows_changed(pg_result* result) {
  const std::string_view text = PQcmdTuples(result);
  std::int64_t count = 0;
  (void)std::from_chars(text.data(), text.data() + text.size(), count);
  return count;
}

Query::Query(Connection& connection, pg_result* result)
    : connection_(connection), result_(result), rows_(result == nullptr ? 0 : PQntuples(result)) {}

Query::~Query() {
  PQclear(result_);
}

bool Query::next() {
  if (!connection_.ok()) {
    return false;
  }
  return ++row_ < rows_;
}

std::string_view Query::blob(int column) const {
  return {PQgetvalue(result_, row_, column), static_cast<std::size_t>(PQgetlength(result_, row_, column))};
}

bool Query::is_null(int column) const {
  return PQgetisnull(result_, row_, column) != 0;
}

TextHash Query::hash(int column) const {
  TextHash hash{};
  const std::string_view bytes = blob(column);
  if (bytes.size() == hash.size()) {
    std::copy(bytes.begin(), bytes.end(), hash.begin());
  } else {
    connection_.fail({Code::kUnusable, fmt::format("PostgreSQL: damaged: a text hash has {} bytes", bytes.size())});
  }
  return hash;
}

std::int64_t Query::affected() const {
  return result_ == nullptr ? 0 : rows_changed(result_);
}

std::string_view Query::tag() const {
  return result_ == nullptr ? std::string_view() : std::string_view(PQcmdStatus(result_));
}

LaterAnswer::~LaterAnswer() {
  PQclear(result);
}

}  // namespace embedjobs::postgres
