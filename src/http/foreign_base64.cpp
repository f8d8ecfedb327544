#include "http/foreign_base64.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>

namespace embedjobs::http {
namespace {

// No model is known whose largest number is outside of this range; what is read in a wrong format nearly always is.
constexpr double kSmallestPeak = 1e-6;
constexpr double kLargestPeak = 1e6;
constexpr double kClearPeak = 1e-3;     // of a vector that was read rightly; floats taken for doubles are smaller
constexpr double kUnitWithin = 0.01;    // of the length of a normalised vector
constexpr double kSurelyUnit = 0.0001;  // of the same, read as doubles: a large float among small ones comes near

constexpr std::size_t kManyNumbers = 16;

constexpr std::string_view kDoubles = "64-bit floats";
constexpr std::string_view kHalves = "16-bit floats";
constexpr std::string_view kBigEndian = "big-endian floats";
constexpr std::string_view kUnknown = "something else than little-endian 32-bit floats";

/// Of numbers: the largest, and the length of the vector. A number that is not finite makes both infinite.
struct Size {
  double peak = 0, square = 0;
  void add(double value) {
    const double magnitude = std::isfinite(value) ? std::abs(value) : INFINITY;
    peak = std::max(peak, magnitude);
    square += magnitude * magnitude;
  }
  [[nodiscard]] bool plausible() const { return peak >= kSmallestPeak && peak <= kLargestPeak; }
  [[nodiscard]] bool clear() const { return peak >= kClearPeak && peak <= kLargestPeak; }
  [[nodiscard]] bool unit(double within) const { return std::abs(std::sqrt(square) - 1) < within; }
};

Size size_of(std::span<const float> row) {
  Size size;
  for (const float value : row) {
    size.add(value);
  }
  return size;
}

Size as_doubles(std::span<const float> row) {
  Size size;
  for (std::size_t i = 0; i + 1 < row.size(); i += 2) {
    double value = 0;
    std::memcpy(&value, &row[i], sizeof(value));
    size.add(value);
  }
  return size;
}

Size as_big_endian(std::span<const float> row) {
  Size size;
  for (const float value : row) {
    auto bytes = std::bit_cast<std::array<std::uint8_t, sizeof(float)>>(value);
    std::reverse(bytes.begin(), bytes.end());
    size.add(std::bit_cast<float>(bytes));
  }
  return size;
}

}  // namespace

std::string_view foreign_by_length(std::size_t count, std::size_t dimension) {
  return count == 2 * dimension ? kDoubles : 2 * count == dimension ? kHalves : std::string_view();
}

std::string_view foreign_by_values(std::span<const float> row) {
  const Size size = size_of(row);
  const bool zeros = size.peak == 0;
  const bool even = row.size() % 2 == 0;
  if (zeros || (size.plausible() && (size.unit(kUnitWithin) || !even || !as_doubles(row).unit(kSurelyUnit)))) {
    return {};
  }
  // A few floats of which one is not finite look like many things.
  const bool sure = !std::isinf(size.peak) || row.size() >= kManyNumbers;
  if (size.plausible() || (even && sure && as_doubles(row).clear())) {
    return kDoubles;
  }
  if (as_big_endian(row).clear()) {
    return kBigEndian;
  }
  // Not finite, and nothing else either: that is what it is.
  return std::isinf(size.peak) ? std::string_view() : size.peak < kSmallestPeak ? kHalves : kUnknown;
}

}  // namespace embedjobs::http
