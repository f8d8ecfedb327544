// What becomes of one operation: its place, its id and its text.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "embedjobs/status.hpp"

namespace embedjobs::openapi {

/// In the order of their bytes, which is the order of a path's operations.
enum class Method : std::uint8_t { kDelete, kGet, kHead, kPatch, kPost, kPut };
inline constexpr std::size_t kMethodCount = 6;

/// The key of a path item, in lower case as OpenAPI writes it. nullopt: not an operation.
std::optional<Method> parse_method(std::string_view key) noexcept;
std::string_view key_of(Method method) noexcept;   ///< "get"
std::string_view name_of(Method method) noexcept;  ///< "GET"

/// Ids longer than this, or with control characters, are refused: they are stored, shown and compared.
inline constexpr std::size_t kMaxIdBytes = 4096;

/// Where an error is. Only what is set is named.
struct Place {
  std::string_view path;
  std::optional<Method> method;
  std::string_view field;
  std::optional<std::size_t> index;
  std::string_view through;  ///< The reference that led from the path to the operation, if any.
  [[nodiscard]] std::string pointer() const;
};

/// Views into the document.
struct Operation {
  std::string_view operation_id;  ///< Empty: has none of its own.
  std::string_view summary;
  std::string_view description;
  std::string tags;  ///< Joined by one space.
};

/// operationId verbatim, else METHOD and path.
void make_id(const Operation& operation, std::string_view path, Method method, std::string& id);
/// The non-empty ones of summary, description, path, tags, joined by one space.
void make_text(const Operation& operation, std::string_view path, std::string& text);
/// Why this can't be an id; empty when it can.
std::string reject_id(std::string_view id);

}  // namespace embedjobs::openapi
