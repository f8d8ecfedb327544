// A database file as another program sees it: for looking at it, and for spoiling it.
#pragma once

#include <sqlite3.h>

#include <catch2/catch.hpp>
#include <string>
#include <vector>

namespace embedjobs::test {

/// Runs SQL on the file; the rows, their columns joined by '|'.
inline std::vector<std::string> raw_sql(const std::string& path, const std::string& sql) {
  sqlite3* db = nullptr;
  std::vector<std::string> rows;
  const auto collect = [](void* out, int count, char** values, char**) {
    std::string row;
    for (int i = 0; i < count; ++i) {
      row += (i > 0 ? "|" : "") + std::string(values[i] == nullptr ? "NULL" : values[i]);
    }
    static_cast<std::vector<std::string>*>(out)->push_back(row);
    return 0;
  };
  REQUIRE(sqlite3_open(path.c_str(), &db) == SQLITE_OK);
  sqlite3_busy_timeout(db, 10'000);
  char* error = nullptr;
  const int code = sqlite3_exec(db, sql.c_str(), collect, &rows, &error);
  INFO(sql << ": " << (error == nullptr ? "" : error));
  sqlite3_free(error);
  sqlite3_close(db);
  REQUIRE(code == SQLITE_OK);
  return rows;
}

inline void check_integrity(const std::string& path) {
  CHECK(raw_sql(path, "PRAGMA integrity_check") == std::vector<std::string>{"ok"});
  CHECK(raw_sql(path, "PRAGMA foreign_key_check").empty());
}

}  // namespace embedjobs::test
