#include "sqlite/spec.hpp"

namespace embedjobs::sqlite {
namespace {

constexpr const char* kHasDocument = "SELECT 1 FROM documents WHERE key_id = ?";
constexpr const char* kDropDocument = "DELETE FROM documents WHERE key_id = ?";
constexpr const char* kUnlinkManifests = "UPDATE manifests SET state = 2 WHERE key_id = ? AND state < 2";
constexpr const char* kClearCount = "UPDATE keys SET operation_count = 0 WHERE id = ?";

constexpr const char* kBehindTarget = "SELECT target_space FROM catalogs WHERE id = ? AND target_space <> search_space";
// Two ranges of the index keys_visible, where <> would read every spec of the catalog.
constexpr const char* kAnyBehind =
    "SELECT EXISTS (SELECT 1 FROM keys AS k INDEXED BY keys_visible JOIN manifests AS m ON m.id = k.visible_manifest_id"
    "  WHERE k.catalog_id = ?1 AND k.visible_space_id < ?2 AND m.row_count > 0)"
    " OR EXISTS (SELECT 1 FROM keys AS k INDEXED BY keys_visible JOIN manifests AS m ON m.id = k.visible_manifest_id"
    "  WHERE k.catalog_id = ?1 AND k.visible_space_id > ?2 AND m.row_count > 0)";
// What is not visible now is of a space that was left, or of a pass that has just begun. Told by one number, so that the flip of a catalog
// of any size is one row; the sweep deletes them.
constexpr const char* kFollow =
    "UPDATE catalogs SET search_space = target_space, stale_before = (SELECT IFNULL(MAX(id), 0) FROM manifests) WHERE id = ?";

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
