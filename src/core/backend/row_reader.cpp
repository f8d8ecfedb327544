#include "core/backend/row_reader.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "core/values/guard.hpp"

namespace embedjobs::core {

std::size_t RowReader::piece_size(bool with_vectors, std::size_t dimension) {
  constexpr std::size_t kRows = 500;
  constexpr std::size_t kVectorBytes = std::size_t{8} << 20;
  const std::size_t bytes = std::max<std::size_t>(1, dimension * sizeof(float));
  return with_vectors ? std::clamp<std::size_t>(kVectorBytes / bytes, 1, kRows) : kRows;
}

Status RowReader::damaged(std::string_view where, std::string_view operation_id) {
  return {Code::kUnusable,
          fmt::format("{}: damaged: the vector of operation '{}' is missing or has another length than its space: "
                      "retry the spec to embed it afresh",
                      where, operation_id)};
}

void RowReader::advance(Cursor& cursor, const std::vector<StoredRow>& rows) {
  cursor.first = false;
  if (!rows.empty()) {
    cursor.after = rows.back().operation_id;
  }
}

Result<Space> RowReader::rows(const SpecKey& key, bool with_vectors,
                              const std::function<bool(const StoredRow&)>& visit) {
  std::int64_t space_id = 0;
  Cursor cursor;
  while (true) {
    auto piece = visible_rows(key, cursor, with_vectors);
    if (!piece.ok()) {
      return piece.status();
    }
    const auto& [read_space_id, space, rows] = *piece;
    if (!cursor.first && read_space_id != space_id) {
      return {Code::kRetry,
              fmt::format("{}/{}: moved to another space while it was read", key.catalog_id, key.spec_name)};
    }
    space_id = read_space_id;
    auto visited = guarded("the visitor of rows", [&rows = rows, &visit]() -> Result<bool> {
      return std::all_of(rows.begin(), rows.end(), [&](const StoredRow& row) { return visit(row); });
    });
    if (!visited.ok()) {
      return visited.status();
    }
    if (!*visited) {
      return space;
    }
    if (rows.size() < piece_size(with_vectors, space.dimension)) {
      return cursor.first && rows.empty() ? Space{} : space;
    }
    advance(cursor, rows);
  }
}

Result<std::vector<SearchHit>> RowReader::search(std::string_view catalog_id, const Space& space,
                                                 std::span<const float> query, std::size_t k) {
  const Cosine cosine(query);
  TopHits best(k);
  std::string after;
  while (true) {
    const auto piece = searched_specs(catalog_id, space, after);
    if (!piece.ok()) {
      return piece.status();
    }
    for (const SearchedSpec& spec : piece->specs) {
      if (Status status = offer_rows(SpecKey{std::string(catalog_id), spec.spec_name}, spec, piece->space_id,
                                     space.dimension, cosine, best);
          !status.ok()) {
        return status;
      }
    }
    if (piece->specs.size() < kSpecsPerPiece) {
      return best.take();
    }
    after = piece->specs.back().spec_name;
  }
}

Status RowReader::offer_rows(const SpecKey& key, const SearchedSpec& spec, std::int64_t space_id, std::size_t dimension,
                             const Cosine& cosine, TopHits& best) {
  Cursor cursor;
  while (true) {
    const auto rows = searched_rows(spec, space_id, cursor, dimension);
    if (!rows.ok()) {
      return rows.status();
    }
    for (const StoredRow& row : *rows) {
      best.offer(key, row.operation_id, cosine(row.vector));
    }
    if (rows->size() < piece_size(true, dimension)) {
      return {};
    }
    advance(cursor, *rows);
  }
}

}  // namespace embedjobs::core
