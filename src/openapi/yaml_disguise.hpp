// libyaml refuses escaped surrogates, and takes NEL, LS and PS for line breaks, as YAML 1.1 had it. So it is given
// these in disguise, as characters of a private plane, and what was meant comes back with the text of each scalar.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "embedjobs/status.hpp"

namespace embedjobs::openapi {

/// Lines stay as they are; columns behind a disguise do not. Without anything to hide it costs one look at the text.
class YamlDisguise {
 public:
  /// `text` must outlive the disguise. kInvalidDocument: it has something to hide, and both private planes are in use.
  static Result<YamlDisguise> of(std::string_view text);

  /// What the parser is to read.
  [[nodiscard]] std::string_view text() const noexcept { return plane_ == 0 ? text_ : std::string_view(hidden_); }
  /// Appends to `to` what a scalar's `value` was meant to be. A pair of surrogates is one character, a lone half is
  /// U+FFFD. `escapes`: the scalar is of the style in which escapes count.
  void restore(std::string_view value, bool escapes, std::string& to) const;

 private:
  explicit YamlDisguise(std::string_view text) : text_(text) {}

  std::string_view text_;
  std::string hidden_;       ///< `text_` in disguise.
  char32_t plane_ = 0;       ///< 0xF0000 or 0x100000; 0 when nothing is hidden.
  std::string_view escape_;  ///< How the escape of a character of the plane begins; four digits follow.
};

}  // namespace embedjobs::openapi
