// Reading rows, the same in every database: those of a spec, and the nearest of a catalog by comparing all.
//
// Both read in pieces, each in a transaction of its own, so that no writer waits for a reader and no snapshot is held
// for long; a manifest that changes between two pieces is seen as it is then. A backend says how a piece is read.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/rules/vectors.hpp"
#include "embedjobs/sys/catalog.hpp"

namespace embedjobs::core {

class RowReader {
 public:
  RowReader() = default;
  virtual ~RowReader() = default;
  RowReader(const RowReader&) = delete;
  RowReader& operator=(const RowReader&) = delete;

  /// As Catalog::rows.
  Result<Space> rows(const SpecKey& key, bool with_vectors, const std::function<bool(const StoredRow&)>& visit);
  /// As Catalog::search. The arguments have been checked.
  Result<std::vector<SearchHit>> search(std::string_view catalog_id, const Space& space, std::span<const float> query,
                                        std::size_t k);

 protected:
  static constexpr std::size_t kSpecsPerPiece = 500;
  /// Operations per piece: at least one, so that a piece always goes on.
  static std::size_t piece_size(bool with_vectors, std::size_t dimension);
  /// `where`: the database, for people.
  static Status damaged(std::string_view where, std::string_view operation_id);

  /// Where the next piece starts. The first one starts before every id: an operation id may be empty.
  struct Cursor {
    std::string after;
    bool first = true;
  };
  struct VisiblePiece {
    std::int64_t space_id = 0;
    Space space;
    std::vector<StoredRow> rows;
  };
  struct SearchedSpec {
    std::int64_t key_id = 0;
    std::string spec_name;
  };
  struct SearchedPiece {
    std::int64_t space_id = 0;
    std::vector<SearchedSpec> specs;
  };

 private:
  /// What is visible of a spec, in the order of operation ids, piece_size() rows at most.
  virtual Result<VisiblePiece> visible_rows(const SpecKey& key, const Cursor& cursor, bool with_vectors) = 0;
  /// The specs of the catalog that have rows in the space, after a name, kSpecsPerPiece at most.
  virtual Result<SearchedPiece> searched_specs(std::string_view catalog_id, const Space& space,
                                               const std::string& after) = 0;
  /// What searches read of such a spec, with vectors of so many dimensions.
  virtual Result<std::vector<StoredRow>> searched_rows(const SearchedSpec& spec, std::int64_t space_id,
                                                       const Cursor& cursor, std::size_t dimension) = 0;

  Status offer_rows(const SpecKey& key, const SearchedSpec& spec, std::int64_t space_id, std::size_t dimension,
                    const Cosine& cosine, TopHits& best);
  static void advance(Cursor& cursor, const std::vector<StoredRow>& rows);
};

}  // namespace embedjobs::core
