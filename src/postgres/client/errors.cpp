#include "postgres/client/errors.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "core/values/utf8.hpp"

namespace embedjobs::postgres {
namespace {

constexpr std::size_t kMaxMessageBytes = 300;

/// What a class of errors, or a single one, means for the caller. The first match counts.
struct Rule {
  std::string_view prefix;  ///< Of the SQLSTATE.
  Code code;
  std::string_view advice;
};

// https://www.postgresql.org/docs/15/errcodes-appendix.html
constexpr std::array kRules{
    Rule{"08", Code::kRetry, ""},     // the connection
    Rule{"40", Code::kRetry, ""},     // serialization failure, deadlock
    Rule{"53", Code::kRetry, ""},     // disk full, out of memory, too many connections
    Rule{"57014", Code::kRetry, ""},  // statement timeout
    Rule{"57", Code::kRetry, ""},     // shut down, starting up
    Rule{"55P03", Code::kRetry, ""},  // lock timeout
    Rule{"25006", Code::kRetry,
         "a standby takes no work: name the primary, or all hosts with target_session_attrs=read-write"},
    Rule{"25P0", Code::kRetry, ""},  // idle too long within a transaction
    Rule{"58P01", Code::kUnusable, "the server lacks a file of its installation"},
    Rule{"55000", Code::kUnusable, ""},
    Rule{"58", Code::kRetry, ""},  // I/O
    Rule{"28", Code::kUnusable, "check user and password (DSN, PGPASSWORD or ~/.pgpass) and pg_hba.conf"},
    Rule{"3D000", Code::kUnusable, "create the database, or name another in the DSN"},
    Rule{"42501", Code::kUnusable,
         "grant the role what docs/postgres.md lists, or let the owner of the schema migrate"},
    Rule{"3F000", Code::kUnusable, "migrate the schema"},
    Rule{"42P01", Code::kUnusable, "migrate the schema"},
    Rule{"42883", Code::kUnusable, "migrate the schema"},
    Rule{"XX", Code::kUnusable, "the database is damaged"},
    Rule{"22021", Code::kInvalidArgument, "a text is not valid UTF-8"},
    Rule{"54000", Code::kInvalidArgument, "an operation id is too long"},
};

}  // namespace

std::string one_line(std::string_view message) {
  message = message.substr(0, message.find('\n'));
  message = core::cut_utf8(message, kMaxMessageBytes);
  while (!message.empty() && (message.back() == '.' || message.back() == ' ' || message.back() == '\r')) {
    message.remove_suffix(1);
  }
  return std::string(message);
}

Status to_status(std::string_view sqlstate, std::string_view message) {
  const std::string line = one_line(message);
  for (const Rule& rule : kRules) {
    if (sqlstate.starts_with(rule.prefix)) {
      return {rule.code, rule.advice.empty() ? fmt::format("PostgreSQL: {}", line)
                                             : fmt::format("PostgreSQL: {}: {}", line, rule.advice)};
    }
  }
  return {Code::kInternal, fmt::format("PostgreSQL: {} (SQLSTATE {})", line, sqlstate)};
}

bool is_conflict(std::string_view sqlstate) {
  return sqlstate == "40001" || sqlstate == "40P01" || sqlstate == "0A000" || sqlstate == "23505" ||
         is_lost_statement(sqlstate);
}

bool is_lost_statement(std::string_view sqlstate) {
  return sqlstate == "26000" || sqlstate == "42P05";
}

bool is_connection_fault(std::string_view sqlstate) {
  return sqlstate.starts_with("08") || sqlstate.starts_with("57P") || sqlstate == "25006" ||
         sqlstate.starts_with("25P0");
}

}  // namespace embedjobs::postgres
