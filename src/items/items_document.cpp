// Items as a stored document: how they are known from OpenAPI.
#include "embedjobs/items.hpp"
#include "openapi/encoding.hpp"

namespace embedjobs {

bool is_items_document(std::string_view content) noexcept {
  content = openapi::without_mark(content);
  if (!content.starts_with(kItemsHeader)) {
    return false;
  }
  content.remove_prefix(kItemsHeader.size());
  return content.empty() || content.starts_with('\n') || content.starts_with("\r\n");
}

std::string make_items_document(std::string_view items) {
  items = openapi::without_mark(items);
  if (is_items_document(items)) {
    return std::string(items);
  }
  std::string document;
  document.reserve(kItemsHeader.size() + 1 + items.size());
  document += kItemsHeader;
  document += '\n';
  document += items;
  return document;
}

}  // namespace embedjobs
