#include "http/error_body.hpp"

#include <simdjson.h>

#include <algorithm>
#include <array>

namespace embedjobs::http {
namespace {

namespace dom = simdjson::dom;

constexpr int kDeepest = 4;                 // {"error": {"message": [{"detail": ...}]}}
constexpr std::size_t kPageHead = 4096;     // where a page says that it is one
constexpr std::size_t kLongestPlace = 200;  // of "body.input.0"
constexpr std::array<std::string_view, 8> kMessages{"error",  "errors",        "message",   "msg",
                                                    "detail", "error_message", "error_msg", "title"};

// --- web pages

std::string small_letters(std::string_view text) {
  std::string result(text);
  std::transform(result.begin(), result.end(), result.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return result;
}

bool is_page(std::string_view text) {
  const auto begin = text.find_first_not_of("\xef\xbb\xbf \t\r\n");
  if (begin == std::string_view::npos || text[begin] != '<') {
    return false;
  }
  const std::string head = small_letters(text.substr(begin, kPageHead));
  return !head.starts_with("<?xml") || head.find("<html") != std::string::npos;
}

/// What stands between <tag ...> and </tag>.
std::string element_of(std::string_view page, std::string_view tag) {
  const std::string small = small_letters(page);
  const auto open = small.find("<" + std::string(tag));
  const auto begin = open == std::string::npos ? open : small.find('>', open);
  const auto end = begin == std::string::npos ? begin : small.find("</" + std::string(tag), begin);
  return end == std::string::npos ? std::string() : std::string(page.substr(begin + 1, end - begin - 1));
}

// --- JSON

std::string scalar(dom::element value) {
  std::string_view text;
  std::int64_t number = 0;
  if (value.get(text) == simdjson::SUCCESS) {
    return std::string(text);
  }
  return value.get(number) == simdjson::SUCCESS ? std::to_string(number) : std::string();
}

void put(std::string& text, std::string value) {
  if (text.empty()) {
    text = std::move(value);
  }
}

/// {"loc": ["body", "input", 0]} as "body.input.0".
std::string place_of(dom::object object) {
  std::string place;
  dom::array parts;
  if (object["loc"].get(parts) == simdjson::SUCCESS) {
    for (const dom::element part : parts) {
      place += (place.empty() ? "" : ".") + scalar(part);
    }
  }
  return place.size() <= kLongestPlace ? place : std::string();
}

void read_value(dom::element value, ErrorBody& error, int depth);

void read_object(dom::object object, ErrorBody& error, int depth) {
  error.json = true;
  // The error itself first: what stands beside it may say less.
  for (const std::string_view key : kMessages) {
    dom::element value;
    if (object[key].get(value) == simdjson::SUCCESS && !value.is_null()) {
      error.words = true;
      read_value(value, error, depth + 1);
    }
  }
  for (const auto& [key, value] : object) {
    if (key == "code" || key == "error_code") {
      put(error.code, scalar(value));
    } else if (key == "type" || key == "error_type" || key == "status") {
      put(error.type, scalar(value));
    }
  }
  if (const std::string place = place_of(object); !place.empty() && !error.message.empty()) {
    error.message += " (at " + place + ")";
  }
}

void read_value(dom::element value, ErrorBody& error, int depth) {
  dom::object object;
  dom::array list;
  if (depth > kDeepest) {
    return;
  }
  if (value.get(object) == simdjson::SUCCESS) {
    read_object(object, error, depth);
  } else if (value.get(list) == simdjson::SUCCESS) {
    if (list.begin() != list.end()) {
      read_value(*list.begin(), error, depth + 1);
    }
  } else if (depth > 0) {
    put(error.message, scalar(value));
  }
}

}  // namespace

ErrorBody read_error(const Body& body) {
  static_assert(Body::kPadding >= simdjson::SIMDJSON_PADDING);
  ErrorBody error;
  const std::string_view text = body.view().substr(0, kErrorBodyBytes);
  if (is_page(text)) {
    error.page = true;
    error.message = element_of(text, "title");
    put(error.message, element_of(text, "h1"));
    return error;
  }
  dom::parser parser;
  dom::element root;
  if (!text.empty() && text.size() == body.view().size() &&
      parser.parse(text.data(), text.size(), false).get(root) == simdjson::SUCCESS) {
    read_value(root, error, 0);
  }
  if (error.message.empty() && error.code.empty()) {
    error.message = text;
  }
  return error;
}

}  // namespace embedjobs::http
