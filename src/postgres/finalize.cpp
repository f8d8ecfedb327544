// A finalize's steps over PostgreSQL. Their course, the same in every database, is in core/backend/finalize.cpp.
#include "core/backend/finalize.hpp"
#include "core/rules/checks.hpp"
#include "core/rules/errors.hpp"
#include "core/rules/limits.hpp"
#include "postgres/manifest.hpp"
#include "postgres/postgres_catalog.hpp"
#include "postgres/searched_space.hpp"
#include "postgres/vectors.hpp"

namespace embedjobs::postgres {
namespace {

constexpr const char* kReadOperations =
    "SELECT operation_id, text_hash FROM @operations WHERE manifest_id = $1 AND operation_id > $2 ORDER BY "
    "operation_id LIMIT $3";
constexpr const char* kFirstOperations =
    "SELECT operation_id, text_hash FROM @operations WHERE manifest_id = $1 ORDER BY operation_id LIMIT $2";
constexpr const char* kDeleteOperations = "DELETE FROM @operations WHERE manifest_id = $1 AND operation_id = ANY ($2)";
constexpr const char* kDropUnfinished = "UPDATE @manifests SET state = 2 WHERE key_id = $1 AND state = 1";
constexpr const char* kInsertBuilding =
    "INSERT INTO @manifests (key_id, space_id, state, flip, fence_counter, fence_nonce) "
    "SELECT k.id, $2, 1, c.flips, $3, $4 FROM @keys AS k JOIN @catalogs AS c ON c.id = k.catalog_id WHERE k.id = $1 "
    "RETURNING id";
constexpr const char* kReplaceLive =
    "UPDATE @manifests SET state = 2 WHERE key_id = $1 AND space_id = $2 AND state = 0 AND id <> $3";
constexpr const char* kFinish =
    "UPDATE @manifests SET state = 0, complete = true, row_count = $2, content_version = $3, splitter_version = $4 "
    "WHERE id = $1";
constexpr const char* kSaveCount =
    "UPDATE @keys SET operation_count = $2, updated_at = $3 WHERE id = $1 AND operation_count <> $2";

class PostgresFinalize final : public core::Finalize {
 public:
  PostgresFinalize(Database& database, const PassContext& context, const Manifest& manifest)
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

  /// `body(connection, key)` in a transaction that holds the fence. The sweep is kept away: no vector goes between a
  /// look and the row that points to it.
  template <typename Body>
  Status write(Body&& body) const {
    return database_.write(
        [&](Connection& connection) -> Status {
          auto key = fenced_key(connection, context(), FenceCheck::kHold);
          return key.ok() ? body(connection, *key) : key.status();
        },
        SweepLock::kShared);
  }
  Status put(Connection& connection, std::int64_t space_id, std::int64_t manifest_id,
             std::span<const std::uint32_t> operations) const;
  void remove(Connection& connection, std::int64_t manifest_id) const;
  void finish(Connection& connection, KeyRow& key, std::int64_t space_id, std::int64_t manifest_id) const;

  Database& database_;
};

Result<std::vector<bool>> PostgresFinalize::stored(const std::vector<TextHash>& texts) {
  return database_.read([&](Connection& connection) -> Result<std::vector<bool>> {
    auto key = fenced_key(connection, context(), FenceCheck::kRead);
    if (!key.ok()) {
      return key.status();
    }
    return reusable(connection, find_space(connection, key->catalog_id, context().space.id()), context(), texts);
  });
}

Result<std::int64_t> PostgresFinalize::find_live() {
  return database_.read([&](Connection& connection) -> Result<std::int64_t> {
    auto key = fenced_key(connection, context(), FenceCheck::kRead);
    if (!key.ok()) {
      return key.status();
    }
    const std::int64_t space_id = find_space(connection, key->catalog_id, context().space.id());
    const std::optional<ManifestRow> manifest = find_live_manifest(connection, key->id, space_id);
    return manifest ? manifest->id : 0;
  });
}

Result<std::vector<core::StoredOperation>> PostgresFinalize::operations_after(std::int64_t manifest_id,
                                                                              const std::string* after) {
  return database_.read([&](Connection& connection) -> Result<std::vector<core::StoredOperation>> {
    std::vector<core::StoredOperation> operations;
    Query row = after == nullptr
                    ? connection.query(kFirstOperations, manifest_id, core::kReadPieceRows)
                    : connection.query(kReadOperations, manifest_id, blob_of(*after), core::kReadPieceRows);
    while (row.next()) {
      operations.push_back({row.text(0), row.hash(1)});
    }
    return operations;
  });
}

/// Points operations to their texts.
Status PostgresFinalize::put(Connection& connection, std::int64_t space_id, std::int64_t manifest_id,
                             std::span<const std::uint32_t> operations) const {
  if (operations.empty()) {
    return {};
  }
  Operations rows{.ids = {}, .texts = texts_of(operations)};
  if (Status status = check_stored(operations, reusable(connection, space_id, context(), rows.texts)); !status.ok()) {
    return status;
  }
  rows.ids.reserve(operations.size());
  for (const std::uint32_t operation : operations) {
    rows.ids.push_back(blob_of(manifest().operation_id(operation)));
  }
  put_operations(connection, manifest_id, rows);
  mark_referenced(connection, space_id, rows.texts);
  return {};
}

void PostgresFinalize::remove(Connection& connection, std::int64_t manifest_id) const {
  if (difference().deleted().empty()) {
    return;
  }
  std::vector<Blob> ids;
  for (const std::string& id : difference().deleted()) {
    ids.push_back(blob_of(id));
  }
  connection.run_later(kDeleteOperations, manifest_id, ids);
}

Status PostgresFinalize::apply(std::int64_t live) {
  return write([&](Connection& connection, KeyRow& key) -> Status {
    const std::int64_t space_id = make_space(connection, key.catalog_id, context().space.id());
    const std::optional<ManifestRow> found = find_live_manifest(connection, key.id, space_id);
    if ((found ? found->id : 0) != live) {
      return core::manifest_swept();
    }
    const ManifestRow manifest = make_live_manifest(connection, key.id, space_id);
    if (Status status = put(connection, space_id, manifest.id, difference().put()); !status.ok()) {
      return status;
    }
    remove(connection, manifest.id);
    finish(connection, key, space_id, manifest.id);
    return {};
  });
}

Result<std::int64_t> PostgresFinalize::begin_building() {
  return database_.write([&](Connection& connection) -> Result<std::int64_t> {
    auto key = fenced_key(connection, context(), FenceCheck::kHold);
    if (!key.ok()) {
      return key.status();
    }
    const std::int64_t space_id = make_space(connection, key->catalog_id, context().space.id());
    connection.run_later(kDropUnfinished, key->id);  // of an earlier call that did not come to its end
    return connection.value_or(0, kInsertBuilding, key->id, space_id, context().fence.counter, context().fence.nonce);
  });
}

Status PostgresFinalize::build(std::int64_t building, std::span<const std::uint32_t> operations) {
  return write([&](Connection& connection, const KeyRow& key) {
    return put(connection, find_space(connection, key.catalog_id, context().space.id()), building, operations);
  });
}

Status PostgresFinalize::flip(std::int64_t building) {
  return write([&](Connection& connection, KeyRow& key) -> Status {
    const std::optional<ManifestRow> manifest = find_manifest(connection, building);
    if (!manifest) {
      return core::manifest_swept();
    }
    connection.run_later(kReplaceLive, key.id, manifest->space_id, building);
    finish(connection, key, manifest->space_id, building);
    return {};
  });
}

/// The manifest is complete, and what readers see. Writes only what is not so already.
void PostgresFinalize::finish(Connection& connection, KeyRow& key, std::int64_t space_id,
                              std::int64_t manifest_id) const {
  const std::optional<ManifestRow> before = find_manifest(connection, manifest_id);
  const auto count = static_cast<std::int64_t>(manifest().size());
  const bool same = before && is_unchanged(*before);
  if (!same) {
    connection.run_later(kFinish, manifest_id, count, context().content_version, context().splitter_version);
  }
  connection.run_later(kSaveCount, key.id, count, connection.now());
  if (key.visible_manifest_id != manifest_id || !same) {
    keep_searched(connection, key, space_id);
    key.visible_manifest_id = manifest_id;
    key.visible_space_id = space_id;
    key.has_spec = true;
    save_spec(connection, key);
  }
  follow_target(connection, key.catalog_id);
}

}  // namespace

Status PostgresCatalog::finalize(const PassContext& context, const Manifest& manifest) {
  if (Status status = core::check_pass(context); !status.ok()) {
    return status;
  }
  if (Status status = core::check_manifest(manifest); !status.ok()) {
    return status;
  }
  return PostgresFinalize(*database_, context, manifest).run();
}

}  // namespace embedjobs::postgres
