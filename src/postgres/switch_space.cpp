// Another target space for a catalog.
//
// The target changes first, and with it what claims may take. Then every spec gets a generation and a job, in pieces.
// Whoever dies between two pieces leaves specs whose manifest is in another space than the target: the reconciler finds
// them.
#include "core/rules/errors.hpp"
#include "core/rules/limits.hpp"
#include "postgres/enqueue.hpp"
#include "postgres/postgres_catalog.hpp"
#include "postgres/searched_space.hpp"

namespace embedjobs::postgres {
namespace {

// A spec costs a handful of rows.

constexpr const char* kSetTarget = "UPDATE @catalogs SET target_space = $2 WHERE id = $1";
// Waits for the writes of passes that looked at the target before.
constexpr const char* kLockCatalog = "SELECT id, target_space, search_space FROM @catalogs WHERE name = $1 FOR UPDATE";
constexpr const char* kHoldCatalog =
    "SELECT id, target_space, search_space FROM @catalogs WHERE name = $1 FOR KEY SHARE";
// The index of keys is by name, and all who lock several keys do so in the order of their ids: two statements.
constexpr const char* kKeysAfter =
    "SELECT k.id, k.spec_name FROM @keys AS k WHERE k.catalog_id = $1 AND k.spec_name > $2 AND NOT k.removed"
    " AND (k.has_spec OR EXISTS (SELECT 1 FROM @jobs AS j WHERE j.key_id = k.id)) ORDER BY k.spec_name LIMIT $3";
constexpr const char* kLockKeys =
    "SELECT " EMBEDJOBS_KEY_COLUMNS
    ", k.spec_name FROM @keys AS k WHERE k.id = ANY ($1) AND NOT k.removed ORDER BY k.id FOR UPDATE OF k";

struct Piece {
  std::string after;  ///< The last spec that was looked at.
  std::size_t count = 0;
  bool more = false;
};

std::optional<CatalogRow> read_catalog(Query&& row) {
  return row.next() ? std::optional(CatalogRow{row.integer(0), row.text(1), row.text(2)}) : std::nullopt;
}

Piece enqueue_piece(Connection& connection, std::int64_t catalog_id, std::string_view catalog_name,
                    const std::string& after) {
  Piece piece{.after = after};
  std::vector<std::int64_t> ids;
  {
    Query row = connection.query(kKeysAfter, catalog_id, after, core::kSpecsPerTransaction);
    while (row.next()) {
      ids.push_back(row.integer(0));
      piece.after = row.text(1);
    }
  }
  piece.more = ids.size() == core::kSpecsPerTransaction;
  std::vector<std::pair<KeyRow, std::string>> keys;
  {
    Query row = connection.query(kLockKeys, ids);
    while (row.next()) {
      keys.emplace_back(read_key(row), row.text(kKeyColumns));
    }
  }
  for (auto& [key, name] : keys) {
    enqueue_for_switch(connection, key, {std::string(catalog_name), name});
  }
  piece.count = keys.size();
  return piece;
}

/// False: it is the target already.
Result<bool> change_target(Connection& connection, std::string_view catalog_id, const std::string& target) {
  const std::optional<CatalogRow> catalog = read_catalog(connection.query(kLockCatalog, catalog_id));
  if (!catalog) {
    return core::no_such_catalog(catalog_id);
  }
  if (catalog->target_space == target) {
    return false;
  }
  connection.run_later(kSetTarget, catalog->id, target);
  follow_target(connection, catalog->id);
  return true;
}

}  // namespace

Result<std::size_t> PostgresCatalog::switch_space(std::string_view catalog_id, const Space& target) {
  if (Status status = validate(target); !status.ok()) {
    return status;
  }
  const std::string target_id = target.id();
  auto changed =
      database_->write([&](Connection& connection) { return change_target(connection, catalog_id, target_id); });
  if (!changed.ok() || !*changed) {
    return changed.ok() ? Result<std::size_t>(0) : changed.status();
  }
  std::size_t enqueued = 0;
  std::string after;
  for (bool more = true; more;) {
    auto piece = database_->write([&](Connection& connection) -> Result<Piece> {
      const std::optional<CatalogRow> catalog = read_catalog(connection.query(kHoldCatalog, catalog_id));
      if (!catalog) {
        return core::no_such_catalog(catalog_id);
      }
      if (catalog->target_space != target_id) {
        return core::switched_meanwhile(catalog_id, catalog->target_space);
      }
      Piece done = enqueue_piece(connection, catalog->id, catalog_id, after);
      notify(connection, database_->options().schema);
      return done;
    });
    if (!piece.ok()) {
      return piece.status();
    }
    enqueued += piece->count;
    after = piece->after;
    more = piece->more;
  }
  if (enqueued > 0) {
    database_->wake().fire();
  }
  return enqueued;
}

}  // namespace embedjobs::postgres
