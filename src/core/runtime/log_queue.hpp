// One log line at a time to the host, whatever thread it comes from, and no lock held while the host writes it.
#pragma once

#include <cstddef>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "embedjobs/events.hpp"

namespace embedjobs::core {

/// The thread that finds the queue unattended hands over what is in it; others leave their line and go on. A sink that
/// can't keep up loses lines, and is told how many.
class LogQueue {
 public:
  explicit LogQueue(LogSink sink) : sink_(std::move(sink)) {}
  void push(LogLevel level, std::string_view message);

 private:
  struct Turn;
  struct Line {
    LogLevel level;
    std::string message;
  };
  void deliver(const Line& line) const;

  const LogSink sink_;
  std::mutex mutex_;
  std::deque<Line> lines_;
  std::size_t dropped_ = 0;
  bool attended_ = false;
};

/// `sink` behind a LogQueue; an empty sink stays empty.
LogSink one_at_a_time(LogSink sink);

}  // namespace embedjobs::core
