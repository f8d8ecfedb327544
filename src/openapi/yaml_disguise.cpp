#include "openapi/yaml_disguise.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdint>
#include <optional>

#include "openapi/place.hpp"

namespace embedjobs::openapi {
namespace {

/// A piece of the text that libyaml should not see.
struct Hidden {
  std::size_t at = 0;
  std::size_t size = 0;
  char32_t character = 0;  ///< A line break of YAML 1.1; 0: the two characters that begin the escape of a surrogate.
};

struct Break {
  std::string_view bytes;
  char32_t character;
};
constexpr std::array kBreaks = {Break{"\xc2\x85", 0x85}, Break{"\xe2\x80\xa8", 0x2028}, Break{"\xe2\x80\xa9", 0x2029}};

bool is_hex(char c) {
  return std::isxdigit(static_cast<unsigned char>(c)) != 0;
}

/// Four digits, D800 to DFFF.
bool begins_with_surrogate(std::string_view digits) {
  return digits.size() >= 4 && (digits[0] == 'd' || digits[0] == 'D') && is_hex(digits[1]) && digits[1] >= '8' &&
         is_hex(digits[2]) && is_hex(digits[3]);
}

bool is_surrogate(char32_t character) {
  return character >= 0xd800 && character <= 0xdfff;
}

std::optional<Hidden> find_break(std::string_view text, std::size_t at) {
  for (const auto& [bytes, character] : kBreaks) {
    if (text.substr(at).starts_with(bytes)) {
      return Hidden{at, bytes.size(), character};
    }
  }
  return std::nullopt;
}

/// The first one from `from` on.
std::optional<Hidden> find_hidden(std::string_view text, std::size_t from) {
  for (std::size_t i = from; i < text.size();) {
    const char c = text[i];
    if (c == '\\') {
      // "\\u" is a backslash and a u
      const std::size_t end = std::min(text.find_first_not_of('\\', i), text.size());
      if ((end - i) % 2 == 1 && text.substr(end).starts_with('u') && begins_with_surrogate(text.substr(end + 1))) {
        return Hidden{.at = end - 1, .size = 2};
      }
      i = end;
      continue;
    }
    if (c == '\xc2' || c == '\xe2') {
      if (const auto found = find_break(text, i)) {
        return found;
      }
    }
    ++i;
  }
  return std::nullopt;
}

void append_utf8(char32_t character, std::string& to) {
  const auto tail = [&](int shift) { to += static_cast<char>(0x80 | (character >> shift & 0x3f)); };
  if (character < 0x800) {
    to += static_cast<char>(0xc0 | character >> 6);
  } else if (character < 0x10000) {
    to += static_cast<char>(0xe0 | character >> 12);
    tail(6);
  } else {
    to += static_cast<char>(0xf0 | character >> 18);
    tail(12);
    tail(6);
  }
  tail(0);
}

/// The character of four bytes at the front, or 0.
char32_t wide_character(std::string_view text) {
  if (text.size() < 4 || static_cast<unsigned char>(text[0]) < 0xf0) {
    return 0;
  }
  char32_t character = static_cast<unsigned char>(text[0]) & 7U;
  for (const char c : text.substr(1, 3)) {
    character = character << 6 | (static_cast<unsigned char>(c) & 0x3fU);
  }
  return character;
}

char32_t plane_of(char32_t character) {
  return character & ~char32_t{0xffff};
}

struct Plane {
  char32_t first;
  std::array<std::string_view, 2> escapes;  ///< How those of its characters begin.
};
constexpr std::array kPlanes = {Plane{0xf0000, {"\\U000F", "\\U000f"}}, Plane{0x100000, {"\\U0010", "\\U0010"}}};

/// Whether no character of the plane stands in the text, neither as itself nor by what may be an escape.
bool is_free(std::string_view text, const Plane& plane) {
  for (std::size_t i = 0; (i = text.find_first_of("U\xf3\xf4", i)) != std::string_view::npos; ++i) {
    const std::string_view rest = text.substr(i);
    const auto begins_here = [&](std::string_view escape) { return rest.starts_with(escape.substr(1)); };
    if (plane_of(wide_character(rest)) == plane.first || std::ranges::any_of(plane.escapes, begins_here)) {
      return false;
    }
  }
  return true;
}

}  // namespace

Result<YamlDisguise> YamlDisguise::of(std::string_view text) {
  YamlDisguise result(text);
  std::optional<Hidden> next = find_hidden(text, 0);
  if (!next) {
    return result;
  }
  const auto plane = std::ranges::find_if(kPlanes, [&](const Plane& one) { return is_free(text, one); });
  if (plane == kPlanes.end()) {
    return error_at_offset(text, next->at, "not supported in a document that uses both private planes of Unicode");
  }
  result.plane_ = plane->first;
  result.escape_ = plane->escapes[0];
  std::size_t done = 0;
  for (; next; next = find_hidden(text, done)) {
    result.hidden_.append(text.substr(done, next->at - done));
    if (next->character == 0) {
      result.hidden_ += result.escape_;
    } else {
      append_utf8(result.plane_ | next->character, result.hidden_);
    }
    done = next->at + next->size;
  }
  result.hidden_.append(text.substr(done));
  return result;
}

void YamlDisguise::restore(std::string_view value, bool escapes, std::string& to) const {
  if (plane_ == 0) {
    to += value;
    return;
  }
  const auto hidden_at = [&](std::size_t at) {
    const char32_t character = wide_character(value.substr(std::min(at, value.size())));
    return plane_of(character) == plane_ ? character & 0xffff : 0;
  };
  for (std::size_t i = 0; i < value.size();) {
    const std::string_view rest = value.substr(i);
    if (const char32_t character = hidden_at(i); character != 0) {
      const char32_t low = hidden_at(i + 4);
      const bool is_pair = character >= 0xd800 && character < 0xdc00 && low >= 0xdc00 && low <= 0xdfff;
      append_utf8(is_pair                   ? 0x10000 + ((character - 0xd800) << 10) + (low - 0xdc00)
                  : is_surrogate(character) ? 0xfffd
                                            : character,
                  to);
      i += is_pair ? 8 : 4;
    } else if (!escapes && rest.starts_with(escape_) && begins_with_surrogate(rest.substr(escape_.size()))) {
      to += "\\u";
      i += escape_.size();
    } else {
      to += rest[0];
      ++i;
    }
  }
}

}  // namespace embedjobs::openapi
