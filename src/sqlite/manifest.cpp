#include "sqlite/manifest.hpp"

#include <algorithm>

#include "core/backend/in_pieces.hpp"
#include "core/rules/checks.hpp"
#include "core/rules/errors.hpp"
#include "core/rules/limits.hpp"
#include "sqlite/provider_tokens.hpp"
#include "sqlite/reserve.hpp"
#include "sqlite/sqlite_catalog.hpp"
#include "sqlite/vectors.hpp"

namespace embedjobs::sqlite {
namespace {

constexpr const char* kFindManifest = "SELECT " EMBEDJOBS_MANIFEST_COLUMNS("") " FROM manifests WHERE id = ?";
// What was made for a space before the catalog's searches left it is stale: it is not the start of a new manifest.
constexpr const char* kFindLive =
    "SELECT " EMBEDJOBS_MANIFEST_COLUMNS("m.") " "
    "FROM manifests AS m INDEXED BY manifests_live CROSS JOIN keys AS k ON k.id = m.key_id"
    " CROSS JOIN catalogs AS c ON c.id = k.catalog_id CROSS JOIN spaces AS s ON s.id = m.space_id "
    "WHERE m.key_id = ? AND m.space_id = ? AND m.state = 0 AND (m.id = k.visible_manifest_id"
    " OR (m.id = k.searched_manifest_id AND k.searched_flip = c.flips)"
    " OR m.flip >= c.flips - (s.name = c.search_space))";
constexpr const char* kDropStale = "UPDATE manifests SET state = 2 WHERE key_id = ? AND space_id = ? AND state = 0";
constexpr const char* kInsertLive =
    "INSERT INTO manifests (key_id, space_id, state, flip) "
    "SELECT k.id, ?2, 0, c.flips FROM keys AS k JOIN catalogs AS c ON c.id = k.catalog_id WHERE k.id = ?1 RETURNING id";
constexpr const char* kExtend = "UPDATE manifests SET row_count = row_count + ?2 WHERE id = ?1 AND ?2 > 0";

constexpr const char* kInsertOperation =
    "INSERT INTO operations (manifest_id, operation_id, text_hash) VALUES (?, ?, ?) ON CONFLICT (manifest_id, "
    "operation_id) DO NOTHING";
constexpr const char* kUpdateOperation =
    "UPDATE operations SET text_hash = ?3 WHERE manifest_id = ?1 AND operation_id = ?2 AND text_hash <> ?3";

constexpr const char* kTarget = "SELECT target_space FROM catalogs WHERE id = ?";

Status write_piece(Connection& connection, const PassContext& context, std::span<const VectorRow> rows, WallTime now) {
  auto key = fenced_key(connection, context);
  if (!key.ok() || rows.empty()) {
    return key.status();
  }
  count_tokens(connection, context, now);
  const std::int64_t space_id = make_space(connection, key->catalog_id, context.space.id());
  const ManifestRow manifest = make_live_manifest(connection, key->id, space_id);
  VectorWriter vectors(connection, space_id, context);
  std::int64_t added = 0;
  for (const VectorRow& row : rows) {
    vectors.put(row);
    end_reservation(connection, space_id, row.text_hash, key->id);
    added += put_operation(connection, manifest.id, row.operation_id, row.text_hash) ? 1 : 0;
  }
  connection.run(kExtend, manifest.id, added);
  if (key->visible_manifest_id == 0) {
    key->visible_manifest_id = manifest.id;
    key->visible_space_id = space_id;
    key->has_spec = true;
    save_spec(connection, *key, now);
  }
  return {};
}

}  // namespace

Result<KeyRow> fenced_key(Connection& connection, const PassContext& context) {
  std::optional<KeyRow> key = find_key(connection, context.key);
  if (!key) {
    return core::no_such_spec(context.key);
  }
  const std::optional<JobRow> row = load_job(connection, context.job_id);
  if (!row || row->key_id != key->id || !rules::holds(row->job, key->state, context.fence)) {
    return core::lease_lost(context.job_id, context.key);
  }
  Query catalog = connection.query(kTarget, key->catalog_id);
  if (catalog.next() && catalog.text(0) != context.space.id()) {
    return core::wrong_target(context.key.catalog_id, catalog.text(0), context.space.id());
  }
  return *key;
}

std::optional<ManifestRow> find_manifest(Connection& connection, std::int64_t id) {
  return core::read_manifest(connection.query(kFindManifest, id));
}

std::optional<ManifestRow> find_live_manifest(Connection& connection, std::int64_t key_id, std::int64_t space_id) {
  return core::read_manifest(connection.query(kFindLive, key_id, space_id));
}

ManifestRow make_live_manifest(Connection& connection, std::int64_t key_id, std::int64_t space_id) {
  if (std::optional<ManifestRow> found = find_live_manifest(connection, key_id, space_id)) {
    return *std::move(found);
  }
  connection.run(kDropStale, key_id, space_id);
  ManifestRow made{.space_id = space_id};
  Query query = connection.query(kInsertLive, key_id, space_id);
  while (query.next()) {
    made.id = query.integer(0);
  }
  return made;
}

bool put_operation(Connection& connection, std::int64_t manifest_id, std::string_view operation_id,
                   const TextHash& hash) {
  if (connection.run(kInsertOperation, manifest_id, operation_id, hash) == 1) {
    return true;
  }
  connection.run(kUpdateOperation, manifest_id, operation_id, hash);
  return false;
}

Status SqliteCatalog::persist_batch(const PassContext& context, std::span<const VectorRow> rows) {
  if (Status status = core::check_persist(context, rows); !status.ok()) {
    return status;
  }
  return core::for_pieces(rows, core::kMaxRowsPerTransaction, [&](std::span<const VectorRow> piece) {
    return database_->write([&](Connection& connection) { return write_piece(connection, context, piece, now()); });
  });
}

}  // namespace embedjobs::sqlite
