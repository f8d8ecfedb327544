// One pass over the whole document for references that leave it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "embedjobs/status.hpp"
#include "openapi/node.hpp"
#include "openapi/place.hpp"

namespace embedjobs::openapi {

/// How to read below `key`, which is a keyword; nullopt: what is below is data of the author's, where "$ref" means
/// nothing.
std::optional<Reading> reading_below_keyword(std::string_view key) noexcept;

template <DocumentNode Node>
class ExternalRefs {
 public:
  /// kInvalidDocument names the first "$ref" whose value is a string that does not begin with "#".
  Status refuse(const Node& root) {
    if (search(root, Reading::kKeywords)) {
      return {};
    }
    return error_at(
        line_, pointer_,
        "external reference '" + printable(reference_) + "'; only references into the same document are supported");
  }

 private:
  /// False when one was found. Recursion is bounded: a document's nesting is.
  bool search(const Node& node, Reading reading) {
    if (!visits_.first(node, reading)) {
      return true;
    }
    if (node.kind() == Kind::kArray) {
      std::size_t index = 0;
      return node.each_element([&](const Node& element) { return in_array(element, index++); });
    }
    return node.each_member([&](std::string_view key, const Node& value) { return in_object(key, value, reading); });
  }

  bool in_array(const Node& element, std::size_t index) {
    const Kind kind = element.kind();
    if ((kind != Kind::kObject && kind != Kind::kArray) || search(element, Reading::kKeywords)) {
      return true;
    }
    pointer_.insert(0, pointer_token(std::to_string(index)));
    return false;
  }

  bool in_object(std::string_view key, const Node& value, Reading reading) {
    const Kind kind = value.kind();
    if (kind == Kind::kString) {
      return key != "$ref" || is_internal(value);
    }
    if (kind != Kind::kObject && kind != Kind::kArray) {
      return true;
    }
    const std::optional<Reading> below = reading_below(key, reading);
    if (!below || search(value, *below)) {
      return true;
    }
    pointer_.insert(0, pointer_token(key));
    return false;
  }

  bool is_internal(const Node& value) {
    const std::string_view reference = value.text();
    if (reference.empty() || reference.front() == '#') {
      return true;
    }
    pointer_ = "/$ref";
    line_ = value.line();
    reference_ = reference;
    return false;
  }

  static std::optional<Reading> reading_below(std::string_view key, Reading reading) {
    if (reading == Reading::kKeywords) {
      return reading_below_keyword(key);
    }
    if (reading == Reading::kPatterns && key.starts_with("x-")) {
      return std::nullopt;
    }
    return Reading::kKeywords;
  }

  typename Node::Visits visits_;
  std::string pointer_;
  std::size_t line_ = 0;
  std::string_view reference_;
};

}  // namespace embedjobs::openapi
