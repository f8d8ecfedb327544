#include "postgres/manifest.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "core/checks.hpp"
#include "postgres/postgres_catalog.hpp"
#include "postgres/providers.hpp"
#include "postgres/reserve.hpp"
#include "postgres/vectors.hpp"

namespace embedjobs::postgres {
namespace {

// The key decides: it is read as it is when it is locked, the job perhaps as it was a moment earlier. Whoever voids a fence changes the
// key.
#define EMBEDJOBS_SELECT_FENCED                                                                                       \
  "SELECT " EMBEDJOBS_KEY_COLUMNS                                                                                     \
  ", c.target_space, coalesce(j.status, -1), coalesce(j.fence_counter, 0), coalesce(j.fence_nonce, 0) "               \
  "FROM @catalogs AS c JOIN @keys AS k ON k.catalog_id = c.id LEFT JOIN @jobs AS j ON j.key_id = k.id AND j.id = $3 " \
  "WHERE c.name = $1 AND k.spec_name = $2"
constexpr const char* kLookAtFence = EMBEDJOBS_SELECT_FENCED;
constexpr const char* kHoldFence = EMBEDJOBS_SELECT_FENCED " FOR KEY SHARE OF c FOR KEY SHARE OF k";

constexpr const char* kFindManifest =
    "SELECT id, space_id, complete, row_count, content_version, splitter_version FROM @manifests WHERE id = $1";
// What was made for a space before the catalog's searches left it is stale: it is not the start of a new manifest.
#define EMBEDJOBS_IS_LIVE                                             \
  "m.state = 0 AND (m.id = k.visible_manifest_id"                     \
  " OR (m.id = k.searched_manifest_id AND k.searched_flip = c.flips)" \
  " OR m.flip >= c.flips - (CASE WHEN s.name = c.search_space THEN 1 ELSE 0 END))"
constexpr const char* kFindLive =
    "SELECT m.id, m.space_id, m.complete, m.row_count, m.content_version, m.splitter_version "
    "FROM @manifests AS m JOIN @keys AS k ON k.id = m.key_id JOIN @catalogs AS c ON c.id = k.catalog_id"
    " JOIN @spaces AS s ON s.id = m.space_id "
    "WHERE m.key_id = $1 AND m.space_id = $2 AND " EMBEDJOBS_IS_LIVE;
// What most chunks find: fence, space and manifest in one question.
constexpr const char* kHoldPass =
    "SELECT " EMBEDJOBS_KEY_COLUMNS
    ", c.target_space, coalesce(j.status, -1), coalesce(j.fence_counter, 0), coalesce(j.fence_nonce, 0), coalesce(s.id, 0), "
    "coalesce((SELECT m.id FROM @manifests AS m WHERE m.key_id = k.id AND m.space_id = s.id AND " EMBEDJOBS_IS_LIVE
    "), 0) "
    "FROM @catalogs AS c JOIN @keys AS k ON k.catalog_id = c.id LEFT JOIN @jobs AS j ON j.key_id = k.id AND j.id = $3"
    " LEFT JOIN @spaces AS s ON s.catalog_id = c.id AND s.name = $4 "
    "WHERE c.name = $1 AND k.spec_name = $2 FOR KEY SHARE OF c FOR KEY SHARE OF k";
constexpr const char* kDropStale = "UPDATE @manifests SET state = 2 WHERE key_id = $1 AND space_id = $2 AND state = 0";
constexpr const char* kInsertLive =
    "INSERT INTO @manifests (key_id, space_id, state, flip) "
    "SELECT k.id, $2, 0, c.flips FROM @keys AS k JOIN @catalogs AS c ON c.id = k.catalog_id WHERE k.id = $1 RETURNING id";

// Only the pass that holds the fence writes a manifest, so rows that are not there stay so: no ON CONFLICT, whose bookkeeping costs more.
constexpr const char* kUpdateOperations =
    "UPDATE @operations AS o SET text_hash = u.text_hash FROM unnest($2::bytea[], $3::bytea[]) AS u (operation_id, text_hash) "
    "WHERE o.manifest_id = $1 AND o.operation_id = u.operation_id AND o.text_hash <> u.text_hash";
constexpr const char* kInsertOperations =
    "INSERT INTO @operations (manifest_id, operation_id, text_hash) SELECT $1, u.operation_id, u.text_hash"
    " FROM (SELECT unnest($2::bytea[]) AS operation_id, unnest($3::bytea[]) AS text_hash) AS u"
    " WHERE (SELECT true FROM @operations AS o WHERE o.manifest_id = $1 AND o.operation_id = u.operation_id) IS NULL";
constexpr const char* kExtend = "UPDATE @manifests SET row_count = row_count + $2 WHERE id = $1";

std::optional<ManifestRow> read_manifest(Query&& row) {
  if (!row.next()) {
    return std::nullopt;
  }
  return ManifestRow{.id = row.integer(0),
                     .space_id = row.integer(1),
                     .complete = row.boolean(2),
                     .row_count = row.integer(3),
                     .content_version = row.text(4),
                     .splitter_version = row.text(5)};
}

/// As if the rows had been put one by one: the last one of an operation, and of a text, counts.
std::pair<std::vector<Blob>, std::vector<TextHash>> operations_of(std::span<const VectorRow> rows) {
  std::map<std::string_view, const TextHash*> last;
  for (const VectorRow& row : rows) {
    last[row.operation_id] = &row.text_hash;
  }
  std::pair<std::vector<Blob>, std::vector<TextHash>> operations;
  for (const auto& [id, hash] : last) {
    operations.first.push_back(blob_of(id));
    operations.second.push_back(*hash);
  }
  return operations;
}

/// The key of the row, if its fence is the pass's and the target its space.
Result<KeyRow> checked_key(Query& row, const PassContext& context) {
  if (!row.next()) {
    return {Code::kNotFound, fmt::format("{}/{}: no such spec", context.key.catalog_id, context.key.spec_name)};
  }
  const KeyRow key = read_key(row);
  Job job;
  job.status = static_cast<JobStatus>(row.integer(kKeyColumns + 1));
  job.fence = {row.number(kKeyColumns + 2), row.number(kKeyColumns + 3)};
  if (!core::holds(job, key.state, context.fence)) {
    return {Code::kLeaseLost, fmt::format("{}/{}: the lease is lost", context.key.catalog_id, context.key.spec_name)};
  }
  const std::string target = row.text(kKeyColumns);
  if (target != context.space.id()) {
    return {Code::kRefused, fmt::format("{} has target space {}, not {}", context.key.catalog_id, target, context.space.id())};
  }
  return key;
}

/// Where a chunk goes.
struct ChunkTarget {
  KeyRow key;
  std::int64_t space_id = 0;
  std::int64_t manifest_id = 0;
};

/// Finds or makes it, and holds the fence.
Result<ChunkTarget> chunk_target(Connection& connection, const PassContext& context) {
  ChunkTarget target;
  {
    Query row = connection.query(kHoldPass, context.key.catalog_id, context.key.spec_name, context.job_id, context.space.id());
    auto key = checked_key(row, context);
    if (!key.ok()) {
      return key.status();
    }
    target = {.key = *std::move(key), .space_id = row.integer(kKeyColumns + 4), .manifest_id = row.integer(kKeyColumns + 5)};
  }
  if (target.space_id == 0) {
    target.space_id = make_space(connection, target.key.catalog_id, context.space.id());
  }
  if (target.manifest_id == 0) {
    target.manifest_id = make_live_manifest(connection, target.key.id, target.space_id).id;
  }
  return target;
}

Status write_piece(Connection& connection, const PassContext& context, std::span<const VectorRow> rows) {
  auto target = chunk_target(connection, context);
  if (!target.ok() || rows.empty()) {
    return target.status();
  }
  // What needs no answer comes first, and goes to the server together with the vectors.
  const auto [ids, hashes] = operations_of(rows);
  end_reservations(connection, target->space_id, hashes, target->key.id);
  std::int64_t added = 0;
  connection.run_later_counted(added, kInsertOperations, target->manifest_id, ids, hashes);
  if (target->key.visible_manifest_id == 0) {
    target->key.visible_manifest_id = target->manifest_id;
    target->key.visible_space_id = target->space_id;
    target->key.has_spec = true;
    save_spec(connection, target->key);
  }
  if (Status status = put_vectors(connection, target->space_id, context, rows); !status.ok()) {
    return status;
  }
  if (added > 0) {
    connection.run_later(kExtend, target->manifest_id, added);
  }
  if (added < static_cast<std::int64_t>(ids.size())) {
    connection.run_later(kUpdateOperations, target->manifest_id, ids, hashes);
  }
  count_tokens(connection, context);
  return {};
}

}  // namespace

Result<KeyRow> fenced_key(Connection& connection, const PassContext& context, FenceCheck check) {
  Query row = connection.query(check == FenceCheck::kHold ? kHoldFence : kLookAtFence, context.key.catalog_id, context.key.spec_name,
                               context.job_id);
  return checked_key(row, context);
}

std::optional<ManifestRow> find_manifest(Connection& connection, std::int64_t id) {
  return read_manifest(connection.query(kFindManifest, id));
}

std::optional<ManifestRow> find_live_manifest(Connection& connection, std::int64_t key_id, std::int64_t space_id) {
  return read_manifest(connection.query(kFindLive, key_id, space_id));
}

ManifestRow make_live_manifest(Connection& connection, std::int64_t key_id, std::int64_t space_id) {
  if (std::optional<ManifestRow> found = find_live_manifest(connection, key_id, space_id)) {
    return *std::move(found);
  }
  connection.run_later(kDropStale, key_id, space_id);
  return {.id = connection.value_or(0, kInsertLive, key_id, space_id), .space_id = space_id, .content_version = {}, .splitter_version = {}};
}

void put_operations(Connection& connection, std::int64_t manifest_id, const std::vector<Blob>& ids, const std::vector<TextHash>& hashes) {
  if (connection.run(kInsertOperations, manifest_id, ids, hashes) < static_cast<std::int64_t>(ids.size())) {
    connection.run_later(kUpdateOperations, manifest_id, ids, hashes);
  }
}

Status PostgresCatalog::upsert_batch(const PassContext& context, std::span<const VectorRow> rows) {
  if (Status status = core::check_pass(context); !status.ok()) {
    return status;
  }
  if (Status status = core::check_rows(context.space, rows); !status.ok()) {
    return status;
  }
  do {
    const auto piece = rows.first(std::min(rows.size(), kMaxRowsPerTransaction));
    Status status = database_->write([&](Connection& connection) { return write_piece(connection, context, piece); }, SweepLock::kShared);
    if (!status.ok()) {
      return status;
    }
    rows = rows.subspan(piece.size());
  } while (!rows.empty());
  return {};
}

}  // namespace embedjobs::postgres
