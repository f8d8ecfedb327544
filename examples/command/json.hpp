// One JSON object a line, as much of it as this program needs.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "embedjobs/types.hpp"

namespace embedjobs::command {

/// `text` as a JSON string with its quotes. Invalid UTF-8 becomes U+FFFD; control characters, also those of a terminal
/// beyond ASCII, are escaped, so that no document's text can command the terminal that shows it.
std::string json_string(std::string_view text);

/// An object under construction: members in the order of the calls. Names are literals of this program and need no
/// escapes.
class JsonObject {
 public:
  JsonObject& text(std::string_view name, std::string_view value) { return raw(name, json_string(value)); }
  /// Null when empty: there is none.
  JsonObject& text_or_null(std::string_view name, std::string_view value) {
    return value.empty() ? null(name) : text(name, value);
  }
  JsonObject& integer(std::string_view name, std::int64_t value) { return raw(name, std::to_string(value)); }
  /// Null when none: not known.
  JsonObject& integer(std::string_view name, const std::optional<std::int64_t>& value) {
    return value ? integer(name, *value) : null(name);
  }
  JsonObject& boolean(std::string_view name, bool value) { return raw(name, value ? "true" : "false"); }
  /// The shortest digits that read back as the same float.
  JsonObject& real(std::string_view name, float value);
  JsonObject& reals(std::string_view name, std::span<const float> values);
  /// RFC 3339; null for the zero time, which means "never".
  JsonObject& time(std::string_view name, WallTime value);
  JsonObject& null(std::string_view name) { return raw(name, "null"); }
  JsonObject& object(std::string_view name, const JsonObject& value) { return raw(name, value.str()); }
  [[nodiscard]] std::string str() const { return "{" + members_ + "}"; }

 private:
  JsonObject& raw(std::string_view name, std::string_view value);
  std::string members_;
};

}  // namespace embedjobs::command
