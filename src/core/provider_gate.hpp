// Who may call the provider now: calls in flight over all passes, and its pauses.
#pragma once

#include <algorithm>
#include <cstddef>

#include "core/transitions.hpp"
#include "embedjobs/runtime.hpp"

namespace embedjobs::core {

/// After a pause one call goes alone to probe; when it works the gate is open again.
class ProviderGate {
 public:
  explicit ProviderGate(std::size_t limit) : limit_(std::max<std::size_t>(limit, 1)) {}

  /// `waiting`: calls that are promised already and not begun.
  [[nodiscard]] bool may_call(MonoTime now, std::size_t waiting) const {
    return now >= paused_until_ && in_flight_ + waiting < (probing_ ? std::size_t{1} : limit_);
  }
  [[nodiscard]] std::size_t in_flight() const { return in_flight_; }
  [[nodiscard]] std::size_t limit() const { return limit_; }
  [[nodiscard]] bool paused(MonoTime now) const { return now < paused_until_; }
  [[nodiscard]] MonoTime paused_until() const { return paused_until_; }
  /// How long the pauses in a row will have lasted when this one ends; zero: it does not pause.
  [[nodiscard]] Duration pause_length(MonoTime now) const { return paused(now) ? paused_until_ - pausing_since_ : Duration(0); }

  void call_began() { ++in_flight_; }
  void call_ended() { --in_flight_; }

  /// True when this ended a pause. An answer that comes in the middle of one is of a call that was sent before: it says nothing.
  bool call_worked(MonoTime now) {
    if (paused(now)) {
      return false;
    }
    const bool resumed = probing_;
    probing_ = false;
    pauses_ = 0;
    return resumed;
  }

  /// The provider asks for a pause; without a time of its own it gets longer with every one in a row. An answer to a call that was sent
  /// before the pause began does not count again.
  void pause(MonoTime now, Duration retry_after, double jitter) {
    if (paused(now) && retry_after <= Duration(0)) {
      return;
    }
    if (pauses_ == 0) {
      pausing_since_ = now;
    }
    const Duration wait = retry_after > Duration(0) ? std::min(retry_after, kMaxPause) : backoff(pauses_, jitter);
    ++pauses_;
    probing_ = true;
    paused_until_ = std::max(paused_until_, now + wait);
  }

 private:
  std::size_t limit_;
  std::size_t in_flight_ = 0;
  bool probing_ = false;
  int pauses_ = 0;
  MonoTime pausing_since_{};  // the first pause in a row
  MonoTime paused_until_{};
};

}  // namespace embedjobs::core
