// When a provider that refuses even a harmless text is given up: a fault may pass, and a verdict does not.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "embedjobs/status.hpp"

namespace embedjobs::http {

/// The harmless text failed in the same way at least so often in a row, and for so long.
inline constexpr int kErrorsToJudge = 5;
inline constexpr Duration kTimeToJudge = std::chrono::minutes(15);

class Verdict {
 public:
  using Time = std::chrono::steady_clock::time_point;
  /// The harmless text failed, `how` and with this status. True: that is the verdict.
  bool failed(std::string_view how, int status, Time now);
  /// Some text was embedded.
  void clear() { count_ = 0; }

 private:
  std::string how_;
  int status_ = 0;
  int count_ = 0;
  Time since_{};
};

}  // namespace embedjobs::http
