// Reading rows: a spec's, and the nearest of a catalog.
//
// Both read in pieces, each in a transaction of its own, so that no snapshot is held for long; a manifest that changes between two pieces
// is seen as it is then.
#include <fmt/format.h>

#include <algorithm>

#include "core/guard.hpp"
#include "core/vectors.hpp"
#include "postgres/manifest.hpp"
#include "postgres/postgres_catalog.hpp"
#include "postgres/search_nearest.hpp"
#include "postgres/vectors.hpp"

namespace embedjobs::postgres {
namespace {

constexpr std::size_t kRowsPerPiece = 500;
constexpr std::size_t kVectorBytesPerPiece = std::size_t{8} << 20;

// The first piece starts before every id; an operation id may be empty.
constexpr const char* kRows =
    "SELECT o.operation_id, o.text_hash, v.embedded_bytes FROM @operations AS o"
    " JOIN @vectors AS v ON v.space_id = $4 AND v.text_hash = o.text_hash "
    "WHERE o.manifest_id = $1 AND o.operation_id >= $2 AND ($3 OR o.operation_id > $2) ORDER BY o.operation_id LIMIT $5";
constexpr const char* kRowsWithVectors =
    "SELECT o.operation_id, o.text_hash, v.embedded_bytes, v.vector FROM @operations AS o"
    " LEFT JOIN @vectors AS v ON v.space_id = $4 AND v.text_hash = o.text_hash "  // one that is not there is damage, to be told
    "WHERE o.manifest_id = $1 AND o.operation_id >= $2 AND ($3 OR o.operation_id > $2) ORDER BY o.operation_id LIMIT $5";
constexpr const char* kSpaceName = "SELECT name FROM @spaces WHERE id = $1";
constexpr const char* kSearchedSpecs =
    "SELECT k.id, k.spec_name FROM @keys AS k JOIN @catalogs AS c ON c.id = k.catalog_id "
    "WHERE k.catalog_id = $1 AND k.has_spec AND " EMBEDJOBS_SEARCHED_MANIFEST " <> 0 AND k.spec_name > $3 ORDER BY k.spec_name LIMIT $4";
constexpr const char* kSearchedManifest =
    "SELECT " EMBEDJOBS_SEARCHED_MANIFEST " FROM @keys AS k JOIN @catalogs AS c ON c.id = k.catalog_id WHERE k.id = $1 AND k.has_spec";

struct Cursor {
  std::string after;
  bool first = true;
};

Status damaged(std::string_view operation_id) {
  return {Code::kUnusable, fmt::format("PostgreSQL: damaged: the vector of operation '{}' is missing or has another length than its space: "
                                       "retry the spec to embed it afresh",
                                       operation_id)};
}

/// At least one, so that a piece always goes on.
std::size_t piece_size(bool with_vectors, std::size_t dimension) {
  const std::size_t bytes = std::max<std::size_t>(1, dimension * sizeof(float));
  return with_vectors ? std::clamp<std::size_t>(kVectorBytesPerPiece / bytes, 1, kRowsPerPiece) : kRowsPerPiece;
}

std::vector<StoredRow> read_piece(Connection& connection, std::int64_t manifest_id, std::int64_t space_id, const Cursor& cursor,
                                  bool with_vectors, std::size_t dimension) {
  const VectorType& type = connection.vector_type();
  std::vector<StoredRow> rows;
  Query row = connection.query(with_vectors ? kRowsWithVectors : kRows, manifest_id, blob_of(cursor.after), cursor.first, space_id,
                               piece_size(with_vectors, dimension));
  while (row.next()) {
    StoredRow& stored = rows.emplace_back();
    stored.operation_id = row.text(0);
    stored.text_hash = row.hash(1);
    stored.embedded_bytes = row.number(2);
    if (with_vectors && !(type.read(row.blob(3), stored.vector) && stored.vector.size() == dimension)) {
      connection.fail(damaged(stored.operation_id));
    }
  }
  return rows;
}

void advance(Cursor& cursor, const std::vector<StoredRow>& rows) {
  cursor.first = false;
  if (!rows.empty()) {
    cursor.after = rows.back().operation_id;
  }
}

Result<Space> load_space(Connection& connection, std::int64_t space_id) {
  Query row = connection.query(kSpaceName, space_id);
  return row.next() ? parse_space(row.text(0)) : Result<Space>(Space{});
}

struct SearchedSpec {
  std::int64_t key_id = 0;
  std::string spec_name;
};

/// The specs of the catalog that have rows in the space, after a name.
Result<std::vector<SearchedSpec>> searched_specs(Connection& connection, std::string_view catalog_id, const std::string& space_id,
                                                 const std::string& after, std::int64_t& space) {
  auto searched = searched_space(connection, catalog_id, space_id);
  if (!searched.ok()) {
    return searched.status();
  }
  space = searched->space_id;
  std::vector<SearchedSpec> specs;
  Query row = connection.query(kSearchedSpecs, searched->catalog_id, space, after, kRowsPerPiece);
  while (row.next()) {
    specs.push_back({row.integer(0), row.text(1)});
  }
  return specs;
}

Status search_spec(Database& database, const SearchedSpec& spec, const SpecKey& key, std::int64_t space_id, std::size_t dimension,
                   const core::Cosine& cosine, core::TopHits& best) {
  Cursor cursor;
  while (true) {
    auto rows = database.read([&](Connection& connection) -> Result<std::vector<StoredRow>> {
      const std::int64_t manifest_id = connection.value_or(0, kSearchedManifest, spec.key_id, space_id);
      return read_piece(connection, manifest_id, space_id, cursor, true, dimension);
    });
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

/// Every row is read and compared here.
Result<std::vector<SearchHit>> search_computed(Database& database, std::string_view catalog_id, const Space& space,
                                               std::span<const float> query, std::size_t k) {
  const core::Cosine cosine(query);
  core::TopHits best(k);
  std::string after;
  while (true) {
    std::int64_t space_id = 0;
    auto specs = database.read([&](Connection& connection) -> Result<std::vector<SearchedSpec>> {
      return searched_specs(connection, catalog_id, space.id(), after, space_id);
    });
    if (!specs.ok()) {
      return specs.status();
    }
    for (const SearchedSpec& spec : *specs) {
      const SpecKey key{std::string(catalog_id), spec.spec_name};
      if (Status status = search_spec(database, spec, key, space_id, space.dimension, cosine, best); !status.ok()) {
        return status;
      }
    }
    if (specs->size() < kRowsPerPiece) {
      return best.take();
    }
    after = specs->back().spec_name;
  }
}

}  // namespace

Result<Space> PostgresCatalog::rows(const SpecKey& name, bool with_vectors, const std::function<bool(const StoredRow&)>& visit) {
  Space space;
  std::int64_t space_id = 0;
  Cursor cursor;
  while (true) {
    auto rows = database_->read([&](Connection& connection) -> Result<std::vector<StoredRow>> {
      const std::optional<KeyRow> key = find_key(connection, name);
      if (!key || !key->has_spec) {
        return Status(Code::kNotFound, fmt::format("{}/{}: no such spec", name.catalog_id, name.spec_name));
      }
      if (!cursor.first && key->visible_space_id != space_id) {
        return Status(Code::kRetry, fmt::format("{}/{}: moved to another space while it was read", name.catalog_id, name.spec_name));
      }
      space_id = key->visible_space_id;
      auto loaded = load_space(connection, space_id);
      if (!loaded.ok()) {
        return loaded.status();
      }
      space = *std::move(loaded);
      return read_piece(connection, key->visible_manifest_id, space_id, cursor, with_vectors, space.dimension);
    });
    if (!rows.ok()) {
      return rows.status();
    }
    auto visited = core::guarded("the visitor of rows", [&]() -> Result<bool> {
      return std::all_of(rows->begin(), rows->end(), [&](const StoredRow& row) { return visit(row); });
    });
    if (!visited.ok()) {
      return visited.status();
    }
    if (!*visited) {
      return space;
    }
    if (rows->size() < piece_size(with_vectors, space.dimension)) {
      return cursor.first && rows->empty() ? Space{} : space;
    }
    advance(cursor, *rows);
  }
}

Result<std::vector<SearchHit>> PostgresCatalog::search(std::string_view catalog_id, const Space& space, std::span<const float> query,
                                                       std::size_t k) {
  if (Status status = validate(space); !status.ok()) {
    return status;
  }
  if (Status status = core::check_vector(query, space.dimension); !status.ok()) {
    return status.with_context("query");
  }
  auto kept = database_->read([](Connection& connection) -> Result<PostgresVectors> { return connection.vector_type().kind; });
  if (!kept.ok()) {
    return kept.status();
  }
  return *kept == PostgresVectors::kReal ? search_computed(*database_, catalog_id, space, query, k)
                                         : search_nearest(*database_, catalog_id, space, query, k);
}

}  // namespace embedjobs::postgres
