// SIGINT and SIGTERM as a stop token.
#pragma once

#include <stop_token>
#include <thread>

namespace embedjobs::command {

/// While it lives, the first SIGINT or SIGTERM requests a stop, and a second one ends the process at once (exit code
/// 130 or 143). Make it before any other thread, so that all inherit the blocked signals; a thread of its own reads
/// them, so nothing runs in a handler.
class SignalStop {
 public:
  SignalStop();
  ~SignalStop();
  SignalStop(const SignalStop&) = delete;
  SignalStop& operator=(const SignalStop&) = delete;
  [[nodiscard]] std::stop_token token() const { return source_.get_token(); }

 private:
  void watch();
  std::stop_source source_;
  int signals_ = -1;  ///< signalfd
  int close_ = -1;    ///< eventfd: the end of the thread
  std::thread thread_;
};

}  // namespace embedjobs::command
