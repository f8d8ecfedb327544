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

/// The generic plan of the statement that picks due jobs, as a prepared statement gets it.
inline std::string due_plan(RawPostgres& server, const std::string& schema) {
  server.ask(postgres::session_settings({}, ""));
  server.ask("SET plan_cache_mode = force_generic_plan");
  server.ask("PREPARE claim (text, bigint, bigint, bigint, bigint, bigint, bigint[], boolean) AS " +
             with_schema(postgres::claim_sql::kDue, schema));
  const std::string json =
      server.ask("EXPLAIN (FORMAT JSON) EXECUTE claim ('s', 0, 0, 1000000, 1000000, 10, '{}', false)");
  server.ask("DEALLOCATE claim");
  return json;
}

/// How many entries of the index of urgent jobs were looked at since the server began, those of jobs that are gone
/// included. Sessions tell once a second.
inline long long due_entries_read(RawPostgres& server, const std::string& schema) {
  return std::stoll(server.ask("SELECT coalesce(sum(idx_tup_read), 0) FROM pg_stat_user_indexes WHERE schemaname = '" +
                               schema + "' AND indexrelname = 'jobs_urgent'"));
}

}  // namespace embedjobs::test
