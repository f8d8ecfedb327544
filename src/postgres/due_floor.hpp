// The place in the indices of due jobs from which a process reads.
//
// The problem: a claim reads the due indices from their head. Jobs that were taken leave dead entries there. While some
// transaction keeps an old snapshot, the server can't remove them. So every claim would read all of them again.
//
// The answer: a process remembers the due time of the first job that its last scan found. This time is the floor. The
// next scan starts a little below the floor. There may be jobs below it: a transaction may end late, or put a job back
// with a time in the past. So while full scans, from the head on, are cheap, every scan is full. When they are not
// cheap, a full scan is made now and then. A claim that finds nothing above the floor makes a full scan too, unless the
// last one was very slow. In that case a peek says when the next full scan is due.
//
// The floor decides how soon a job is found. It never decides whether.
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

/// One scan of the due indices.
struct DueScan {
  bool full = true;                  ///< From the head on. Other slow questions are asked too.
  DueTimes above{kAlways, kAlways};  ///< Jobs that are due after these, by priority.
  MonoTime begun{};
};

/// What a scan has found: for each priority the due time of the earliest job, or `now` when there was no job. No value:
/// that priority was not scanned.
using FirstDue = std::array<std::optional<WallTime>, kPriorities>;

/// All methods from any thread.
class DueFloor {
 public:
  explicit DueFloor(std::shared_ptr<Clock> clock) : clock_(std::move(clock)) {}

  /// How to scan now, for a worker of this space.
  DueScan begin(std::string_view space);
  /// The same for a caller that found nothing, or must be sure. The scan is full, unless the last one was very slow.
  DueScan begin_thorough(std::string_view space);
  void end(const DueScan& scan, std::string_view space, const FirstDue& first);
  /// From now until the next full scan.
  Duration until_full();

 private:
  DueScan begin(std::string_view space, bool thorough);

  const std::shared_ptr<Clock> clock_;
  std::mutex mutex_;
  std::string space_;  // which the floors are of
  DueTimes floors_{kAlways, kAlways};
  Duration pause_{0};  // after the last full scan
  MonoTime next_full_{};
};

}  // namespace embedjobs::postgres
