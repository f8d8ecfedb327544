// SQLite's result codes as Status: what the caller should do, and a line for a person.
#pragma once

#include <string>
#include <string_view>

#include "embedjobs/status.hpp"

struct sqlite3;

namespace embedjobs::sqlite {

/// `code` is an extended result code; `db` may be null. `path` names the file in the message.
Status to_status(int code, sqlite3* db, std::string_view path);

/// True after a fault of the file system, when the connection is better replaced than used again.
bool is_io_fault(int code);

}  // namespace embedjobs::sqlite
