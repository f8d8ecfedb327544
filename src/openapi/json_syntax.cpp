#include "openapi/json_syntax.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>
#include <vector>

namespace embedjobs::openapi {
namespace {

constexpr std::string_view kWhitespace = " \t\r\n";
constexpr std::string_view kDigits = "0123456789";
constexpr std::string_view kHexDigits = "0123456789abcdefABCDEF";

/// A grammar check with the open containers on an explicit stack, so that no nesting can overflow ours.
class SyntaxCheck {
 public:
  SyntaxCheck(std::string_view text, std::size_t depth) : text_(text), depth_(depth) {}

  std::optional<JsonError> run() {
    if (value() && after_value()) {
      return std::nullopt;
    }
    return std::move(error_);
  }

 private:
  bool fail(std::string message) {
    error_ = JsonError{at_, std::move(message)};
    return false;
  }
  [[nodiscard]] char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }
  bool take(char c) {
    if (at_ < text_.size() && text_[at_] == c) {
      ++at_;
      return true;
    }
    return false;
  }
  void skip(std::string_view set) { at_ = std::min(text_.find_first_not_of(set, at_), text_.size()); }
  bool some(std::string_view set, std::string_view what) {
    const std::size_t begin = at_;
    skip(set);
    return at_ > begin || fail(fmt::format("expected {}", what));
  }

  /// Opens containers down to the first scalar or empty container.
  bool value() {
    while (true) {
      skip(kWhitespace);
      const char c = peek();
      if (c != '{' && c != '[') {
        return scalar();
      }
      if (open_.size() == depth_) {
        return fail(fmt::format("nested deeper than {} levels", depth_));
      }
      ++at_;
      open_.push_back(c);
      skip(kWhitespace);
      if (take(closing())) {
        open_.pop_back();
        return true;
      }
      if (c == '{' && !name()) {
        return false;
      }
    }
  }

  /// Closes containers and goes on with their next values until nothing is open.
  bool after_value() {
    while (!open_.empty()) {
      skip(kWhitespace);
      if (take(closing())) {
        open_.pop_back();
        continue;
      }
      if (!take(',')) {
        return fail(at_ == text_.size() ? fmt::format("the document ends before a closing '{}'", closing())
                                        : fmt::format("expected ',' or '{}'", closing()));
      }
      skip(kWhitespace);
      if ((open_.back() == '{' && !name()) || !value()) {
        return false;
      }
    }
    skip(kWhitespace);
    return at_ == text_.size() || fail("something follows the end of the document");
  }

  [[nodiscard]] char closing() const { return open_.back() == '{' ? '}' : ']'; }

  bool name() {
    if (peek() != '"') {
      return fail("expected a name in quotes");
    }
    if (!string()) {
      return false;
    }
    skip(kWhitespace);
    return take(':') || fail("expected ':' after a name");
  }

  bool scalar() {
    switch (peek()) {
      case '"': return string();
      case 't': return word("true");
      case 'f': return word("false");
      case 'n': return word("null");
      default:
        return peek() == '-' || kDigits.find(peek()) != std::string_view::npos ? number() : fail("expected a value");
    }
  }

  bool word(std::string_view expected) {
    if (text_.substr(at_, expected.size()) != expected) {
      return fail("expected a value");
    }
    at_ += expected.size();
    return true;
  }

  bool number() {
    take('-');
    if (!take('0') && !some(kDigits, "a digit")) {
      return false;
    }
    if (take('.') && !some(kDigits, "a digit")) {
      return false;
    }
    if (take('e') || take('E')) {
      if (!take('+')) {
        take('-');
      }
      return some(kDigits, "a digit");
    }
    return true;
  }

  bool string() {
    const std::size_t begin = at_++;
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (static_cast<unsigned char>(c) < 0x20) {
        return fail("a control character inside a string");
      }
      ++at_;
      if (c == '"') {
        return true;
      }
      if (c == '\\' && !escape()) {
        return false;
      }
    }
    at_ = begin;
    return fail("a string without its closing quote");
  }

  bool escape() {
    if (take('u')) {
      for (int i = 0; i < 4; ++i, ++at_) {
        if (at_ == text_.size() || kHexDigits.find(text_[at_]) == std::string_view::npos) {
          return fail("expected four hexadecimal digits after \\u");
        }
      }
      return true;
    }
    if (at_ == text_.size() || std::string_view("\"\\/bfnrt").find(text_[at_]) == std::string_view::npos) {
      return fail("an unknown escape in a string");
    }
    ++at_;
    return true;
  }

  std::string_view text_;
  std::size_t depth_;
  std::size_t at_ = 0;
  std::vector<char> open_;
  std::optional<JsonError> error_;
};

/// The \uXXXX at `at`, 0 when there is none.
unsigned escaped_unit(std::string_view text, std::size_t at) {
  if (text.substr(at, 2) != "\\u") {
    return 0;
  }
  unsigned unit = 0;
  for (const char c : text.substr(at + 2, 4)) {
    unit = unit << 4 | static_cast<unsigned>(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
  }
  return unit;
}

/// `at` is at a backslash inside a string; returns the offset behind the escape.
std::size_t pair_surrogates(std::span<char> text, std::size_t at) {
  const std::string_view view(text.data(), text.size());
  const unsigned unit = escaped_unit(view, at);
  if (unit == 0) {
    return at + 2;  // \u0000 goes on with plain digits
  }
  if (unit < 0xd800 || unit > 0xdfff) {
    return at + 6;
  }
  const unsigned next = escaped_unit(view, at + 6);
  if (unit < 0xdc00 && next >= 0xdc00 && next <= 0xdfff) {
    return at + 12;
  }
  std::ranges::copy(std::string_view("\\ufffd"), text.begin() + static_cast<std::ptrdiff_t>(at));
  return at + 6;
}

}  // namespace

std::optional<JsonError> find_json_error(std::string_view text, std::size_t depth) {
  return SyntaxCheck(text, depth).run();
}

void make_parsable(std::span<char> text) {
  bool in_string = false;
  for (std::size_t i = 0; i < text.size();) {
    const char c = text[i];
    if (in_string && c == '\\') {
      i = pair_surrogates(text, i);
      continue;
    }
    if (c == '"') {
      in_string = !in_string;
    }
    if (in_string || (c != '-' && kDigits.find(c) == std::string_view::npos)) {
      ++i;
      continue;
    }
    text[i++] = '0';
    for (; i < text.size() && std::string_view("0123456789+-.eE").find(text[i]) != std::string_view::npos; ++i) {
      text[i] = ' ';
    }
  }
}

}  // namespace embedjobs::openapi
