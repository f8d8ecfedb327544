// A clock that moves only when a test says so.
#pragma once

#include <mutex>
#include <string>

#include "embedjobs/sys/runtime.hpp"

namespace embedjobs::test {

/// Thread-safe. Starts at an ordinary moment: nothing is zero by accident.
class ManualClock final : public Clock {
 public:
  MonoTime now() override { return read(mono_); }
  WallTime wall_now() override { return read(wall_); }
  Duration boot_time() override { return read(boot_); }
  std::string boot_id() override { return read(boot_id_); }

  /// Time passes, on all clocks.
  void advance(Duration time) {
    const std::lock_guard lock(mutex_);
    mono_ += time;
    wall_ += time;
    boot_ += time;
  }
  /// The machine sleeps: the monotonic clock stands still.
  void suspend(Duration time) {
    const std::lock_guard lock(mutex_);
    wall_ += time;
    boot_ += time;
  }
  /// Somebody sets the wall clock; negative: back.
  void set_wall_clock(Duration by) {
    const std::lock_guard lock(mutex_);
    wall_ += by;
  }
  void reboot() {
    const std::lock_guard lock(mutex_);
    boot_ = std::chrono::seconds(5);
    boot_id_ += "+";
  }

 private:
  template <typename T>
  T read(const T& value) {
    const std::lock_guard lock(mutex_);
    return value;
  }

  std::mutex mutex_;
  MonoTime mono_{std::chrono::hours(3)};
  WallTime wall_{std::chrono::hours(24 * 365 * 55)};
  Duration boot_ = std::chrono::hours(7);
  std::string boot_id_ = "boot";
};

}  // namespace embedjobs::test
