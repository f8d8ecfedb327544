// The wake function of a store: replaced at any time, called without a lock, never called after it was taken away.
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>

namespace embedjobs::core {

/// Thread-safe.
class WakeSignal {
 public:
  /// Replaces the function (empty: none) and waits until no call of the old one is under way. Not to be called from
  /// within it.
  void set(std::function<void()> wake);
  /// Calls the function, if there is one, on this thread. An exception that leaves it goes no further.
  void fire() noexcept;

 private:
  std::mutex mutex_;
  std::condition_variable idle_;
  std::shared_ptr<const std::function<void()>> wake_;
  int calls_ = 0;
};

}  // namespace embedjobs::core
