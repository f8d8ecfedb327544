// Durations as people write them: 500ms, 2s, 10m, 1h.
#pragma once

#include <string>
#include <string_view>

#include "embedjobs/status.hpp"

namespace embedjobs {

/// A whole number and a unit (ms, s, m, h), at most 10,000 h. kInvalidArgument says what is allowed.
Result<Duration> parse_duration(std::string_view text);
/// The inverse, in the largest unit that loses nothing, rounded to milliseconds: "90s", "10m", "1500ms", "0s".
std::string format_duration(Duration duration);

}  // namespace embedjobs
