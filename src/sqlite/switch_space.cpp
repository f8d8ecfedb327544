// Another target space for a catalog.
//
// The target changes first, and with it what claims may take. Then every spec gets a generation and a job, in pieces.
// Whoever dies between two pieces leaves specs whose manifest is in another space than the target: the reconciler finds
// them.
#include "core/rules/errors.hpp"
#include "core/rules/limits.hpp"
#include "sqlite/enqueue.hpp"
#include "sqlite/spec_rows.hpp"
#include "sqlite/sqlite_catalog.hpp"

namespace embedjobs::sqlite {
namespace {

// A spec costs a handful of rows.

constexpr const char* kSetTarget = "UPDATE catalogs SET target_space = ? WHERE id = ?";
constexpr const char* kKeysAfter =
    "SELECT k.id, k.spec_name FROM keys AS k WHERE k.catalog_id = ?1 AND k.spec_name > ?2 AND k.removed = 0"
    " AND (k.has_spec OR EXISTS (SELECT 1 FROM jobs AS j INDEXED BY jobs_open WHERE j.catalog_id = ?1 AND j.key_id = "
    "k.id AND j.status <= "
    "1))"
    " ORDER BY k.spec_name LIMIT ?3";

struct Piece {
  std::string after;  ///< The last spec that was enqueued.
  std::size_t count = 0;
};

Piece enqueue_piece(Connection& connection, std::int64_t catalog_id, std::string_view catalog_name,
                    const std::string& after, WallTime now) {
  std::vector<std::pair<std::int64_t, std::string>> keys;
  {
    Query row = connection.query(kKeysAfter, catalog_id, after, core::kSpecsPerTransaction);
    while (row.next()) {
      keys.emplace_back(row.integer(0), row.text(1));
    }
  }
  for (const auto& [id, name] : keys) {
    if (std::optional<KeyRow> key = load_key(connection, id)) {
      enqueue_for_switch(connection, *key, {std::string(catalog_name), name}, now);
    }
  }
  return {.after = keys.empty() ? after : keys.back().second, .count = keys.size()};
}

}  // namespace

Result<std::size_t> SqliteCatalog::switch_space(std::string_view catalog_id, const Space& target) {
  if (Status status = validate(target); !status.ok()) {
    return status;
  }
  const std::string target_id = target.id();
  std::size_t enqueued = 0;
  std::string after;
  for (bool first = true, more = true; more; first = false) {
    auto piece = database_->write([&](Connection& connection) -> Result<Piece> {
      const std::optional<CatalogRow> catalog = find_catalog(connection, catalog_id);
      if (!catalog) {
        return core::no_such_catalog(catalog_id);
      }
      if (first && catalog->target_space == target_id) {
        return Piece{};
      }
      if (!first && catalog->target_space != target_id) {
        return core::switched_meanwhile(catalog_id, catalog->target_space);
      }
      if (first) {
        connection.run(kSetTarget, target_id, catalog->id);
        follow_target(connection, catalog->id);
      }
      return enqueue_piece(connection, catalog->id, catalog_id, after, now());
    });
    if (!piece.ok()) {
      return piece.status();
    }
    enqueued += piece->count;
    after = piece->after;
    more = piece->count == core::kSpecsPerTransaction;
  }
  if (enqueued > 0) {
    database_->wake().fire();
  }
  return enqueued;
}

}  // namespace embedjobs::sqlite
