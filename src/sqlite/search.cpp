// How rows are read from SQLite: a spec's, and those that searches compare. The course of both is in
// core/backend/row_reader.cpp.
#include "core/backend/row_reader.hpp"
#include "core/rules/checks.hpp"
#include "core/rules/errors.hpp"
#include "core/rules/vectors.hpp"
#include "sqlite/manifest.hpp"
#include "sqlite/sqlite_catalog.hpp"
#include "sqlite/vectors.hpp"

namespace embedjobs::sqlite {
namespace {

constexpr const char* kRows =
    "SELECT o.operation_id, o.text_hash, v.embedded_bytes FROM operations AS o"
    " CROSS JOIN vectors AS v ON v.space_id = ?4 AND v.text_hash = o.text_hash "
    "WHERE o.manifest_id = ?1 AND o.operation_id >= ?2 AND (?3 OR o.operation_id > ?2) ORDER BY o.operation_id LIMIT "
    "?5";
constexpr const char* kRowsWithVectors =
    "SELECT o.operation_id, o.text_hash, v.embedded_bytes, d.vector FROM operations AS o"
    " CROSS JOIN vectors AS v ON v.space_id = ?4 AND v.text_hash = o.text_hash"
    " LEFT JOIN vector_data AS d ON d.id = v.vector_id "  // one that is not there is damage, to be told
    "WHERE o.manifest_id = ?1 AND o.operation_id >= ?2 AND (?3 OR o.operation_id > ?2) ORDER BY o.operation_id LIMIT "
    "?5";
constexpr const char* kSpaceName = "SELECT name FROM spaces WHERE id = ?";
// What searches read of a spec: its visible rows; or those that it keeps until the flip; or, when it shows no rows,
// what its pass has persisted so far. 0: nothing.
#define EMBEDJOBS_SEARCHED_MANIFEST                                                                              \
  "CASE WHEN k.visible_space_id = ?2 THEN k.visible_manifest_id"                                                 \
  " WHEN k.searched_flip = c.flips AND k.searched_manifest_id <> 0 THEN k.searched_manifest_id"                  \
  " ELSE IFNULL((SELECT m.id FROM manifests AS m WHERE m.key_id = k.id AND m.space_id = ?2 AND m.state = 0 AND " \
  "m.flip >= c.flips - 1), 0)"                                                                                   \
  " END"
constexpr const char* kSearchedSpecs =
    "SELECT k.id, k.spec_name FROM keys AS k CROSS JOIN catalogs AS c ON c.id = k.catalog_id "
    "WHERE k.catalog_id = ?1 AND k.has_spec AND " EMBEDJOBS_SEARCHED_MANIFEST
    " <> 0 AND k.spec_name > ?3 ORDER BY k.spec_name LIMIT ?4";
constexpr const char* kSearchedManifest =
    "SELECT " EMBEDJOBS_SEARCHED_MANIFEST
    " FROM keys AS k CROSS JOIN catalogs AS c ON c.id = k.catalog_id WHERE k.id = ?1 AND k.has_spec";

Result<Space> load_space(Connection& connection, std::int64_t space_id) {
  Query row = connection.query(kSpaceName, space_id);
  return row.next() ? parse_space(row.text(0)) : Result<Space>(Space{});
}

class SqliteRowReader final : public core::RowReader {
 public:
  explicit SqliteRowReader(Database& database) : database_(database) {}

 private:
  Result<VisiblePiece> visible_rows(const SpecKey& name, const Cursor& cursor, bool with_vectors) override {
    return database_.read([&](Connection& connection) -> Result<VisiblePiece> {
      const std::optional<KeyRow> key = find_key(connection, name);
      if (!key || !key->has_spec) {
        return core::no_such_spec(name);
      }
      auto space = load_space(connection, key->visible_space_id);
      if (!space.ok()) {
        return space.status();
      }
      auto rows =
          read(connection, key->visible_manifest_id, key->visible_space_id, cursor, with_vectors, space->dimension);
      return VisiblePiece{.space_id = key->visible_space_id, .space = *std::move(space), .rows = std::move(rows)};
    });
  }

  Result<SearchedPiece> searched_specs(std::string_view catalog_id, const Space& space,
                                       const std::string& after) override {
    return database_.read([&](Connection& connection) -> Result<SearchedPiece> {
      const std::optional<CatalogRow> catalog = find_catalog(connection, catalog_id);
      if (!catalog) {
        return core::no_such_catalog(catalog_id);
      }
      if (catalog->search_space != space.id() && !catalog->search_space.empty()) {
        return core::wrong_search_space(catalog_id, catalog->search_space, space.id());
      }
      SearchedPiece piece{.space_id = find_space(connection, catalog->id, space.id()), .specs = {}};
      Query row = connection.query(kSearchedSpecs, catalog->id, piece.space_id, after, kSpecsPerPiece);
      while (row.next()) {
        piece.specs.push_back({row.integer(0), std::string(row.text(1))});
      }
      return piece;
    });
  }

  Result<std::vector<StoredRow>> searched_rows(const SearchedSpec& spec, std::int64_t space_id, const Cursor& cursor,
                                               std::size_t dimension) override {
    return database_.read([&](Connection& connection) -> Result<std::vector<StoredRow>> {
      const std::int64_t manifest_id = connection.value_or(0, kSearchedManifest, spec.key_id, space_id);
      return read(connection, manifest_id, space_id, cursor, true, dimension);
    });
  }

  static std::vector<StoredRow> read(Connection& connection, std::int64_t manifest_id, std::int64_t space_id,
                                     const Cursor& cursor, bool with_vectors, std::size_t dimension) {
    std::vector<StoredRow> rows;
    Query row = connection.query(with_vectors ? kRowsWithVectors : kRows, manifest_id, cursor.after, cursor.first,
                                 space_id, piece_size(with_vectors, dimension));
    while (row.next()) {
      StoredRow& stored = rows.emplace_back();
      stored.operation_id = row.text(0);
      stored.text_hash = row.hash(1);
      stored.embedded_bytes = row.number(2);
      if (with_vectors && !from_stored(row.blob(3), dimension, stored.vector)) {
        connection.fail(damaged(connection.path(), stored.operation_id));
      }
    }
    return rows;
  }

  Database& database_;
};

}  // namespace

Result<Space> SqliteCatalog::rows(const SpecKey& key, bool with_vectors,
                                  const std::function<bool(const StoredRow&)>& visit) {
  return SqliteRowReader(*database_).rows(key, with_vectors, visit);
}

Result<std::vector<SearchHit>> SqliteCatalog::search(std::string_view catalog_id, const Space& space,
                                                     std::span<const float> query, std::size_t k) {
  if (Status status = core::check_search(space, query); !status.ok()) {
    return status;
  }
  return SqliteRowReader(*database_).search(catalog_id, space, query, k);
}

}  // namespace embedjobs::sqlite
