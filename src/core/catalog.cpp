// What a catalog answers that has no better way.
#include "embedjobs/catalog.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace embedjobs {

Result<std::string> Catalog::search_space_of(std::string_view catalog_id) {
  const Result<std::vector<CatalogInfo>> infos = catalogs();
  if (!infos.ok()) {
    return infos.status();
  }
  const auto info = std::find_if(infos->begin(), infos->end(), [&](const CatalogInfo& each) { return each.catalog_id == catalog_id; });
  if (info == infos->end()) {
    return Status(Code::kNotFound, fmt::format("there is no catalog '{}'", catalog_id));
  }
  return info->search_space_id;
}

}  // namespace embedjobs
