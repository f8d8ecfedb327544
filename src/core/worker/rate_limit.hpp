// No more than so much a minute.
#pragma once

#include <algorithm>
#include <cmath>

#include "embedjobs/sys/runtime.hpp"

namespace embedjobs::core {

/// A token bucket, kept as the time at which it is full again: what is spent moves that time on. A tenth of a minute's
/// amount may be spent at once, the rest comes evenly, and both together are no more than `per_minute` in any minute; a
/// single spend that is larger than what is left goes through and is paid off afterwards.
class RateLimit {
 public:
  /// Zero or less: no limit.
  explicit RateLimit(double per_minute) {
    if (per_minute > 0) {
      const double burst = std::max(1.0, per_minute / 10);
      each_ = std::ceil(kMinute / std::max(1.0, per_minute - burst + 1));  // whole, so that the sums are exact
      slack_ = Duration(std::llround((burst - 1) * each_));
    }
  }

  /// When the next spend may begin.
  [[nodiscard]] MonoTime ready_at() const { return full_at_ - slack_; }
  void spend(double amount, MonoTime now) {
    if (each_ > 0) {
      full_at_ = std::max(full_at_, now) + Duration(std::llround(std::min(amount * each_, kLongest)));
    }
  }
  /// What was spent was `amount` more (or less) than was thought.
  void correct(double amount) { full_at_ += Duration(std::llround(std::clamp(amount * each_, -kLongest, kLongest))); }

 private:
  static constexpr double kMinute = 60e9;
  static constexpr double kLongest = 3600e9;  // whatever a provider says that it counted

  double each_ = 0;  // nanoseconds
  Duration slack_{0};
  MonoTime full_at_{};
};

/// Tokens a byte of text, as the provider's answers show. Rises at once and falls slowly, so that a limit in tokens is
/// rather kept too well.
class TokenEstimate {
 public:
  [[nodiscard]] double tokens(std::size_t bytes) const { return static_cast<double>(bytes) * a_byte_; }
  /// How many bytes are that many tokens, at least 1.
  [[nodiscard]] std::size_t bytes(std::size_t tokens) const {
    return static_cast<std::size_t>(std::clamp(static_cast<double>(tokens) / a_byte_, 1.0, 1e15));
  }
  void learn(std::size_t bytes, std::uint64_t tokens) {
    if (bytes == 0 || tokens == 0) {
      return;
    }
    const double seen = std::clamp(static_cast<double>(tokens) / static_cast<double>(bytes), kLeast, kMost);
    a_byte_ = !known_ || seen > a_byte_ ? seen : a_byte_ + (seen - a_byte_) / 16;
    known_ = true;
  }

 private:
  static constexpr double kLeast = 0.01, kMost = 10;

  double a_byte_ = 1.0 / 3;  // until an answer says better: rather many for English, few for nothing that is common
  bool known_ = false;
};

}  // namespace embedjobs::core
