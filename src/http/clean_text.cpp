#include "http/clean_text.hpp"

#include <algorithm>
#include <array>

#include "core/utf8.hpp"

namespace embedjobs::http {
namespace {

constexpr std::string_view kReplacement = "[key]";
constexpr std::size_t kMostRead = 4096;

void replace_all(std::string& text, std::string_view what) {
  for (auto at = text.find(what); at != std::string::npos; at = text.find(what, at + kReplacement.size())) {
    text.replace(at, what.size(), kReplacement);
  }
}

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
    const bool blank = byte <= 0x20 || byte == 0x7f || (point.size() == 2 && byte == 0xc2 && static_cast<unsigned char>(point[1]) < 0xa0);
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

std::string clean_text(std::string_view text, std::string_view key, std::size_t max_bytes) {
  const bool more = text.size() > kMostRead;
  std::string line(text.substr(0, kMostRead));
  if (!key.empty()) {
    replace_all(line, key);
  }
  line = one_line(line);
  if (!key.empty()) {
    replace_all(line, key);  // a key with a blank in it, which is another one now
  }
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
