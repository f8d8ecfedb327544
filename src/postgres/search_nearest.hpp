// Searches by pgvector's operator, and what every search looks at.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "embedjobs/sys/catalog.hpp"
#include "postgres/database.hpp"

// The manifest of a spec that a search in space $2 reads; 0: none. It is the first of these that exists:
//   1. its visible rows, if they are in that space;
//   2. during a switch: the rows of that space that it keeps for searches until all specs have moved (see
//      searched_space.hpp);
//   3. what its pass has persisted so far in that space.
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

/// The k nearest operations, as Catalog::search. The server's operator finds candidates, by an index where there is
/// one. Then this function compares the candidates exactly. So scores, and the order of equal scores, are the same as
/// in every backend. With an index the search is approximate: it may miss a near operation.
Result<std::vector<SearchHit>> search_nearest(Database& database, std::string_view catalog_id, const Space& space,
                                              std::span<const float> query, std::size_t k);

}  // namespace embedjobs::postgres
