// How rows are read from PostgreSQL: a spec's, and those that searches compare where the server can't. The course of
// both is in core/backend/row_reader.cpp.
#include "core/backend/row_reader.hpp"
#include "core/rules/checks.hpp"
#include "core/rules/errors.hpp"
#include "core/rules/vectors.hpp"
#include "postgres/manifest.hpp"
#include "postgres/postgres_catalog.hpp"
#include "postgres/search_nearest.hpp"
#include "postgres/vectors.hpp"

namespace embedjobs::postgres {
namespace {

constexpr const char* kRows =
    "SELECT o.operation_id, o.text_hash, v.embedded_bytes FROM @operations AS o"
    " JOIN @vectors AS v ON v.space_id = $4 AND v.text_hash = o.text_hash "
    "WHERE o.manifest_id = $1 AND o.operation_id >= $2 AND ($3 OR o.operation_id > $2) ORDER BY o.operation_id LIMIT "
    "$5";
constexpr const char* kRowsWithVectors =
    "SELECT o.operation_id, o.text_hash, v.embedded_bytes, v.vector FROM @operations AS o"
    " LEFT JOIN @vectors AS v ON v.space_id = $4 AND v.text_hash = o.text_hash "  // one that is not there is damage, to
                                                                                  // be told
    "WHERE o.manifest_id = $1 AND o.operation_id >= $2 AND ($3 OR o.operation_id > $2) ORDER BY o.operation_id LIMIT "
    "$5";
constexpr const char* kSpaceName = "SELECT name FROM @spaces WHERE id = $1";
constexpr const char* kSearchedSpecs =
    "SELECT k.id, k.spec_name FROM @keys AS k JOIN @catalogs AS c ON c.id = k.catalog_id "
    "WHERE k.catalog_id = $1 AND k.has_spec AND " EMBEDJOBS_SEARCHED_MANIFEST
    " <> 0 AND k.spec_name > $3 ORDER BY k.spec_name LIMIT $4";
constexpr const char* kSearchedManifest =
    "SELECT " EMBEDJOBS_SEARCHED_MANIFEST
    " FROM @keys AS k JOIN @catalogs AS c ON c.id = k.catalog_id WHERE k.id = $1 AND k.has_spec";

Result<Space> load_space(Connection& connection, std::int64_t space_id) {
  Query row = connection.query(kSpaceName, space_id);
  return row.next() ? parse_space(row.text(0)) : Result<Space>(Space{});
}

class PostgresRowReader final : public core::RowReader {
 public:
  explicit PostgresRowReader(Database& database) : database_(database) {}

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
      auto searched = searched_space(connection, catalog_id, space.id());
      if (!searched.ok()) {
        return searched.status();
      }
      SearchedPiece piece{.space_id = searched->space_id, .specs = {}};
      Query row = connection.query(kSearchedSpecs, searched->catalog_id, piece.space_id, after, kSpecsPerPiece);
      while (row.next()) {
        piece.specs.push_back({row.integer(0), row.text(1)});
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
    const VectorType& type = connection.vector_type();
    Query row = connection.query(with_vectors ? kRowsWithVectors : kRows, manifest_id, blob_of(cursor.after),
                                 cursor.first, space_id, piece_size(with_vectors, dimension));
    while (row.next()) {
      StoredRow& stored = rows.emplace_back();
      stored.operation_id = row.text(0);
      stored.text_hash = row.hash(1);
      stored.embedded_bytes = row.number(2);
      if (with_vectors && !(type.read(row.blob(3), stored.vector) && stored.vector.size() == dimension)) {
        connection.fail(damaged("PostgreSQL", stored.operation_id));
      }
    }
    return rows;
  }

  Database& database_;
};

}  // namespace

Result<Space> PostgresCatalog::rows(const SpecKey& key, bool with_vectors,
                                    const std::function<bool(const StoredRow&)>& visit) {
  return PostgresRowReader(*database_).rows(key, with_vectors, visit);
}

Result<std::vector<SearchHit>> PostgresCatalog::search(std::string_view catalog_id, const Space& space,
                                                       std::span<const float> query, std::size_t k) {
  if (Status status = core::check_search(space, query); !status.ok()) {
    return status;
  }
  auto kept =
      database_->read([](Connection& connection) -> Result<PostgresVectors> { return connection.vector_type().kind; });
  if (!kept.ok()) {
    return kept.status();
  }
  return *kept == PostgresVectors::kReal ? PostgresRowReader(*database_).search(catalog_id, space, query, k)
                                         : search_nearest(*database_, catalog_id, space, query, k);
}

}  // namespace embedjobs::postgres
