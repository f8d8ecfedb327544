// Base64 that is not of little-endian 32-bit floats: some servers encode what their model happens to compute in.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>

namespace embedjobs::http {

/// What `count` floats are, where `dimension` are expected: twice as many are 64-bit, half as many 16-bit numbers.
/// Empty: something else is wrong.
std::string_view foreign_by_length(std::size_t count, std::size_t dimension);
/// What these floats are in truth, told by their size: a vector read in a wrong format has numbers that no model makes.
/// Empty: they may be what they seem.
std::string_view foreign_by_values(std::span<const float> row);

}  // namespace embedjobs::http
