// A chunk on its way to the database: vectors, and operations that point to them.
//
// Most chunks meet nothing of theirs in the database, and are of a pass that has a manifest. They go in one statement,
// sent together with their transaction's begin and commit: one answer to wait for. Whatever that statement leaves
// undone is done by the long way.
#include <algorithm>
#include <map>

#include "core/rules/checks.hpp"
#include "core/rules/limits.hpp"
#include "postgres/manifest.hpp"
#include "postgres/postgres_catalog.hpp"
#include "postgres/provider_tokens.hpp"
#include "postgres/reserve.hpp"
#include "postgres/searched_space.hpp"
#include "postgres/vectors.hpp"

namespace embedjobs::postgres {
namespace {

/// Larger chunks do better in parts: the server stores one while the next is made and sent.
constexpr std::size_t kMaxRowsAtOnce = 64;

// The long way's first question: fence, space and manifest.
constexpr const char* kHoldPass =
    "SELECT " EMBEDJOBS_KEY_COLUMNS
    ", c.target_space, coalesce(j.status, -1), coalesce(j.fence_counter, 0), coalesce(j.fence_nonce, 0), "
    "coalesce(s.id, 0), "
    "coalesce((SELECT m.id FROM @manifests AS m WHERE m.key_id = k.id AND m.space_id = s.id AND " EMBEDJOBS_IS_LIVE
    "), 0) "
    "FROM @catalogs AS c JOIN @keys AS k ON k.catalog_id = c.id LEFT JOIN @jobs AS j ON j.key_id = k.id AND j.id = $3"
    " LEFT JOIN @spaces AS s ON s.catalog_id = c.id AND s.name = $4 "
    "WHERE c.name = $1 AND k.spec_name = $2 FOR KEY SHARE OF c FOR KEY SHARE OF k";
constexpr const char* kExtend = "UPDATE @manifests SET row_count = row_count + $2 WHERE id = $1";

// 1 when all is done. Nothing is written unless the fence holds, in the sense of rules::holds(); what is there already
// is left as it is.
#define EMBEDJOBS_PUT_NEW(input)                                                                                       \
  "WITH held AS MATERIALIZED ("                                                                                        \
  " SELECT k.id AS key_id, s.id AS space_id, m.id AS manifest_id FROM @catalogs AS c JOIN @keys AS k ON k.catalog_id " \
  "= c.id"                                                                                                             \
  "  JOIN @jobs AS j ON j.key_id = k.id JOIN @spaces AS s ON s.catalog_id = c.id AND s.name = c.target_space"          \
  "  JOIN @manifests AS m ON m.key_id = k.id AND m.space_id = s.id"                                                    \
  "  WHERE c.name = $1 AND k.spec_name = $8 AND c.target_space = $10 AND j.id = $9 AND j.status = 1"                   \
  "   AND j.fence_counter = $11 AND j.fence_nonce = $12 AND k.fence_counter = $11 AND k.holder_nonce = $12"            \
  "   AND k.visible_manifest_id <> 0 AND " EMBEDJOBS_IS_LIVE                                                           \
  "  FOR KEY SHARE OF c FOR KEY SHARE OF k),"                                                                          \
  " stored AS (INSERT INTO @vectors (space_id, text_hash, epoch, embedded_bytes, input_cap, vector)"                   \
  "  SELECT h.space_id, i.text_hash, $5, i.embedded_bytes, i.input_cap, i.vector FROM held AS h, " input               \
  "  WHERE (SELECT true FROM @vectors AS v WHERE v.space_id = h.space_id AND v.text_hash = i.text_hash) IS NULL "      \
  "RETURNING 1),"                                                                                                      \
  " added AS (INSERT INTO @operations (manifest_id, operation_id, text_hash)"                                          \
  "  SELECT h.manifest_id, u.operation_id, u.text_hash FROM held AS h,"                                                \
  "   (SELECT unnest($13::bytea[]) AS operation_id, unnest($14::bytea[]) AS text_hash) AS u"                           \
  "  WHERE (SELECT true FROM @operations AS o WHERE o.manifest_id = h.manifest_id AND o.operation_id = "               \
  "u.operation_id) IS NULL"                                                                                            \
  "  RETURNING 1),"                                                                                                    \
  " ended AS (DELETE FROM @reservations AS r USING held AS h"                                                          \
  "  WHERE r.space_id = h.space_id AND r.text_hash = ANY ($2) AND r.key_id = h.key_id),"                               \
  " extended AS (UPDATE @manifests AS m SET row_count = m.row_count + (SELECT count(*) FROM added) FROM held AS h"     \
  "  WHERE m.id = h.manifest_id) "                                                                                     \
  "SELECT ((SELECT count(*) FROM stored) = cardinality($2::bytea[]) AND (SELECT count(*) FROM added) = "               \
  "cardinality($13::bytea[]))::int"
constexpr const char* kPutNewVectors = EMBEDJOBS_PUT_NEW(EMBEDJOBS_INPUT_OF_VECTORS);
constexpr const char* kPutNewReals = EMBEDJOBS_PUT_NEW(EMBEDJOBS_INPUT_OF_REALS);

/// As if the rows had been put one by one: the last one of an operation, and of a text, counts.
Operations operations_of(std::span<const VectorRow> rows) {
  std::map<std::string_view, const TextHash*> last;
  for (const VectorRow& row : rows) {
    last[row.operation_id] = &row.text_hash;
  }
  Operations operations;
  for (const auto& [id, hash] : last) {
    operations.ids.push_back(blob_of(id));
    operations.texts.push_back(*hash);
  }
  return operations;
}

/// With the commit. `done` grows by 1 when nothing is left to do.
Status put_new(Connection& connection, const PassContext& context, std::span<const VectorRow> rows,
               std::int64_t& done) {
  const VectorType& type = connection.vector_type();
  if (Status status = check_fits(type, context.space, rows); !status.ok()) {
    return status;
  }
  const std::vector<const VectorRow*> last = last_of_each_text(rows);
  const VectorArrays arrays(last);
  const Operations operations = operations_of(rows);
  connection.run_later_counted(done, type.kind == PostgresVectors::kReal ? kPutNewReals : kPutNewVectors,
                               context.key.catalog_id, arrays.texts, arrays.bytes, arrays.caps, context.epoch,
                               type.array_of(arrays.vectors), context.space.dimension, context.key.spec_name,
                               context.job_id, context.space.id(), context.fence.counter, context.fence.nonce,
                               operations.ids, operations.texts);
  return {};
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
    Query row =
        connection.query(kHoldPass, context.key.catalog_id, context.key.spec_name, context.job_id, context.space.id());
    auto key = checked_key(row, context);
    if (!key.ok()) {
      return key.status();
    }
    target = {
        .key = *std::move(key), .space_id = row.integer(kKeyColumns + 4), .manifest_id = row.integer(kKeyColumns + 5)};
  }
  if (target.space_id == 0) {
    target.space_id = make_space(connection, target.key.catalog_id, context.space.id());
  }
  if (target.manifest_id == 0) {
    target.manifest_id = make_live_manifest(connection, target.key.id, target.space_id).id;
  }
  return target;
}

/// The long way: whatever is there already, and however many rows.
Status write_piece(Connection& connection, const PassContext& context, std::span<const VectorRow> rows) {
  auto target = chunk_target(connection, context);
  if (!target.ok() || rows.empty()) {
    return target.status();
  }
  // What needs no answer comes first, and goes to the server together with the vectors.
  const Operations operations = operations_of(rows);
  end_reservations(connection, target->space_id, operations.texts, target->key.id);
  std::int64_t added = 0;
  add_operations(connection, target->manifest_id, operations, added);
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
  if (added < static_cast<std::int64_t>(operations.ids.size())) {
    repoint_operations(connection, target->manifest_id, operations);
  }
  count_tokens(connection, context);
  return {};
}

}  // namespace

Status PostgresCatalog::persist_batch(const PassContext& context, std::span<const VectorRow> rows) {
  if (Status status = core::check_persist(context, rows); !status.ok()) {
    return status;
  }
  do {
    const auto piece = rows.first(std::min(rows.size(), core::kMaxRowsPerTransaction));
    if (Status status = upsert_piece(context, piece); !status.ok()) {
      return status;
    }
    rows = rows.subspan(piece.size());
  } while (!rows.empty());
  return {};
}

Status PostgresCatalog::upsert_piece(const PassContext& context, std::span<const VectorRow> rows) {
  // Counting tokens takes the job's row, and so another answer.
  if (!rows.empty() && rows.size() <= kMaxRowsAtOnce && context.prompt_tokens == 0) {
    std::int64_t done = 0;
    Status status = database_->write(
        [&](Connection& connection) {
          done = 0;
          return put_new(connection, context, rows, done);
        },
        SweepLock::kShared);
    if (!status.ok() || done == 1) {
      return status;
    }
  }
  return database_->write([&](Connection& connection) { return write_piece(connection, context, rows); },
                          SweepLock::kShared);
}

}  // namespace embedjobs::postgres
