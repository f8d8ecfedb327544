#include "sqlite/errors.hpp"

#include <fmt/format.h>
#include <sqlite3.h>

#include <cerrno>
#include <cstring>

namespace embedjobs::sqlite {
namespace {

std::string detail(int code, sqlite3* db) {
  const char* text = db != nullptr && sqlite3_errcode(db) != SQLITE_OK ? sqlite3_errmsg(db) : sqlite3_errstr(code);
  std::string line = text == nullptr ? "unknown error" : text;
  for (char& c : line) {
    c = c == '\n' ? ' ' : c;
  }
  return line;
}

bool no_room(int system_error) {
  return system_error == ENOSPC || system_error == EDQUOT;
}

Status io_fault(int code, sqlite3* db, std::string_view path) {
  const int system_error = db == nullptr ? 0 : sqlite3_system_errno(db);
  if (no_room(system_error)) {
    return {Code::kRetry, fmt::format("{}: disk full", path)};
  }
  if (system_error == EROFS) {
    return {Code::kUnusable,
            fmt::format("{}: the file system is read-only: mount it writable or use another place", path)};
  }
  const char* cause = system_error == 0 ? "" : std::strerror(system_error);
  return {Code::kRetry, fmt::format("{}: I/O error {} ({}) {}", path, code, detail(code, db), cause)};
}

Status cannot_open(int code, sqlite3* db, std::string_view path) {
  const int system_error = db == nullptr ? 0 : sqlite3_system_errno(db);
  if (no_room(system_error)) {
    return {Code::kRetry, fmt::format("{}: disk full", path)};
  }
  if (system_error == EMFILE || system_error == ENFILE) {
    return {Code::kRetry, fmt::format("{}: too many open files", path)};
  }
  return {Code::kUnusable,
          fmt::format("{}: can't be opened ({}): check that its directory exists and is writable for this user", path,
                      detail(code, db))};
}

}  // namespace

bool is_io_fault(int code) {
  const int primary = code & 0xff;
  return primary == SQLITE_IOERR || primary == SQLITE_CANTOPEN || primary == SQLITE_FULL || primary == SQLITE_CORRUPT;
}

Status to_status(int code, sqlite3* db, std::string_view path) {
  switch (code & 0xff) {
    case SQLITE_OK:
    case SQLITE_ROW:
    case SQLITE_DONE: return {};
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return {Code::kRetry, fmt::format("{}: busy: another process holds its lock for too long", path)};
    case SQLITE_FULL: return {Code::kRetry, fmt::format("{}: disk full", path)};
    case SQLITE_IOERR: return io_fault(code, db, path);
    case SQLITE_NOMEM: return {Code::kRetry, fmt::format("{}: out of memory", path)};
    case SQLITE_CANTOPEN: return cannot_open(code, db, path);
    case SQLITE_READONLY:
      return {Code::kUnusable, fmt::format("{}: can't be written ({}): make file and directory writable for this user",
                                           path, detail(code, db))};
    case SQLITE_PERM:
    case SQLITE_AUTH: return {Code::kUnusable, fmt::format("{}: access denied ({})", path, detail(code, db))};
    case SQLITE_NOTADB: return {Code::kUnusable, fmt::format("{}: not a SQLite database: choose another file", path)};
    case SQLITE_CORRUPT:
      return {Code::kUnusable,
              fmt::format("{}: damaged ({}): restore a backup, or delete it and add the documents again", path,
                          detail(code, db))};
    case SQLITE_TOOBIG: return {Code::kInvalidArgument, fmt::format("{}: a value is too large", path)};
    case SQLITE_INTERRUPT: return {Code::kCancelled, fmt::format("{}: interrupted", path)};
    case SQLITE_ERROR:
      if (db != nullptr && std::string_view(sqlite3_errmsg(db)).starts_with("no such ")) {
        return {Code::kUnusable,
                fmt::format("{}: damaged ({}): restore a backup, or delete it and add the documents again", path,
                            detail(code, db))};
      }
      [[fallthrough]];
    default: return {Code::kInternal, fmt::format("{}: {} ({})", path, detail(code, db), code)};
  }
}

}  // namespace embedjobs::sqlite
