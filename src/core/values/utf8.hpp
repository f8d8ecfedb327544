// UTF-8: is it, and where may it be cut.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace embedjobs::core {

/// Well-formed by RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF.
bool is_valid_utf8(std::string_view text) noexcept;
/// The longest prefix of at most `max_bytes` that ends on a code-point boundary.
std::string_view cut_utf8(std::string_view text, std::size_t max_bytes) noexcept;

/// With a to z for A to Z; other letters stay.
std::string lower_ascii(std::string_view text);

}  // namespace embedjobs::core
