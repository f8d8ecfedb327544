// Vectors as base64 of little-endian floats.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string_view>

namespace embedjobs::http {

/// How many floats `text` holds: it must be the canonical base64 of a multiple of four bytes, as far as its length
/// says.
std::optional<std::size_t> base64_floats(std::string_view text);
/// Decodes into `row`, which has base64_floats(text) elements. False: a character that does not belong there.
bool decode_base64(std::string_view text, std::span<float> row);

}  // namespace embedjobs::http
