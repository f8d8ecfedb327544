#include "postgres/spec.hpp"

namespace embedjobs::postgres {
namespace {

constexpr const char* kHasDocument = "SELECT 1 FROM @documents WHERE key_id = $1";
constexpr const char* kDropDocument = "DELETE FROM @documents WHERE key_id = $1";
constexpr const char* kUnlinkManifests = "UPDATE @manifests SET state = 2 WHERE key_id = $1 AND state < 2";
constexpr const char* kClearCount = "UPDATE @keys SET operation_count = 0, searched_manifest_id = 0 WHERE id = $1";

constexpr const char* kIsBehind = "SELECT 1 FROM @catalogs WHERE id = $1 AND target_space <> search_space";
constexpr const char* kLockBehind = "SELECT target_space FROM @catalogs WHERE id = $1 AND target_space <> search_space FOR NO KEY UPDATE";
// Two ranges of the index keys_visible, where <> would read every spec of the catalog.
constexpr const char* kAnyBehind =
    "SELECT (EXISTS (SELECT 1 FROM @keys AS k JOIN @manifests AS m ON m.id = k.visible_manifest_id"
    "  WHERE k.catalog_id = $1 AND k.visible_space_id < $2 AND m.row_count > 0)"
    " OR EXISTS (SELECT 1 FROM @keys AS k JOIN @manifests AS m ON m.id = k.visible_manifest_id"
    "  WHERE k.catalog_id = $1 AND k.visible_space_id > $2 AND m.row_count > 0))::int";
// The number of the flip is what ends the use of the specs' older manifests: a flip is one row, whatever the size of the catalog.
constexpr const char* kFollow = "UPDATE @catalogs SET search_space = target_space, flips = flips + 1 WHERE id = $1";
constexpr const char* kKeepSearched =
    "UPDATE @keys AS k SET searched_manifest_id = k.visible_manifest_id, searched_flip = c.flips "
    "FROM @catalogs AS c JOIN @spaces AS s ON s.catalog_id = c.id AND s.name = c.search_space "
    "WHERE k.id = $1 AND c.id = k.catalog_id AND k.visible_space_id <> $2 AND k.visible_space_id = s.id";

}  // namespace

bool has_document(Connection& connection, const KeyRow& key) {
  return connection.value_or(0, kHasDocument, key.id) != 0;
}

void drop_spec(Connection& connection, KeyRow& key) {
  connection.run_later(kDropDocument, key.id);
  connection.run_later(kUnlinkManifests, key.id);
  connection.run_later(kClearCount, key.id);
  key.has_spec = false;
  key.visible_manifest_id = 0;
  key.visible_space_id = 0;
  save_spec(connection, key);
  follow_target(connection, key.catalog_id);
}

void keep_searched(Connection& connection, const KeyRow& key, std::int64_t new_space_id) {
  connection.run_later(kKeepSearched, key.id, new_space_id);
}

void follow_target(Connection& connection, std::int64_t catalog_id) {
  if (connection.value_or(0, kIsBehind, catalog_id) == 0) {
    return;
  }
  std::string target;
  {
    Query row = connection.query(kLockBehind, catalog_id);
    if (!row.next()) {
      return;
    }
    target = row.text(0);
  }
  const std::int64_t space_id = find_space(connection, catalog_id, target);
  if (connection.value_or(1, kAnyBehind, catalog_id, space_id) == 0) {
    connection.run_later(kFollow, catalog_id);
  }
}

}  // namespace embedjobs::postgres
