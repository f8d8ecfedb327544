// A finalize's steps over SQLite. Their course, the same in every database, is in core/backend/finalize.cpp.
#include "core/backend/finalize.hpp"
#include "core/rules/checks.hpp"
#include "core/rules/errors.hpp"
#include "core/rules/limits.hpp"
#include "sqlite/manifest.hpp"
#include "sqlite/spec_rows.hpp"
#include "sqlite/sqlite_catalog.hpp"
#include "sqlite/vectors.hpp"

namespace embedjobs::sqlite {
namespace {

constexpr const char* kReadOperations =
    "SELECT operation_id, text_hash FROM operations WHERE manifest_id = ? AND operation_id > ? ORDER BY operation_id "
    "LIMIT ?";
constexpr const char* kFirstOperations =
    "SELECT operation_id, text_hash FROM operations WHERE manifest_id = ? ORDER BY operation_id LIMIT ?";
constexpr const char* kDeleteOperation = "DELETE FROM operations WHERE manifest_id = ? AND operation_id = ?";
constexpr const char* kDropUnfinished = "UPDATE manifests SET state = 2 WHERE key_id = ? AND state = 1";
constexpr const char* kInsertBuilding =
    "INSERT INTO manifests (key_id, space_id, state, flip, fence_counter, fence_nonce) "
    "SELECT k.id, ?2, 1, c.flips, ?3, ?4 FROM keys AS k JOIN catalogs AS c ON c.id = k.catalog_id WHERE k.id = ?1 "
    "RETURNING id";
constexpr const char* kReplaceLive =
    "UPDATE manifests SET state = 2 WHERE key_id = ? AND space_id = ? AND state = 0 AND id <> ?";
constexpr const char* kFinish =
    "UPDATE manifests SET state = 0, complete = 1, row_count = ?2, content_version = ?3, splitter_version = ?4 WHERE "
    "id = ?1";
constexpr const char* kSaveCount =
    "UPDATE keys SET operation_count = ?2, updated_at = ?3 WHERE id = ?1 AND operation_count <> ?2";

class SqliteFinalize final : public core::Finalize {
 public:
  SqliteFinalize(Database& database, const PassContext& context, const Manifest& manifest)
      : Finalize(context, manifest), database_(database) {}

 private:
  Result<std::vector<bool>> stored(const std::vector<TextHash>& texts) override;
  Result<std::int64_t> find_live() override;
  Result<std::vector<core::StoredOperation>> operations_after(std::int64_t manifest_id,
                                                              const std::string* after) override;
  Status apply(std::int64_t live) override;
  Result<std::int64_t> begin_building() override;
  Status build(std::int64_t building, std::span<const std::uint32_t> operations) override;
  Status flip(std::int64_t building) override;

  Status put(Connection& connection, std::int64_t space_id, std::int64_t manifest_id,
             std::span<const std::uint32_t> operations) const;
  void finish(Connection& connection, KeyRow& key, std::int64_t space_id, std::int64_t manifest_id) const;

  Database& database_;
};

Result<std::vector<bool>> SqliteFinalize::stored(const std::vector<TextHash>& texts) {
  return database_.read([&](Connection& connection) -> Result<std::vector<bool>> {
    auto key = fenced_key(connection, context());
    if (!key.ok()) {
      return key.status();
    }
    return reusable(connection, find_space(connection, key->catalog_id, context().space.id()), context(), texts);
  });
}

Result<std::int64_t> SqliteFinalize::find_live() {
  return database_.read([&](Connection& connection) -> Result<std::int64_t> {
    auto key = fenced_key(connection, context());
    if (!key.ok()) {
      return key.status();
    }
    const std::int64_t space_id = find_space(connection, key->catalog_id, context().space.id());
    const std::optional<ManifestRow> manifest = find_live_manifest(connection, key->id, space_id);
    return manifest ? manifest->id : 0;
  });
}

Result<std::vector<core::StoredOperation>> SqliteFinalize::operations_after(std::int64_t manifest_id,
                                                                            const std::string* after) {
  return database_.read([&](Connection& connection) -> Result<std::vector<core::StoredOperation>> {
    std::vector<core::StoredOperation> operations;
    Query row = after == nullptr ? connection.query(kFirstOperations, manifest_id, core::kReadPieceRows)
                                 : connection.query(kReadOperations, manifest_id, *after, core::kReadPieceRows);
    while (row.next()) {
      operations.push_back({std::string(row.text(0)), row.hash(1)});
    }
    return operations;
  });
}

/// Points operations to their texts. Under the write lock a vector can't be swept between the look and the row that
/// points to it.
Status SqliteFinalize::put(Connection& connection, std::int64_t space_id, std::int64_t manifest_id,
                           std::span<const std::uint32_t> operations) const {
  if (Status status = check_stored(operations, reusable(connection, space_id, context(), texts_of(operations)));
      !status.ok()) {
    return status;
  }
  for (const std::uint32_t operation : operations) {
    put_operation(connection, manifest_id, manifest().operation_id(operation), manifest().text_hash(operation));
    mark_referenced(connection, space_id, manifest().text_hash(operation));
  }
  return {};
}

Status SqliteFinalize::apply(std::int64_t live) {
  return database_.write([&](Connection& connection) -> Status {
    auto key = fenced_key(connection, context());
    if (!key.ok()) {
      return key.status();
    }
    const std::int64_t space_id = make_space(connection, key->catalog_id, context().space.id());
    const std::optional<ManifestRow> found = find_live_manifest(connection, key->id, space_id);
    if ((found ? found->id : 0) != live) {
      return core::manifest_swept();
    }
    const ManifestRow manifest = make_live_manifest(connection, key->id, space_id);
    if (Status status = put(connection, space_id, manifest.id, difference().put()); !status.ok()) {
      return status;
    }
    for (const std::string& id : difference().deleted()) {
      connection.run(kDeleteOperation, manifest.id, id);
    }
    finish(connection, *key, space_id, manifest.id);
    return {};
  });
}

Result<std::int64_t> SqliteFinalize::begin_building() {
  return database_.write([&](Connection& connection) -> Result<std::int64_t> {
    auto key = fenced_key(connection, context());
    if (!key.ok()) {
      return key.status();
    }
    const std::int64_t space_id = make_space(connection, key->catalog_id, context().space.id());
    connection.run(kDropUnfinished, key->id);  // of an earlier call that did not come to its end
    std::int64_t building = 0;
    Query query = connection.query(kInsertBuilding, key->id, space_id, context().fence.counter, context().fence.nonce);
    while (query.next()) {
      building = query.integer(0);
    }
    return building;
  });
}

Status SqliteFinalize::build(std::int64_t building, std::span<const std::uint32_t> operations) {
  return database_.write([&](Connection& connection) -> Status {
    auto key = fenced_key(connection, context());
    if (!key.ok()) {
      return key.status();
    }
    return put(connection, find_space(connection, key->catalog_id, context().space.id()), building, operations);
  });
}

Status SqliteFinalize::flip(std::int64_t building) {
  return database_.write([&](Connection& connection) -> Status {
    auto key = fenced_key(connection, context());
    if (!key.ok()) {
      return key.status();
    }
    const std::optional<ManifestRow> manifest = find_manifest(connection, building);
    if (!manifest) {
      return core::manifest_swept();
    }
    connection.run(kReplaceLive, key->id, manifest->space_id, building);
    finish(connection, *key, manifest->space_id, building);
    return {};
  });
}

/// The manifest is complete, and what readers see. Writes only what is not so already.
void SqliteFinalize::finish(Connection& connection, KeyRow& key, std::int64_t space_id,
                            std::int64_t manifest_id) const {
  const std::optional<ManifestRow> before = find_manifest(connection, manifest_id);
  const auto count = static_cast<std::int64_t>(manifest().size());
  const bool same = before && is_unchanged(*before);
  if (!same) {
    connection.run(kFinish, manifest_id, count, context().content_version, context().splitter_version);
  }
  connection.run(kSaveCount, key.id, count, database_.clock().wall_now());
  if (key.visible_manifest_id != manifest_id || !same) {
    keep_searched(connection, key, space_id);
    key.visible_manifest_id = manifest_id;
    key.visible_space_id = space_id;
    key.has_spec = true;
    save_spec(connection, key, database_.clock().wall_now());
  }
  follow_target(connection, key.catalog_id);
}

}  // namespace

Status SqliteCatalog::finalize(const PassContext& context, const Manifest& manifest) {
  if (Status status = core::check_pass(context); !status.ok()) {
    return status;
  }
  if (Status status = core::check_manifest(manifest); !status.ok()) {
    return status;
  }
  return SqliteFinalize(*database_, context, manifest).run();
}

}  // namespace embedjobs::sqlite
