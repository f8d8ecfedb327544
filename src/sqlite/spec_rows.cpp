#include "sqlite/spec_rows.hpp"

namespace embedjobs::sqlite {
namespace {

constexpr const char* kHasDocument = "SELECT 1 FROM documents WHERE key_id = ?";
constexpr const char* kDropDocument = "DELETE FROM documents WHERE key_id = ?";
constexpr const char* kUnlinkManifests = "UPDATE manifests SET state = 2 WHERE key_id = ? AND state < 2";
constexpr const char* kClearCount = "UPDATE keys SET operation_count = 0, searched_manifest_id = 0 WHERE id = ?";

constexpr const char* kBehindTarget = "SELECT target_space FROM catalogs WHERE id = ? AND target_space <> search_space";
// Two ranges of the index keys_visible, where <> would read every spec of the catalog.
constexpr const char* kAnyBehind =
    "SELECT EXISTS (SELECT 1 FROM keys AS k INDEXED BY keys_visible JOIN manifests AS m ON m.id = k.visible_manifest_id"
    "  WHERE k.catalog_id = ?1 AND k.visible_space_id < ?2 AND m.row_count > 0)"
    " OR EXISTS (SELECT 1 FROM keys AS k INDEXED BY keys_visible JOIN manifests AS m ON m.id = k.visible_manifest_id"
    "  WHERE k.catalog_id = ?1 AND k.visible_space_id > ?2 AND m.row_count > 0)";
// The number of the flip is what ends the use of the specs' older manifests: a flip is one row, whatever the size of
// the catalog.
constexpr const char* kFollow = "UPDATE catalogs SET search_space = target_space, flips = flips + 1 WHERE id = ?";
constexpr const char* kKeepSearched =
    "UPDATE keys SET searched_manifest_id = visible_manifest_id, searched_flip = (SELECT flips FROM catalogs WHERE id "
    "= keys.catalog_id) "
    "WHERE id = ?1 AND visible_space_id <> ?2 AND visible_space_id ="
    " (SELECT s.id FROM catalogs AS c JOIN spaces AS s ON s.catalog_id = c.id AND s.name = c.search_space WHERE c.id = "
    "keys.catalog_id)";

}  // namespace

bool has_document(Connection& connection, const KeyRow& key) {
  return connection.value_or(0, kHasDocument, key.id) != 0;
}

void drop_spec(Connection& connection, KeyRow& key, WallTime now) {
  connection.run(kDropDocument, key.id);
  connection.run(kUnlinkManifests, key.id);
  connection.run(kClearCount, key.id);
  key.has_spec = false;
  key.visible_manifest_id = 0;
  key.visible_space_id = 0;
  save_spec(connection, key, now);
  follow_target(connection, key.catalog_id);
}

void keep_searched(Connection& connection, const KeyRow& key, std::int64_t new_space_id) {
  connection.run(kKeepSearched, key.id, new_space_id);
}

void follow_target(Connection& connection, std::int64_t catalog_id) {
  std::string target;
  {
    Query row = connection.query(kBehindTarget, catalog_id);
    if (!row.next()) {
      return;
    }
    target = row.text(0);
  }
  const std::int64_t space_id = find_space(connection, catalog_id, target);
  if (connection.value_or(1, kAnyBehind, catalog_id, space_id) == 0) {
    connection.run(kFollow, catalog_id);
  }
}

}  // namespace embedjobs::sqlite
