#include "postgres/manifest.hpp"

#include "core/rules/errors.hpp"

namespace embedjobs::postgres {
namespace {

// The key decides: it is read as it is when it is locked, the job perhaps as it was a moment earlier. Whoever voids a
// fence changes the key.
#define EMBEDJOBS_SELECT_FENCED                                                                                       \
  "SELECT " EMBEDJOBS_KEY_COLUMNS                                                                                     \
  ", c.target_space, coalesce(j.status, -1), coalesce(j.fence_counter, 0), coalesce(j.fence_nonce, 0) "               \
  "FROM @catalogs AS c JOIN @keys AS k ON k.catalog_id = c.id LEFT JOIN @jobs AS j ON j.key_id = k.id AND j.id = $3 " \
  "WHERE c.name = $1 AND k.spec_name = $2"
constexpr const char* kReadFence = EMBEDJOBS_SELECT_FENCED;
constexpr const char* kHoldFence = EMBEDJOBS_SELECT_FENCED " FOR KEY SHARE OF c FOR KEY SHARE OF k";

constexpr const char* kFindManifest = "SELECT " EMBEDJOBS_MANIFEST_COLUMNS("") " FROM @manifests WHERE id = $1";
constexpr const char* kFindLive =
    "SELECT " EMBEDJOBS_MANIFEST_COLUMNS("m.") " "
    "FROM @manifests AS m JOIN @keys AS k ON k.id = m.key_id JOIN @catalogs AS c ON c.id = k.catalog_id"
    " JOIN @spaces AS s ON s.id = m.space_id "
    "WHERE m.key_id = $1 AND m.space_id = $2 AND " EMBEDJOBS_IS_LIVE;
constexpr const char* kDropStale = "UPDATE @manifests SET state = 2 WHERE key_id = $1 AND space_id = $2 AND state = 0";
constexpr const char* kInsertLive =
    "INSERT INTO @manifests (key_id, space_id, state, flip) "
    "SELECT k.id, $2, 0, c.flips FROM @keys AS k JOIN @catalogs AS c ON c.id = k.catalog_id WHERE k.id = $1 RETURNING "
    "id";

// Only the pass that holds the fence writes a manifest, so rows that are not there stay so: no ON CONFLICT, whose
// bookkeeping costs more.
constexpr const char* kUpdateOperations =
    "UPDATE @operations AS o SET text_hash = u.text_hash FROM unnest($2::bytea[], $3::bytea[]) AS u (operation_id, "
    "text_hash) "
    "WHERE o.manifest_id = $1 AND o.operation_id = u.operation_id AND o.text_hash <> u.text_hash";
constexpr const char* kInsertOperations =
    "INSERT INTO @operations (manifest_id, operation_id, text_hash) SELECT $1, u.operation_id, u.text_hash"
    " FROM (SELECT unnest($2::bytea[]) AS operation_id, unnest($3::bytea[]) AS text_hash) AS u"
    " WHERE (SELECT true FROM @operations AS o WHERE o.manifest_id = $1 AND o.operation_id = u.operation_id) IS NULL";

}  // namespace

Result<KeyRow> checked_key(Query& row, const PassContext& context) {
  if (!row.next()) {
    return core::no_such_spec(context.key);
  }
  const KeyRow key = read_key(row);
  rules::StoredJob job;
  job.status = static_cast<JobStatus>(row.integer(kKeyColumns + 1));
  job.fence = {row.number(kKeyColumns + 2), row.number(kKeyColumns + 3)};
  if (!rules::holds(job, key.state, context.fence)) {
    return core::lease_lost(context.job_id, context.key);
  }
  const std::string target = row.text(kKeyColumns);
  if (target != context.space.id()) {
    return core::wrong_target(context.key.catalog_id, target, context.space.id());
  }
  return key;
}

Result<KeyRow> fenced_key(Connection& connection, const PassContext& context, FenceCheck check) {
  Query row = connection.query(check == FenceCheck::kHold ? kHoldFence : kReadFence, context.key.catalog_id,
                               context.key.spec_name, context.job_id);
  return checked_key(row, context);
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
  connection.run_later(kDropStale, key_id, space_id);
  return {.id = connection.value_or(0, kInsertLive, key_id, space_id),
          .space_id = space_id,
          .content_version = {},
          .splitter_version = {}};
}

void put_operations(Connection& connection, std::int64_t manifest_id, const Operations& operations) {
  if (connection.run(kInsertOperations, manifest_id, operations.ids, operations.texts) <
      static_cast<std::int64_t>(operations.ids.size())) {
    repoint_operations(connection, manifest_id, operations);
  }
}

void add_operations(Connection& connection, std::int64_t manifest_id, const Operations& operations,
                    std::int64_t& added) {
  connection.run_later_counted(added, kInsertOperations, manifest_id, operations.ids, operations.texts);
}

void repoint_operations(Connection& connection, std::int64_t manifest_id, const Operations& operations) {
  connection.run_later(kUpdateOperations, manifest_id, operations.ids, operations.texts);
}

}  // namespace embedjobs::postgres
