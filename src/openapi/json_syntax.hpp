// A slow second look at JSON, taken only when the fast parser refused it: where is it wrong, or what in it is correct
// JSON all the same.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace embedjobs::openapi {

struct JsonError {
  std::size_t offset = 0;
  std::string message;
};

/// The first breach of RFC 8259 in `text`, which is UTF-8, or of `depth` nested arrays and objects. nullopt: it is
/// correct JSON.
std::optional<JsonError> find_json_error(std::string_view text, std::size_t depth);

/// Rewrites in place, at equal length, what correct JSON may have and a parser into machine types refuses: every number
/// becomes 0 (no rule reads a number), an escaped surrogate without its pair becomes \ufffd. `text` has no JSON error.
void make_parsable(std::span<char> text);

}  // namespace embedjobs::openapi
