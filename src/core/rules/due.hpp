// When is a pending job due, and when has a lease ended?
#pragma once

#include <algorithm>

#include "core/rules/transitions.hpp"

namespace embedjobs::core {

/// No rule of ours sets a due time further ahead than an hour. One that lies beyond this was written by a clock that
/// has been set back.
inline constexpr Duration kFarAhead = std::chrono::hours(2);

[[nodiscard]] inline bool is_due(WallTime next_run_at, WallTime now) noexcept {
  return next_run_at <= now || next_run_at > now + kFarAhead;
}
/// From now until the job is due; zero: it is.
[[nodiscard]] inline Duration due_in(WallTime next_run_at, WallTime now) noexcept {
  return is_due(next_run_at, now) ? Duration(0) : next_run_at - now;
}
/// By the boot-time clock that stamped it; a lease of another boot has ended whatever this says.
[[nodiscard]] inline bool lease_ended(Duration lease_until, Duration boot_now) noexcept {
#ifdef EMBEDJOBS_MUTANT_NO_LEASE_CHECK  // see transitions.cpp
  (void)lease_until, (void)boot_now;
  return true;
#else
  return boot_now >= lease_until;
#endif
}

}  // namespace embedjobs::core
