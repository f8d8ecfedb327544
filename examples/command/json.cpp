#include "json.hpp"

#include <fmt/format.h>

#include "text.hpp"

namespace embedjobs::command {

std::string json_string(std::string_view text) {
  std::string result = "\"";
  for (std::size_t i = 0; i < text.size();) {
    const CodePoint point = code_point_at(text, i);
    const std::string_view bytes = text.substr(i, point.bytes);
    i += point.bytes;
    if (!point.valid) {
      result += "\xef\xbf\xbd";
    } else if (point.value == '"' || point.value == '\\') {
      result += '\\';
      result += bytes;
    } else if (point.value == '\n') {
      result += "\\n";
    } else if (point.value == '\t') {
      result += "\\t";
    } else if (is_control(point.value)) {
      result += fmt::format("\\u{:04x}", static_cast<std::uint32_t>(point.value));
    } else {
      result += bytes;
    }
  }
  result += '"';
  return result;
}

JsonObject& JsonObject::raw(std::string_view name, std::string_view value) {
  if (!members_.empty()) {
    members_ += ',';
  }
  members_.append(1, '"').append(name).append("\":").append(value);
  return *this;
}

JsonObject& JsonObject::real(std::string_view name, float value) {
  return raw(name, fmt::format("{}", value));
}

JsonObject& JsonObject::reals(std::string_view name, std::span<const float> values) {
  std::string list = "[";
  for (const float value : values) {
    if (list.size() > 1) {
      list += ',';
    }
    fmt::format_to(std::back_inserter(list), "{}", value);
  }
  return raw(name, list + "]");
}

JsonObject& JsonObject::time(std::string_view name, WallTime value) {
  return value == WallTime{} ? null(name) : text(name, format_rfc3339(value));
}

}  // namespace embedjobs::command
