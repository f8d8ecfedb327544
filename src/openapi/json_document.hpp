// JSON through simdjson: one parse into a tape, and nodes that point into it.
#pragma once

#include <simdjson.h>

#include <memory>
#include <string_view>

#include "embedjobs/status.hpp"
#include "openapi/node.hpp"

namespace embedjobs::openapi {

class JsonNode {
 public:
  explicit JsonNode(simdjson::dom::element element) : element_(element) {}

  [[nodiscard]] Kind kind() const {
    switch (element_.type()) {
      case simdjson::dom::element_type::STRING: return Kind::kString;
      case simdjson::dom::element_type::ARRAY: return Kind::kArray;
      case simdjson::dom::element_type::OBJECT: return Kind::kObject;
      case simdjson::dom::element_type::NULL_VALUE: return Kind::kNull;
      default: return Kind::kOther;
    }
  }
  [[nodiscard]] std::string_view text() const { return element_.get_string().value_unsafe(); }
  [[nodiscard]] std::size_t line() const { return 0; }
  /// Each key has its own bytes in the document's string buffer.
  [[nodiscard]] const void* identity() const {
    const simdjson::dom::object object = element_.get_object().value_unsafe();
    return object.begin() != object.end() ? object.begin().key_c_str() : nullptr;
  }
  template <typename F>
  bool each_member(F&& f) const {
    for (const auto& [key, value] : simdjson::dom::object(element_.get_object().value_unsafe())) {
      if (!f(key, JsonNode(value))) {
        return false;
      }
    }
    return true;
  }
  template <typename F>
  bool each_element(F&& f) const {
    for (const simdjson::dom::element value : simdjson::dom::array(element_.get_array().value_unsafe())) {
      if (!f(JsonNode(value))) {
        return false;
      }
    }
    return true;
  }

  /// JSON shares nothing: each node is met once.
  struct Visits {
    static bool first(const JsonNode&, Reading) { return true; }
  };

 private:
  simdjson::dom::element element_;
};

class JsonDocument {
 public:
  /// `text` is without a byte order mark. Errors name line and column; `text` begins in line `first_line`.
  static Result<JsonDocument> parse(std::string_view text, std::size_t depth, std::size_t first_line = 1);
  [[nodiscard]] JsonNode root() const { return JsonNode(document_->root()); }

 private:
  std::unique_ptr<simdjson::dom::document> document_ =
      std::make_unique<simdjson::dom::document>();  // nodes point to it
};

}  // namespace embedjobs::openapi
