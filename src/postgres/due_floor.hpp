// From where a process looks for due jobs.
//
// A transaction elsewhere that keeps its snapshot keeps what jobs have left behind in the due indices, at their head:
// every claim would walk over all of it. So a process remembers where its last claim found the first job, and the next
// one looks from a little before that. Below it may still be jobs: of transactions that ended late, or put back with a
// time in the past. So the whole index is looked at whenever that is cheap, else at times, and always before it is said
// that nothing is due. What is found never depends on what is remembered, only how soon.
#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "embedjobs/sys/runtime.hpp"
#include "embedjobs/types.hpp"

namespace embedjobs::postgres {

/// How many kinds of due jobs there are: urgent ones, patient ones.
inline constexpr std::size_t kPriorities = 2;
using DueTimes = std::array<WallTime, kPriorities>;

/// Below every due time.
inline constexpr WallTime kAlways{Duration(std::numeric_limits<std::int64_t>::min())};

/// One look at the due indices.
struct DueLook {
  bool whole = true;                 ///< Everything is looked at, other things that may be dear included.
  DueTimes above{kAlways, kAlways};  ///< Jobs that are due after these, by priority.
  MonoTime begun{};
};

/// What a look has found: the earliest of each priority, or `now` when there was none. None: that priority was not
/// looked at.
using FirstDue = std::array<std::optional<WallTime>, kPriorities>;

/// All methods from any thread.
class DueFloor {
 public:
  explicit DueFloor(std::shared_ptr<Clock> clock) : clock_(std::move(clock)) {}

  /// How to look now, for a worker of this space.
  DueLook begin(std::string_view space);
  /// The same for who found nothing so, or must be sure: the whole, unless that is very dear.
  DueLook begin_thorough(std::string_view space);
  void end(const DueLook& look, std::string_view space, const FirstDue& first);
  /// From now until a look is a whole one.
  Duration until_whole();

 private:
  DueLook begin(std::string_view space, bool thorough);

  const std::shared_ptr<Clock> clock_;
  std::mutex mutex_;
  std::string space_;  // which the floors are of
  DueTimes floors_{kAlways, kAlways};
  Duration pause_{0};  // after the last whole look
  MonoTime next_whole_{};
};

}  // namespace embedjobs::postgres
