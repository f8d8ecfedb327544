#include "postgres/vectors.hpp"

#include <algorithm>
#include <map>
#include <numeric>
#include <set>

#include "core/checks.hpp"
#include "core/reuse.hpp"
#include "postgres/manifest.hpp"
#include "postgres/postgres_catalog.hpp"

namespace embedjobs::postgres {
namespace {

constexpr const char* kProbe =
    "SELECT v.text_hash, v.epoch, v.embedded_bytes, v.input_cap FROM @vectors AS v WHERE v.space_id = $1 AND v.text_hash = ANY ($2)";

// Rows come in the order of hashes, so that two passes with texts in common do not wait for each other crosswise. Of pgvector's type they
// come as an array of vectors; of real[] as one flat array, $7 floats each, since unnest() of an array of arrays flattens it.
#define EMBEDJOBS_INPUT_OF_VECTORS                                                                                       \
  "(SELECT unnest($2::bytea[]) AS text_hash, unnest($3::bigint[]) AS embedded_bytes, unnest($4::bigint[]) AS input_cap," \
  " unnest($6) AS vector) AS i"
#define EMBEDJOBS_INPUT_OF_REALS                                          \
  "(SELECT u.text_hash, u.embedded_bytes, u.input_cap,"                   \
  " ($6::real[])[(u.place - 1) * $7 + 1 : u.place * $7] AS vector"        \
  " FROM unnest($2::bytea[], $3::bigint[], $4::bigint[]) WITH ORDINALITY" \
  " AS u (text_hash, embedded_bytes, input_cap, place)) AS i"
#define EMBEDJOBS_INSERT_FROM(input)                                                     \
  "INSERT INTO @vectors (space_id, text_hash, epoch, embedded_bytes, input_cap, vector)" \
  " SELECT $1, i.text_hash, $5, i.embedded_bytes, i.input_cap, i.vector FROM " input     \
  " ON CONFLICT (space_id, text_hash) DO NOTHING RETURNING text_hash"
constexpr const char* kInsertVectors = EMBEDJOBS_INSERT_FROM(EMBEDJOBS_INPUT_OF_VECTORS);
constexpr const char* kInsertReals = EMBEDJOBS_INSERT_FROM(EMBEDJOBS_INPUT_OF_REALS);
constexpr const char* kLock =
    "SELECT v.text_hash, v.epoch FROM @vectors AS v WHERE v.space_id = $1 AND v.text_hash = ANY ($2) ORDER BY v.text_hash FOR UPDATE";
// A vector that is equal stays the stored one: then no index of vectors has anything to do.
#define EMBEDJOBS_REPLACE_FROM(input, equal)                                                         \
  "UPDATE @vectors AS v SET epoch = $5, embedded_bytes = i.embedded_bytes, input_cap = i.input_cap," \
  " vector = CASE WHEN v.vector " equal " i.vector THEN v.vector ELSE i.vector END FROM " input      \
  " WHERE v.space_id = $1 AND v.text_hash = i.text_hash"
constexpr const char* kReplaceVectors = EMBEDJOBS_REPLACE_FROM(EMBEDJOBS_INPUT_OF_VECTORS, "OPERATOR(#=)");
constexpr const char* kReplaceReals = EMBEDJOBS_REPLACE_FROM(EMBEDJOBS_INPUT_OF_REALS, "=");
constexpr const char* kMarkReferenced = "DELETE FROM @unreferenced WHERE space_id = $1 AND text_hash = ANY ($2)";

using RowsByText = std::map<TextHash, const VectorRow*>;

/// Rows as arrays, one a text, in the order of hashes.
struct Arrays {
  std::vector<TextHash> texts;
  std::vector<std::int64_t> bytes;
  std::vector<std::int64_t> caps;
  std::vector<std::span<const float>> vectors;

  explicit Arrays(const RowsByText& rows) {
    for (const auto& [hash, row] : rows) {
      texts.push_back(hash);
      bytes.push_back(static_cast<std::int64_t>(row->embedded_bytes));
      caps.push_back(static_cast<std::int64_t>(row->input_cap));
      vectors.emplace_back(row->vector);
    }
  }
};

/// What is left are the rows whose text had a vector already.
void insert_fresh(Connection& connection, std::int64_t space_id, const PassContext& context, RowsByText& rows) {
  const VectorType& type = connection.vector_type();
  const Arrays arrays(rows);
  const TypedValue vectors = type.array_of(arrays.vectors);
  Query row = type.kind == PostgresVectors::kReal
                  ? connection.query(kInsertReals, space_id, arrays.texts, arrays.bytes, arrays.caps, context.epoch, vectors,
                                     context.space.dimension)
                  : connection.query(kInsertVectors, space_id, arrays.texts, arrays.bytes, arrays.caps, context.epoch, vectors);
  if (row.size() == arrays.texts.size()) {
    rows.clear();
    return;
  }
  while (row.next()) {
    rows.erase(row.hash(0));
  }
}

void replace(Connection& connection, std::int64_t space_id, const PassContext& context, const RowsByText& rows) {
  const VectorType& type = connection.vector_type();
  const Arrays arrays(rows);
  const TypedValue vectors = type.array_of(arrays.vectors);
  if (type.kind == PostgresVectors::kReal) {
    connection.run_later(kReplaceReals, space_id, arrays.texts, arrays.bytes, arrays.caps, context.epoch, vectors, context.space.dimension);
  } else {
    connection.run_later(kReplaceVectors, space_id, arrays.texts, arrays.bytes, arrays.caps, context.epoch, vectors);
  }
}

void replace_stale(Connection& connection, std::int64_t space_id, const PassContext& context, RowsByText& rows) {
  const Arrays had(rows);
  mark_referenced(connection, space_id, had.texts);
  {
    Query row = connection.query(kLock, space_id, had.texts);
    while (row.next()) {
      // A pass from before a manual retry does not undo the retry's work for another document.
      if (row.number(1) > context.epoch) {
        rows.erase(row.hash(0));
      }
    }
  }
  if (!rows.empty()) {
    replace(connection, space_id, context, rows);
  }
}

}  // namespace

std::vector<bool> reusable(Connection& connection, std::int64_t space_id, const PassContext& context, const std::vector<TextHash>& texts) {
  std::set<TextHash> found;
  {
    Query row = connection.query(kProbe, space_id, texts);
    while (row.next()) {
      const core::VectorMark mark{.epoch = row.number(1), .embedded_bytes = row.number(2), .input_cap = row.number(3)};
      if (core::may_reuse(mark, context)) {
        found.insert(row.hash(0));
      }
    }
  }
  std::vector<bool> answer;
  answer.reserve(texts.size());
  for (const TextHash& text : texts) {
    answer.push_back(found.contains(text));
  }
  return answer;
}

Status put_vectors(Connection& connection, std::int64_t space_id, const PassContext& context, std::span<const VectorRow> rows) {
  RowsByText last;
  for (const VectorRow& row : rows) {
    last[row.text_hash] = &row;
  }
  if (Status status = check_fits(connection.vector_type(), context.space, rows); !status.ok()) {
    return status;
  }
  // The usual case first: the texts are new, one statement and nothing read.
  insert_fresh(connection, space_id, context, last);
  if (!last.empty()) {
    replace_stale(connection, space_id, context, last);
  }
  return {};
}

void mark_referenced(Connection& connection, std::int64_t space_id, const std::vector<TextHash>& texts) {
  connection.run_later(kMarkReferenced, space_id, texts);
}

Result<std::vector<bool>> PostgresCatalog::list_existing(const PassContext& context, const Manifest& wanted) {
  if (Status status = core::check_pass(context); !status.ok()) {
    return status;
  }
  std::vector<bool> existing(wanted.size(), false);
  std::vector<std::uint32_t> order(wanted.size());
  std::iota(order.begin(), order.end(), 0U);
  std::sort(order.begin(), order.end(), [&](std::uint32_t a, std::uint32_t b) { return wanted.text_hash(a) < wanted.text_hash(b); });
  std::size_t begin = 0;
  do {
    const std::size_t end = std::min(order.size(), begin + kReadPieceRows);
    Status status = database_->read([&](Connection& connection) -> Status {
      auto key = fenced_key(connection, context, FenceCheck::kLook);
      if (!key.ok() || begin == end) {
        return key.status();
      }
      std::vector<TextHash> texts;
      for (std::size_t i = begin; i < end; ++i) {
        texts.push_back(wanted.text_hash(order[i]));
      }
      const auto found = reusable(connection, find_space(connection, key->catalog_id, context.space.id()), context, texts);
      for (std::size_t i = begin; i < end; ++i) {
        existing[order[i]] = found[i - begin];
      }
      return {};
    });
    if (!status.ok()) {
      return status;
    }
    begin = end;
  } while (begin < order.size());
  return existing;
}

}  // namespace embedjobs::postgres
