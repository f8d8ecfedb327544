// Searches by pgvector's operator, and what every search looks at.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "embedjobs/sys/catalog.hpp"
#include "postgres/database.hpp"

// What searches read of a spec: its visible rows; or those that it keeps until the flip; or, when it shows no rows,
// what its pass has persisted so far. 0: nothing.
#define EMBEDJOBS_SEARCHED_MANIFEST                                                                                 \
  "CASE WHEN k.visible_space_id = $2 THEN k.visible_manifest_id"                                                    \
  " WHEN k.searched_flip = c.flips AND k.searched_manifest_id <> 0 THEN k.searched_manifest_id"                     \
  " ELSE coalesce((SELECT m.id FROM @manifests AS m WHERE m.key_id = k.id AND m.space_id = $2 AND m.state = 0 AND " \
  "m.flip >= c.flips - 1)"                                                                                          \
  ", 0) END"

namespace embedjobs::postgres {

struct SearchedSpace {
  std::int64_t catalog_id = 0;
  std::int64_t space_id = 0;  ///< 0: nothing has been stored in it.
};
/// kNotFound: no such catalog. kRefused: its searches read another space.
Result<SearchedSpace> searched_space(Connection& connection, std::string_view catalog_id, const std::string& space_id);

/// The k nearest, as Catalog::search: candidates by the server's operator, or by its index where there is one, then
/// compared exactly, so that scores and ties are those of every backend. With an index the candidates are approximate.
Result<std::vector<SearchHit>> search_nearest(Database& database, std::string_view catalog_id, const Space& space,
                                              std::span<const float> query, std::size_t k);

}  // namespace embedjobs::postgres
