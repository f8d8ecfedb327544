// What the server does for a claim's statements.
#pragma once

#include <string>

#include "postgres/claim_sql.hpp"
#include "support/raw_postgres.hpp"

namespace embedjobs::test {

inline std::string with_schema(std::string sql, const std::string& schema) {
  for (std::size_t at = sql.find('@'); at != std::string::npos; at = sql.find('@', at)) {
    sql.replace(at, 1, schema + ".");
  }
  return sql;
}

/// The generic plan of a statement that picks due jobs, as a prepared statement gets it. `options`: of EXPLAIN.
inline std::string due_plan(RawPostgres& server, const std::string& schema, const char* sql, const std::string& options,
                            const std::string& due_by = "1000000") {
  server.ask(postgres::session_settings({}, ""));
  server.ask("SET plan_cache_mode = force_generic_plan");
  server.ask("PREPARE claim (text, bigint, bigint, bigint, bigint[]) AS " + with_schema(sql, schema));
  const std::string json = server.ask("EXPLAIN (FORMAT JSON" + options + ") EXECUTE claim ('s', 0, " + due_by + ", 10, '{}')");
  server.ask("DEALLOCATE claim");
  return json;
}

/// How many buffers picking due jobs looks at. Takes no job: it is rolled back.
inline long long claim_buffers(RawPostgres& server, const std::string& schema) {
  server.ask("BEGIN");
  const std::string json = due_plan(server, schema, postgres::claim_sql::kDueUrgent, ", ANALYZE, BUFFERS", "9000000000000000000");
  server.ask("ROLLBACK");
  const auto number = [&](const std::string& name) {
    const std::size_t at = json.find("\"" + name + "\": ");
    return at == std::string::npos ? 0LL : std::stoll(json.substr(at + name.size() + 4));
  };
  return number("Shared Hit Blocks") + number("Shared Read Blocks");  // the first are the topmost node's: of all
}

}  // namespace embedjobs::test
