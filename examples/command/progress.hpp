// What a person sees while work goes on: a bar on a terminal, a line a second elsewhere, and every warning.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "embedjobs/events.hpp"

namespace embedjobs::command {

/// What this process did.
struct WorkTotals {
  std::int64_t succeeded = 0, failed = 0, retried = 0;
  std::int64_t embedded = 0, reused = 0;  ///< Operations of the passes that succeeded.
};

/// Writes to stderr. Thread-safe: events and log lines come from library threads.
class Progress {
 public:
  enum class Style { kBarOrLines, kOutcomesOnly };
  explicit Progress(Style style);

  /// The operations of a spec that will be worked on, so that the total is known before its job is claimed.
  void expect(const SpecKey& key, std::int64_t operations);
  /// A line of its own.
  void say(const std::string& text);
  /// Shown unless it, or a log line of the same text, was shown before.
  void warn(const std::string& message);
  void on_log(LogLevel level, std::string_view message);
  void on_event(const Event& event);
  /// Shows where it stands now and ends the bar.
  void finish();
  [[nodiscard]] WorkTotals totals() const;

 private:
  using Clock = std::chrono::steady_clock;
  struct Spec {
    std::int64_t operations = 0, reused = 0, embedded = 0;
  };
  struct Sample {
    Clock::time_point when;
    std::int64_t embedded = 0;
  };

  void count(const Event& event);
  void say_outcome(const Event& event);
  void line(std::string_view text);
  void show(bool now);
  [[nodiscard]] std::string state() const;
  [[nodiscard]] double operations_per_second() const;
  [[nodiscard]] std::string bar(std::string_view tail) const;

  const Style style_;
  const bool terminal_;
  mutable std::mutex mutex_;
  std::map<SpecKey, Spec> specs_;
  std::set<std::string, std::less<>> warned_;
  std::string last_warning_;
  std::deque<Sample> samples_;  ///< Of the last seconds: the rate is what it is now, not what it was at the start.
  std::int64_t persisted_ = 0;
  Clock::time_point shown_at_{};
  std::string shown_;
  bool bar_is_up_ = false;
  WorkTotals totals_;
};

}  // namespace embedjobs::command
