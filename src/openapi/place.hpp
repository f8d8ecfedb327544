// Naming a place in a document, for messages: JSON pointers, and quoted text that is safe to print on one line.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "embedjobs/status.hpp"

namespace embedjobs::openapi {

/// At most 200 bytes of `text`, control characters as \u00XX, "..." where it was cut.
std::string printable(std::string_view text);
/// "/" and the token with "~" and "/" escaped, printable.
std::string pointer_token(std::string_view token);
/// kInvalidDocument "pointer: message", with "line N" in front where the line is known (not 0).
Status error_at(std::size_t line, std::string_view pointer, std::string_view message);
/// kInvalidDocument "line N, column M: message" for a byte offset into `text`, which begins in line `first_line`;
/// columns count bytes from 1.
Status error_at_offset(std::string_view text, std::size_t offset, std::string_view message, std::size_t first_line = 1);
/// The tokens of an internal reference: "#" gives none, "#/a~1b/%7Bc%7D" gives "a/b", "{c}". The error has no place
/// yet.
Result<std::vector<std::string>> parse_reference(std::string_view reference);

}  // namespace embedjobs::openapi
