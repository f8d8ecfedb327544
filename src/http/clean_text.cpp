#include "http/clean_text.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <system_error>

#include "core/values/utf8.hpp"
#include "http/transport.hpp"

namespace embedjobs::http {
namespace {

constexpr std::string_view kReplacement = "[key]";
constexpr std::size_t kMostLine = 4096;
constexpr std::size_t kTellingBytes = kShortestSecret;  // of a key: fewer may be any word

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
}

std::size_t find_ignoring_case(const std::string& text, std::string_view word, std::size_t from) {
  const auto found = std::search(text.begin() + static_cast<std::ptrdiff_t>(from), text.end(), word.begin(), word.end(),
                                 [](char a, char b) { return lower(a) == b; });
  return found == text.end() ? std::string::npos : static_cast<std::size_t>(found - text.begin());
}

bool ends_a_word(char c) {
  return c == ' ' || c == '"' || c == '\'' || c == ',' || c == ';' || c == '<' || c == '>' || c == ')' || c == '}';
}

bool letter_or_digit(char c) {
  return (lower(c) >= 'a' && lower(c) <= 'z') || (c >= '0' && c <= '9');
}

// --- the key, as a server may write it: in another case, escaped for JSON, HTML or a URL

/// One character of a text as it is or escaped, and the bytes it takes; `open`: the text may have ended within an
/// escape.
struct Letter {
  char value = 0;
  std::size_t length = 1;
  bool open = false;
};

struct Escape {
  std::string_view written;
  char value;
};
constexpr std::array<Escape, 5> kEntities{
    {{"&amp;", '&'}, {"&lt;", '<'}, {"&gt;", '>'}, {"&quot;", '"'}, {"&apos;", '\''}}};
constexpr std::size_t kLongestEscape = 8;  // "&#x0026;"

/// A number of `base` between `lead` and `end`, of which as many digits as there are up to `digits` are read.
std::optional<Letter> numbered(std::string_view text, std::string_view lead, int base, std::size_t digits,
                               std::string_view end) {
  if (!text.starts_with(lead)) {
    return std::nullopt;
  }
  unsigned number = 0;
  const char* const begin = text.data() + lead.size();
  const auto [stop, error] = std::from_chars(begin, begin + std::min(digits, text.size() - lead.size()), number, base);
  const auto read = static_cast<std::size_t>(stop - begin);
  if (error != std::errc() || number > 0x7f || !text.substr(lead.size() + read).starts_with(end) ||
      (end.empty() && read != digits)) {
    return std::nullopt;
  }
  return Letter{.value = static_cast<char>(number), .length = lead.size() + read + end.size()};
}

Letter escaped_letter(std::string_view text) {
  const char first = text.front();
  if (first != '\\' && first != '&' && first != '%') {
    return {.value = first};
  }
  for (const Escape& entity : kEntities) {
    if (text.starts_with(entity.written)) {
      return {.value = entity.value, .length = entity.written.size()};
    }
  }
  for (const auto& letter :
       {numbered(text, "\\u", 16, 4, ""), numbered(text, "%", 16, 2, ""), numbered(text, "&#x", 16, 4, ";"),
        numbered(text, "&#X", 16, 4, ";"), numbered(text, "&#", 10, 4, ";")}) {
    if (letter) {
      return *letter;
    }
  }
  const bool open = text.size() < kLongestEscape;
  if (first == '\\' && text.size() > 1 && text[1] != 'u') {
    return {.value = text[1], .length = 2};
  }
  return {.value = first, .open = open};
}

/// How much of `text` is the key, from its beginning; `whole` false: the text ended before the key did. Zero: it is not
/// the key.
struct Match {
  std::size_t length = 0;
  bool whole = false;
};

Match match_key(std::string_view text, std::string_view key, bool escaped) {
  std::size_t at = 0;
  bool open = false;
  for (const char wanted : key) {
    if (at >= text.size()) {
      return {text.size(), false};
    }
    const Letter letter = escaped ? escaped_letter(text.substr(at)) : Letter{.value = text[at]};
    open = open || letter.open;
    if (lower(letter.value) != lower(wanted)) {
      return open ? Match{text.size(), false} : Match{};
    }
    at += letter.length;
  }
  return {at, true};
}

/// How far `text` goes on like any part of the key: the longest such part, if that gives a key away.
Match match_part(std::string_view text, std::string_view key) {
  std::size_t longest = 0;
  for (std::size_t from = 0; from + kTellingBytes <= key.size(); ++from) {
    std::size_t same = 0;
    while (same < text.size() && from + same < key.size() && lower(text[same]) == lower(key[from + same])) {
      ++same;
    }
    longest = std::max(longest, same);
  }
  return {longest >= kTellingBytes ? longest : 0, longest >= kTellingBytes};
}

/// `text` with "[key]" for each key. `cut`: more stood behind it, so that the beginning of a key at its end is one as
/// well.
std::string without_key(std::string_view text, std::string_view key, bool cut) {
  std::string result;
  for (std::size_t at = 0; at < text.size();) {
    Match found = match_key(text.substr(at), key, false);
    if (!found.whole) {
      const Match escaped = match_key(text.substr(at), key, true);
      found = escaped.whole || found.length == 0 ? escaped : found;
    }
    if (!found.whole && !(cut && found.length != 0)) {
      found = match_part(text.substr(at), key);
    }
    if (found.whole || (cut && found.length != 0)) {
      result += kReplacement;
      at += found.length;
    } else {
      result += text[at++];
    }
  }
  return result;
}

// --- what looks like a key

// Replaces the word behind each `lead`; `whole`: the lead is a part of it, and begins a word.
void replace_after(std::string& text, std::string_view lead, bool whole) {
  for (auto at = find_ignoring_case(text, lead, 0); at != std::string::npos;) {
    std::size_t begin = whole ? at : at + lead.size();
    while (!whole && begin < text.size() && ends_a_word(text[begin])) {
      ++begin;
    }
    std::size_t end = begin;
    while (end < text.size() && !ends_a_word(text[end])) {
      ++end;
    }
    std::size_t next = std::min(end, text.size());
    const bool inside_word = whole && at > 0 && letter_or_digit(text[at - 1]);
    if (end > begin && !inside_word && text.compare(begin, kReplacement.size(), kReplacement) != 0) {
      text.replace(begin, end - begin, kReplacement);
      next = begin + kReplacement.size();
    }
    at = find_ignoring_case(text, lead, next);
  }
}

std::string one_line(std::string_view text) {
  std::string line;
  for (std::size_t i = 0; i < text.size();) {
    const auto byte = static_cast<unsigned char>(text[i]);
    const std::size_t length = byte < 0x80 ? 1 : byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4;
    const std::string_view point = text.substr(i, length);
    const bool blank = byte <= 0x20 || byte == 0x7f ||
                       (point.size() == 2 && byte == 0xc2 && static_cast<unsigned char>(point[1]) < 0xa0);
    if (!core::is_valid_utf8(point)) {
      line += '?';
      ++i;
      continue;
    }
    if (!blank) {
      line += point;
    } else if (!line.empty() && line.back() != ' ') {
      line += ' ';
    }
    i += length;
  }
  while (line.ends_with(' ')) {
    line.pop_back();
  }
  return line;
}

}  // namespace

bool contains_key(std::string_view text, std::string_view key) {
  return key.size() >= kShortestSecret && without_key(text, key, false) != text;
}

std::string clean_text(std::string_view text, std::string_view key, std::size_t max_bytes) {
  key = key.size() >= kShortestSecret ? key : std::string_view();
  bool more = text.size() >= kErrorBodyBytes;
  text = text.substr(0, kErrorBodyBytes);
  std::string line = one_line(key.empty() ? std::string(text) : without_key(text, key, more));
  if (const std::string plain_key = one_line(key); !plain_key.empty() && plain_key != key) {
    line = without_key(line, plain_key, more);  // a key with blanks in it, which is another one now
  }
  // The key is gone: from here on a cut leaves nothing of it.
  more = more || line.size() > kMostLine;
  line.resize(core::cut_utf8(line, kMostLine).size());
  for (const std::string_view lead : {"bearer ", "api-key: ", "api-key:", "authorization: ", "authorization:"}) {
    replace_after(line, lead, false);
  }
  replace_after(line, "sk-", true);
  if (line.size() > max_bytes || more) {
    line = std::string(core::cut_utf8(line, max_bytes)) + "...";
  }
  return line;
}

}  // namespace embedjobs::http
