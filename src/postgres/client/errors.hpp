// PostgreSQL's errors as Status: what the caller should do, and a line for a person.
#pragma once

#include <string>
#include <string_view>

#include "embedjobs/status.hpp"

namespace embedjobs::postgres {

/// `sqlstate` has five characters; `message` is the server's.
Status to_status(std::string_view sqlstate, std::string_view message);

/// The transaction lost against another one, or a statement must be prepared again: the same transaction may succeed
/// now.
bool is_conflict(std::string_view sqlstate);
/// The server forgot a prepared statement, or has it already: a pooler stands in between.
bool is_lost_statement(std::string_view sqlstate);
/// The connection is better replaced than used again.
bool is_connection_fault(std::string_view sqlstate);

/// The first line, without trailing dots and blanks, at most 300 bytes.
std::string one_line(std::string_view message);

}  // namespace embedjobs::postgres
