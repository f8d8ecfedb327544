// What a catalog remembers of the embedders that make its vectors.
#include "core/rules/checks.hpp"
#include "core/rules/errors.hpp"
#include "sqlite/records.hpp"
#include "sqlite/sqlite_catalog.hpp"

namespace embedjobs::sqlite {
namespace {

constexpr const char* kRemember =
    "INSERT INTO embedders (catalog_id, space, spec) VALUES (?, ?, ?)"
    " ON CONFLICT (catalog_id, space) DO UPDATE SET spec = excluded.spec";
// The space itself before '', which is the smallest text.
constexpr const char* kRemembered =
    "SELECT spec FROM embedders WHERE catalog_id = ? AND space IN (?, '') ORDER BY space DESC LIMIT 1";

}  // namespace

Status SqliteCatalog::remember_embedder(std::string_view catalog_id, std::string_view space_id, std::string_view spec) {
  if (Status status = core::check_embedder(catalog_id, space_id, spec); !status.ok()) {
    return status;
  }
  return database_->write([&](Connection& connection) -> Status {
    const std::optional<CatalogRow> catalog = find_catalog(connection, catalog_id);
    if (!catalog) {
      return core::no_such_catalog(catalog_id);
    }
    connection.run(kRemember, catalog->id, space_id, spec);
    return {};
  });
}

Result<std::string> SqliteCatalog::remembered_embedder(std::string_view catalog_id, std::string_view space_id) {
  return database_->read([&](Connection& connection) -> Result<std::string> {
    const std::optional<CatalogRow> catalog = find_catalog(connection, catalog_id);
    if (!catalog) {
      return core::no_such_catalog(catalog_id);
    }
    Query row = connection.query(kRemembered, catalog->id, space_id);
    return row.next() ? std::string(row.text(0)) : std::string();
  });
}

}  // namespace embedjobs::sqlite
