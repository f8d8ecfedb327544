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

// The vectors come as one flat array, since unnest() of an array of arrays flattens it: $5 floats each. In the order of hashes, so that
// two passes with texts in common do not wait for each other crosswise.
#define EMBEDJOBS_VECTOR_INPUT                                        \
  "WITH input AS (SELECT u.text_hash, u.embedded_bytes, u.input_cap," \
  " ($6::real[])[(u.place - 1) * $5 + 1 : u.place * $5] AS vector"    \
  " FROM unnest($2::bytea[], $3::bigint[], $4::bigint[]) WITH ORDINALITY AS u (text_hash, embedded_bytes, input_cap, place))"
constexpr const char* kInsert = EMBEDJOBS_VECTOR_INPUT
    ", fresh AS (INSERT INTO @vectors (space_id, text_hash, vector_id, epoch, embedded_bytes, input_cap, unreferenced_since)"
    " SELECT $1, i.text_hash, nextval('@vector_ids'), $7, i.embedded_bytes, i.input_cap, 0 FROM input AS i ORDER BY i.text_hash"
    " ON CONFLICT (space_id, text_hash) DO NOTHING RETURNING text_hash, vector_id),"
    " data AS (INSERT INTO @vector_data (id, vector)"
    " SELECT f.vector_id, i.vector FROM fresh AS f JOIN input AS i ON i.text_hash = f.text_hash)"
    " SELECT text_hash FROM fresh";
constexpr const char* kLock =
    "SELECT v.text_hash, v.epoch FROM @vectors AS v WHERE v.space_id = $1 AND v.text_hash = ANY ($2) ORDER BY v.text_hash FOR UPDATE";
constexpr const char* kReplace = EMBEDJOBS_VECTOR_INPUT
    ", stale AS (UPDATE @vectors AS v SET epoch = $7, embedded_bytes = i.embedded_bytes, input_cap = i.input_cap, unreferenced_since = 0"
    " FROM input AS i WHERE v.space_id = $1 AND v.text_hash = i.text_hash RETURNING v.vector_id, i.vector)"
    " INSERT INTO @vector_data AS d (id, vector) SELECT s.vector_id, s.vector FROM stale AS s"  // or it was deleted, by whoever
    " ON CONFLICT (id) DO UPDATE SET vector = EXCLUDED.vector WHERE d.vector IS DISTINCT FROM EXCLUDED.vector";
constexpr const char* kMarkReferenced =
    "UPDATE @vectors SET unreferenced_since = 0 WHERE space_id = $1 AND text_hash = ANY ($2) AND unreferenced_since <> 0";

/// Rows as arrays, one a text.
struct Arrays {
  std::vector<TextHash> texts;
  std::vector<std::int64_t> bytes;
  std::vector<std::int64_t> caps;
  std::vector<float> floats;

  void add(const VectorRow& row) {
    texts.push_back(row.text_hash);
    bytes.push_back(static_cast<std::int64_t>(row.embedded_bytes));
    caps.push_back(static_cast<std::int64_t>(row.input_cap));
    floats.insert(floats.end(), row.vector.begin(), row.vector.end());
  }
};

using RowsByText = std::map<TextHash, const VectorRow*>;

Arrays arrays_of(const RowsByText& rows, std::size_t dimension) {
  Arrays arrays;
  arrays.floats.reserve(rows.size() * dimension);
  for (const auto& [hash, row] : rows) {
    arrays.add(*row);
  }
  return arrays;
}

/// What is left are the rows whose text had a vector already.
void insert_fresh(Connection& connection, std::int64_t space_id, const PassContext& context, RowsByText& rows) {
  const Arrays arrays = arrays_of(rows, context.space.dimension);
  Query row =
      connection.query(kInsert, space_id, arrays.texts, arrays.bytes, arrays.caps, context.space.dimension, arrays.floats, context.epoch);
  while (row.next()) {
    rows.erase(row.hash(0));
  }
}

void replace_stale(Connection& connection, std::int64_t space_id, const PassContext& context, RowsByText& rows) {
  std::vector<TextHash> texts;
  for (const auto& [hash, row] : rows) {
    texts.push_back(hash);
  }
  std::vector<TextHash> newer;
  {
    Query row = connection.query(kLock, space_id, texts);
    while (row.next()) {
      // A pass from before a manual retry does not undo the retry's work for another document.
      if (row.number(1) > context.epoch) {
        newer.push_back(row.hash(0));
        rows.erase(row.hash(0));
      }
    }
  }
  if (!newer.empty()) {
    mark_referenced(connection, space_id, newer);
  }
  if (rows.empty()) {
    return;
  }
  const Arrays arrays = arrays_of(rows, context.space.dimension);
  connection.run_later(kReplace, space_id, arrays.texts, arrays.bytes, arrays.caps, context.space.dimension, arrays.floats, context.epoch);
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
