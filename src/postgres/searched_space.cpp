#include "postgres/searched_space.hpp"

namespace embedjobs::postgres {
namespace {

constexpr const char* kFollow = "SELECT @follow_target($1)";
constexpr const char* kKeepSearched =
    "UPDATE @keys AS k SET searched_manifest_id = k.visible_manifest_id, searched_flip = c.flips "
    "FROM @catalogs AS c JOIN @spaces AS s ON s.catalog_id = c.id AND s.name = c.search_space "
    "WHERE k.id = $1 AND c.id = k.catalog_id AND k.visible_space_id <> $2 AND k.visible_space_id = s.id";

}  // namespace

void keep_searched(Connection& connection, const KeyRow& key, std::int64_t new_space_id) {
  connection.run_later(kKeepSearched, key.id, new_space_id);
}

void follow_target(Connection& connection, std::int64_t catalog_id) {
  connection.run_later(kFollow, catalog_id);
}

}  // namespace embedjobs::postgres
