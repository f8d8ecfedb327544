// A long history without the months of work that make one.
#pragma once

#include <string>

#include "support/raw_postgres.hpp"

namespace embedjobs::test {

/// Jobs of the catalog `catalog` that ended over the last week, of `keys` specs named "filled 0" and so on; a hundredth
/// of them failed. The newest is of the spec "filled 0" when `keys` divides `rows`. Ids are below 0: no job of the
/// library has one.
inline void fill_history(RawPostgres& server, const std::string& schema, long long rows, long long keys) {
  const std::string count = std::to_string(rows);
  const std::string days = " FROM generate_series(0::bigint, 7) AS day";
  server.ask("SELECT " + schema + ".make_history_days(" + schema + ".time_now() - day * 86400000000000)" + days);
  server.ask("INSERT INTO " + schema + ".catalogs (name) VALUES ('catalog') ON CONFLICT DO NOTHING");
  server.ask("INSERT INTO " + schema + ".keys (catalog_id, spec_name) SELECT c.id, 'filled ' || i FROM " + schema +
             ".catalogs AS c, generate_series(0, " + std::to_string(keys - 1) +
             ") AS i WHERE c.name = 'catalog' ON CONFLICT DO NOTHING");
  server.ask("INSERT INTO " + schema +
             ".history (id, key_id, catalog_id, next_run_at, created_at, updated_at, started_at, completed_at, "
             "attempts, generation,"
             " fence_counter, fence_nonce, kind, status, priority, settled, worker_id) "
             "SELECT i - 1 - " +
             count +
             ", k.id, k.catalog_id, t, t, t, t, t, 1, 1, i, i, 0,"
             " CASE WHEN i % 100 = 0 THEN 3 ELSE 2 END, 0, true, 'w' "
             "FROM (SELECT i, " +
             schema + ".time_now() - (6048e11 * (" + count + " - i) / " + count +
             ")::bigint AS t"
             " FROM generate_series(1::bigint, " +
             count +
             ") AS i) AS s "
             "JOIN " +
             schema + ".keys AS k ON k.spec_name = 'filled ' || i % " + std::to_string(keys));
  server.ask("INSERT INTO " + schema + ".job_counts (status, count) VALUES (2, " + count + ")");
  server.ask("VACUUM ANALYZE " + schema + ".history");
}

}  // namespace embedjobs::test
