// Documents that a host cut itself: plain items, one JSON object a line (JSON Lines), each with an id and the text to
// embed.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "embedjobs/limits.hpp"
#include "embedjobs/openapi.hpp"
#include "embedjobs/splitter.hpp"

namespace embedjobs {

/// The first line of a stored document that holds items. A pass tells items from OpenAPI by this line.
/// Engine::put_items writes it. A host that stores or resolves documents in another way must put it, and a newline,
/// before the items.
inline constexpr std::string_view kItemsHeader = R"({"embedjobs":"items/1"})";

/// Items come from users: everything is bounded.
struct ItemsLimits {
  std::size_t bytes = kMaxDocumentBytes;          ///< All items together, as written.
  std::size_t line_bytes = std::size_t{1} << 20;  ///< One item, as written.
  std::size_t items = 1'000'000;
};

/// Reads items, with or without kItemsHeader before them. Thread-safe. The rules are in docs/items.md.
std::shared_ptr<const Splitter> make_items_splitter(const ItemsLimits& limits = {});

/// The splitter of an Engine that was given none. A document that begins with kItemsHeader holds items. Every other
/// document is OpenAPI. Thread-safe.
std::shared_ptr<const Splitter> make_document_splitter(const ItemsLimits& items = {},
                                                       const OpenApiLimits& openapi = {});

/// True when kItemsHeader is the first line of `content`. A byte order mark before it is ignored.
bool is_items_document(std::string_view content) noexcept;

/// `items` as a document: with kItemsHeader before them, unless it is there already. They are not looked at.
std::string make_items_document(std::string_view items);

}  // namespace embedjobs
