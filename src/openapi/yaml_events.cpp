#include "openapi/yaml_events.hpp"

#include <fmt/format.h>

#include <new>
#include <string>

#include "openapi/place.hpp"

namespace embedjobs::openapi {
namespace {

std::string_view or_empty(const char* words) {
  return words == nullptr ? std::string_view() : words;
}

}  // namespace

YamlEvents::YamlEvents(std::string_view text) : text_(text) {
  if (yaml_parser_initialize(&parser_) == 0) {
    throw std::bad_alloc();
  }
  yaml_parser_set_encoding(&parser_, YAML_UTF8_ENCODING);
  yaml_parser_set_input_string(&parser_, reinterpret_cast<const unsigned char*>(text.data()), text.size());
}

YamlEvents::~YamlEvents() {
  yaml_event_delete(&event_);
  yaml_parser_delete(&parser_);
}

Status YamlEvents::next() {
  yaml_event_delete(&event_);
  if (yaml_parser_parse(&parser_, &event_) == 0) {
    return error();
  }
  return event_.type == YAML_SCALAR_EVENT ? check_header() : Status();
}

/// libyaml takes a comment that follows the header without a blank.
Status YamlEvents::check_header() {
  const yaml_scalar_style_t style = event_.data.scalar.style;
  if (style != YAML_LITERAL_SCALAR_STYLE && style != YAML_FOLDED_SCALAR_STYLE) {
    return {};
  }
  // The mark is that of the tag or the anchor, where there is one.
  const std::size_t begin = text_.find_first_of("|>", offset_of(event_.start_mark));
  const std::size_t end = text_.find_first_not_of("0123456789+-", begin + 1);
  if (end != std::string_view::npos && text_[end] == '#') {
    return error_at_offset(text_, end, "not valid YAML: a comment needs a blank before it");
  }
  return {};
}

/// Of marks in the order of the text.
std::size_t YamlEvents::offset_of(const yaml_mark_t& mark) {
  while (index_ < mark.index && offset_ < text_.size()) {
    do {
      ++offset_;
    } while (offset_ < text_.size() && (static_cast<unsigned char>(text_[offset_]) & 0xc0U) == 0x80);
    ++index_;
  }
  return offset_;
}

std::optional<YamlEvents::Indentation> YamlEvents::missing_indentation() {
  if (or_empty(parser_.context) != "while scanning a block scalar" ||
      !or_empty(parser_.problem).starts_with("found a tab")) {
    return std::nullopt;
  }
  const std::size_t enclosing = parser_.indent < 0 ? 0 : static_cast<std::size_t>(parser_.indent);
  const std::size_t column = parser_.problem_mark.column;
  if (column <= enclosing || column > enclosing + 9) {
    return std::nullopt;
  }
  const std::size_t header = offset_of(parser_.context_mark);
  const std::string_view before = text_.substr(header, offset_of(parser_.problem_mark) - header);
  // An empty line with more blanks than the first line is an error of the document's.
  if (before.find('\n' + std::string(column + 1, ' ')) != std::string_view::npos) {
    return std::nullopt;
  }
  return Indentation{.at = header + 1, .digit = static_cast<char>('0' + column - enclosing)};
}

Status YamlEvents::error() const {
  const std::string_view problem = or_empty(parser_.problem);
  if (parser_.error == YAML_MEMORY_ERROR) {
    throw std::bad_alloc();
  }
  if (parser_.error == YAML_READER_ERROR) {
    return error_at_offset(text_, parser_.problem_offset, fmt::format("not valid YAML: {}", problem));
  }
  const std::string_view context = or_empty(parser_.context);
  // What should have been a key is where the fault is; libyaml misses the ':' on the line after it.
  const bool is_key = context == "while scanning a simple key";
  const yaml_mark_t& place = is_key ? parser_.context_mark : parser_.problem_mark;
  std::string message = fmt::format("line {}, column {}: not valid YAML: ", place.line + 1, place.column + 1);
  if (!context.empty()) {
    message += fmt::format("{}: ", context);
  }
  message += problem;
  if (!context.empty() && parser_.context_mark.line != place.line) {
    message += fmt::format(" (it begins in line {})", parser_.context_mark.line + 1);
  }
  return {Code::kInvalidDocument, message};
}

}  // namespace embedjobs::openapi
