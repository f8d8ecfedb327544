// libyaml's events, one after the other. What it gets wrong about block scalars is mended here.
#pragma once

#include <yaml.h>

#include <optional>
#include <string_view>

#include "embedjobs/status.hpp"

namespace embedjobs::openapi {

class YamlEvents {
 public:
  /// `text` must outlive this. Throws std::bad_alloc.
  explicit YamlEvents(std::string_view text);
  ~YamlEvents();
  YamlEvents(const YamlEvents&) = delete;
  YamlEvents& operator=(const YamlEvents&) = delete;

  /// Goes to the next event. kInvalidDocument names line and column. Throws std::bad_alloc.
  Status next();
  /// The event that next() went to; it ends with the next call.
  [[nodiscard]] const yaml_event_t& event() const noexcept { return event_; }

  /// The header of a block scalar may say by how many blanks its lines are indented.
  struct Indentation {
    std::size_t at = 0;  ///< Where in the text the digit belongs.
    char digit = '1';
  };
  /// libyaml refuses a block scalar whose first line begins with a tab, unless the header has a digit. After such an
  /// error of next(): the one that is missing.
  [[nodiscard]] std::optional<Indentation> missing_indentation();

 private:
  [[nodiscard]] Status error() const;
  Status check_header();
  std::size_t offset_of(const yaml_mark_t& mark);

  std::string_view text_;
  yaml_parser_t parser_{};
  yaml_event_t event_{};
  std::size_t index_ = 0;  ///< Of the character at offset_: libyaml counts characters.
  std::size_t offset_ = 0;
};

}  // namespace embedjobs::openapi
