#include "embedjobs/duration.hpp"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cstdint>

namespace embedjobs {
namespace {

struct Unit {
  std::string_view name;
  std::int64_t millis;
};
constexpr std::array kUnits{Unit{"h", 3'600'000}, Unit{"m", 60'000}, Unit{"s", 1'000}, Unit{"ms", 1}};
// Far below what nanoseconds in 64 bits can hold, so that sums of durations can't overflow.
constexpr std::int64_t kMaxMillis = 10'000LL * 3'600'000;

}  // namespace

Result<Duration> parse_duration(std::string_view text) {
  std::int64_t number = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, number);
  const std::string_view unit_name(rest, static_cast<std::size_t>(end - rest));
  if (error == std::errc() && number >= 0) {
    for (const Unit& unit : kUnits) {
      if (unit_name != unit.name) {
        continue;
      }
      if (number > kMaxMillis / unit.millis) {
        return {Code::kInvalidArgument,
                fmt::format("'{}' is too long a duration: at most {}h", text, kMaxMillis / kUnits[0].millis)};
      }
      return Duration(std::chrono::milliseconds(number * unit.millis));
    }
  }
  return {Code::kInvalidArgument,
          fmt::format("'{}' is not a duration: write a whole number and a unit, as 500ms, 2s, 10m or 1h", text)};
}

std::string format_duration(Duration duration) {
  const std::int64_t millis = std::chrono::round<std::chrono::milliseconds>(duration).count();
  if (millis == 0) {
    return "0s";
  }
  for (const Unit& unit : kUnits) {
    if (millis % unit.millis == 0) {
      return fmt::format("{}{}", millis / unit.millis, unit.name);
    }
  }
  return fmt::format("{}ms", millis);
}

}  // namespace embedjobs
