#include "openapi/place.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "core/values/utf8.hpp"

namespace embedjobs::openapi {
namespace {

constexpr std::size_t kMaxShownBytes = 200;

std::optional<unsigned> hex_digit(char c) {
  if (c >= '0' && c <= '9') {
    return static_cast<unsigned>(c - '0');
  }
  const char lower = static_cast<char>(c | 0x20);
  if (lower >= 'a' && lower <= 'f') {
    return static_cast<unsigned>(lower - 'a') + 10;
  }
  return std::nullopt;
}

Status not_understood(std::string_view reference, std::string_view why) {
  return {Code::kInvalidDocument, fmt::format("the reference '{}' {}", printable(reference), why)};
}

/// nullopt: a "%" without two hexadecimal digits.
std::optional<std::string> percent_decode(std::string_view text) {
  std::string decoded;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      decoded += text[i];
      continue;
    }
    if (text.size() - i < 3) {
      return std::nullopt;
    }
    const auto high = hex_digit(text[i + 1]);
    const auto low = hex_digit(text[i + 2]);
    if (!high || !low) {
      return std::nullopt;
    }
    decoded += static_cast<char>(*high << 4 | *low);
    i += 2;
  }
  return decoded;
}

/// nullopt: a "~" that is not "~0" or "~1".
std::optional<std::string> unescape_token(std::string_view token) {
  std::string plain;
  for (std::size_t i = 0; i < token.size(); ++i) {
    if (token[i] != '~') {
      plain += token[i];
      continue;
    }
    if (++i == token.size() || (token[i] != '0' && token[i] != '1')) {
      return std::nullopt;
    }
    plain += token[i] == '0' ? '~' : '/';
  }
  return plain;
}

}  // namespace

std::string printable(std::string_view text) {
  const std::string_view shown = core::cut_utf8(text, kMaxShownBytes);
  const bool as_is = core::is_valid_utf8(shown);
  std::string line;
  for (const char c : shown) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f || (byte > 0x7f && !as_is)) {
      line += fmt::format("\\u{:04x}", byte);
    } else {
      line += c;
    }
  }
  return shown.size() < text.size() ? line + "..." : line;
}

std::string pointer_token(std::string_view token) {
  std::string escaped = "/";
  for (const char c : printable(token)) {
    if (c == '~') {
      escaped += "~0";
    } else if (c == '/') {
      escaped += "~1";
    } else {
      escaped += c;
    }
  }
  return escaped;
}

Status error_at(std::size_t line, std::string_view pointer, std::string_view message) {
  const std::string_view place = pointer.empty() ? "the document" : pointer;
  if (line == 0) {
    return {Code::kInvalidDocument, fmt::format("{}: {}", place, message)};
  }
  return {Code::kInvalidDocument, fmt::format("line {}, {}: {}", line, place, message)};
}

Status error_at_offset(std::string_view text, std::size_t offset, std::string_view message, std::size_t first_line) {
  const std::string_view before = text.substr(0, offset);
  const std::size_t line = first_line + static_cast<std::size_t>(std::count(before.begin(), before.end(), '\n'));
  const std::size_t newline = before.rfind('\n');
  const std::size_t column = newline == std::string_view::npos ? before.size() + 1 : before.size() - newline;
  return {Code::kInvalidDocument, fmt::format("line {}, column {}: {}", line, column, message)};
}

Result<std::vector<std::string>> parse_reference(std::string_view reference) {
  if (reference.empty() || reference.front() != '#') {
    return not_understood(reference, "is external; only references into the same document ('#/...') are supported");
  }
  const auto decoded = percent_decode(reference.substr(1));
  if (!decoded || !core::is_valid_utf8(*decoded)) {
    return not_understood(reference, "is not percent-encoded correctly");
  }
  std::vector<std::string> tokens;
  if (decoded->empty()) {
    return tokens;
  }
  if (decoded->front() != '/') {
    return not_understood(reference, "is not a JSON pointer ('#/...')");
  }
  for (std::string_view rest(*decoded); !rest.empty();) {
    rest.remove_prefix(1);
    const std::string_view raw = rest.substr(0, rest.find('/'));
    auto token = unescape_token(raw);
    if (!token) {
      return not_understood(reference, "has a '~' that is neither '~0' nor '~1'");
    }
    tokens.push_back(std::move(*token));
    rest.remove_prefix(raw.size());
  }
  return tokens;
}

}  // namespace embedjobs::openapi
