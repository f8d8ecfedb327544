// From where a process reads the indices of due jobs.
//
// The problem: a claim reads the due indices from their head. Jobs that were taken leave dead entries there. While some
// transaction keeps an old snapshot, the server can't remove them, so every claim would read all of them again.
//
// The answer: a process remembers the due time of the first job that its last scan found, the floor. The next scan
// starts a little below the floor. Jobs below it are possible: a transaction may end late, or put a job back with a
// time in the past. So a scan is full, from the head on, as long as full scans are cheap. Where they are not, one is
// made now and then. A claim that finds nothing above the floor makes one too, unless the last one was very slow; a
// peek then says when the next one is due.
//
// The floor decides how soon a job is found, never whether.
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
  bool full = true;                  ///< From the head on. Other questions that may be slow are asked too.
  DueTimes above{kAlways, kAlways};  ///< Jobs that are due after these, by priority.
  MonoTime begun{};
};

/// What a scan has found: the earliest of each priority, or `now` when there was none. None: that priority was not
/// scanned.
using FirstDue = std::array<std::optional<WallTime>, kPriorities>;

/// All methods from any thread.
class DueFloor {
 public:
  explicit DueFloor(std::shared_ptr<Clock> clock) : clock_(std::move(clock)) {}

  /// How to scan now, for a worker of this space.
  DueScan begin(std::string_view space);
  /// The same for a caller that found nothing, or must be sure: a full scan, unless the last one was very slow.
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
