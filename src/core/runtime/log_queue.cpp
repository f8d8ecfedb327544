#include "core/runtime/log_queue.hpp"

#include <fmt/format.h>

#include "core/values/guard.hpp"

namespace embedjobs::core {
namespace {

constexpr std::size_t kMaxLines = 10'000;

}  // namespace

/// Also when the sink ends its thread: the next line finds the queue unattended.
struct LogQueue::Turn {
  LogQueue& queue;
  std::unique_lock<std::mutex>& lock;
  ~Turn() {
    if (!lock.owns_lock()) {
      lock.lock();
    }
    queue.attended_ = false;
  }
};

void LogQueue::push(LogLevel level, std::string_view message) {
  std::unique_lock lock(mutex_);
  if (lines_.size() >= kMaxLines) {
    ++dropped_;
    return;
  }
  lines_.push_back({level, std::string(message)});
  if (attended_) {
    return;
  }
  attended_ = true;
  const Turn ends_here{*this, lock};
  while (!lines_.empty()) {
    const Line line = std::move(lines_.front());
    lines_.pop_front();
    if (lines_.empty() && dropped_ > 0) {
      lines_.push_back({LogLevel::kWarning, fmt::format("{} log lines were dropped, the sink was too slow", dropped_)});
      dropped_ = 0;
    }
    lock.unlock();
    deliver(line);
    lock.lock();
  }
}

void LogQueue::deliver(const Line& line) const {
  // There is nowhere left to say that the log itself failed.
  (void)guarded("the log sink", [&] { sink_(line.level, line.message); });
}

LogSink one_at_a_time(LogSink sink) {
  if (!sink) {
    return {};
  }
  return [queue = std::make_shared<LogQueue>(std::move(sink))](LogLevel level, std::string_view message) {
    queue->push(level, message);
  };
}

}  // namespace embedjobs::core
