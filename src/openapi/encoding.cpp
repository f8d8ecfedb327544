#include "openapi/encoding.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "core/values/utf8.hpp"
#include "openapi/place.hpp"

namespace embedjobs::openapi {
namespace {

using namespace std::string_view_literals;

constexpr std::string_view kUtf8Mark = "\xef\xbb\xbf";

bool looks_like_utf16(std::string_view content) {
  const std::string_view start = content.substr(0, 4);
  return start.starts_with("\xff\xfe") || start.starts_with("\xfe\xff") || start.find('\0') != std::string_view::npos;
}

bool is_forbidden_in_yaml(char c) {
  return static_cast<unsigned char>(c) < 0x20 && c != '\t' && c != '\n' && c != '\r';
}

}  // namespace

Result<Text> recognise(std::string_view content) {
  if (looks_like_utf16(content)) {
    return {Code::kInvalidDocument, "the document is binary, UTF-16 or UTF-32; only UTF-8 is supported"};
  }
  content = without_mark(content);
  const std::size_t first = content.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos) {
    return {Code::kInvalidDocument, "the document is blank"};
  }
  return Text{.body = content, .format = content[first] == '{' ? Format::kJson : Format::kYaml};
}

std::string_view without_mark(std::string_view content) noexcept {
  return content.starts_with(kUtf8Mark) ? content.substr(kUtf8Mark.size()) : content;
}

Status check_utf8(std::string_view text, std::size_t first_line) {
  if (core::is_valid_utf8(text)) {
    return {};
  }
  std::size_t line = first_line;  // no sequence spans lines, so each line can be checked alone
  while (core::is_valid_utf8(text.substr(0, text.find('\n')))) {
    text.remove_prefix(text.find('\n') + 1);
    ++line;
  }
  return {Code::kInvalidDocument, fmt::format("line {}: not valid UTF-8", line)};
}

Status check_yaml_characters(std::string_view text) {
  if (const auto bad = std::ranges::find_if(text, is_forbidden_in_yaml); bad != text.end()) {
    const std::string message = fmt::format("byte 0x{:02x} is not allowed in YAML; is the document binary?", *bad);
    return error_at_offset(text, static_cast<std::size_t>(bad - text.begin()), message);
  }
  return check_utf8(text);
}

}  // namespace embedjobs::openapi
