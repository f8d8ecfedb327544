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

/// What the tables promise each other, beyond what SQLite checks.
inline void check_consistent(const std::string& path) {
  check_integrity(path);
  // The counts that triggers keep are those of the jobs.
  CHECK(raw_sql(path,
                "SELECT status FROM job_counts AS c WHERE count <> (SELECT COUNT(*) FROM jobs AS j WHERE j.status = "
                "c.status)")
            .empty());
  // Every address has its vector, and no vector is without an address.
  CHECK(raw_sql(path, "SELECT vector_id FROM vectors EXCEPT SELECT id FROM vector_data").empty());
  CHECK(raw_sql(path, "SELECT id FROM vector_data EXCEPT SELECT vector_id FROM vectors").empty());
  // Every row that may be seen has its vector, and every manifest knows how many it has.
  CHECK(raw_sql(path,
                "SELECT operation_id FROM operations AS o JOIN manifests AS m ON m.id = o.manifest_id WHERE m.state < "
                "2 AND NOT EXISTS"
                " (SELECT 1 FROM vectors AS v WHERE v.space_id = m.space_id AND v.text_hash = o.text_hash)")
            .empty());
  CHECK(raw_sql(path,
                "SELECT id FROM manifests AS m WHERE state = 0 AND row_count <> (SELECT COUNT(*) FROM operations WHERE "
                "manifest_id = m.id)")
            .empty());
  // The holder of a key is its running job.
  CHECK(raw_sql(path,
                "SELECT k.id FROM keys AS k WHERE (k.holder_nonce <> 0) <> EXISTS (SELECT 1 FROM jobs AS j WHERE "
                "j.key_id = k.id AND"
                " j.status = 1 AND j.fence_nonce = k.holder_nonce AND j.fence_counter = k.fence_counter)")
            .empty());
}

}  // namespace embedjobs::test
