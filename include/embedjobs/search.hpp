// What is read from a catalog: its rows, and the operations nearest to a query.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "embedjobs/types.hpp"

namespace embedjobs {

/// One visible row of a spec.
struct StoredRow {
  std::string operation_id;
  TextHash text_hash{};
  std::size_t embedded_bytes = 0;  ///< 0: the whole text was embedded.
  std::vector<float> vector;       ///< Empty where vectors were not asked for.
};

/// An operation that a search found.
struct SearchHit {
  SpecKey key;
  std::string operation_id;
  float score = 0;  ///< Cosine of the angle between query and operation, -1 to 1.
};

/// One catalog, and how far it is on the way from one space to another.
struct CatalogInfo {
  std::string catalog_id;
  std::string target_space_id;  ///< What passes write; empty: not chosen yet.
  std::string search_space_id;  ///< What searches read; differs from the target while a switch is under way.
  std::int64_t spec_count = 0;
  std::int64_t specs_in_target = 0;  ///< Specs whose visible rows are in the target space.
};

}  // namespace embedjobs
