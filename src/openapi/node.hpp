// What the rules see of a document, whichever parser read it. JsonNode and YamlNode are such nodes: cheap handles,
// copied by value, that end with their document.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace embedjobs::openapi {

enum class Kind : std::uint8_t { kNull, kString, kOther, kArray, kObject };

/// With its article, for messages.
constexpr std::string_view describe(Kind kind) noexcept {
  switch (kind) {
    case Kind::kNull: return "null";
    case Kind::kString: return "a string";
    case Kind::kOther: return "a number or boolean";
    case Kind::kArray: return "an array";
    case Kind::kObject: return "an object";
  }
  return "unknown";
}

/// How a key below a node is to be read when the document is searched for references.
enum class Reading : std::uint8_t {
  kKeywords,  ///< Keys are words of OpenAPI or JSON Schema.
  kNames,     ///< Keys are names that the author chose: properties, schemas, headers.
  kPatterns,  ///< As kNames, but "x-" begins an extension: paths, responses.
};

/// each_member(f) calls f(key, value) in the document's order until it returns false; each_element(f) likewise. Both
/// return false when f did. text() is for kString only, line() is 0 when the parser does not know it, identity() is the
/// same for the same non-empty object only. Node::Visits answers first(node, reading): false when this shared node was
/// seen in this reading already.
template <typename N>
concept DocumentNode = std::copyable<N> &&
    requires(const N node, bool (*on_member)(std::string_view, N), bool (*on_element)(N), typename N::Visits visits) {
  { node.kind() } -> std::same_as<Kind>;
  { node.text() } -> std::same_as<std::string_view>;
  { node.line() } -> std::same_as<std::size_t>;
  { node.identity() } -> std::same_as<const void*>;
  { node.each_member(on_member) } -> std::same_as<bool>;
  { node.each_element(on_element) } -> std::same_as<bool>;
  { visits.first(node, Reading::kKeywords) } -> std::same_as<bool>;
};

}  // namespace embedjobs::openapi
