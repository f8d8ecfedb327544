#include "progress.hpp"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include <fmt/format.h>

#include "embedjobs/duration.hpp"
#include "text.hpp"

namespace embedjobs::command {
namespace {

using namespace std::chrono_literals;

constexpr auto kBarInterval = 100ms;
constexpr auto kLineInterval = 1s;
constexpr auto kRateWindow = 15s;
constexpr std::size_t kBarCells = 24;
constexpr std::size_t kWarningsRemembered = 100;

bool is_bar_terminal() {
  const char* const term = std::getenv("TERM");
  return isatty(STDERR_FILENO) == 1 && term != nullptr && std::string_view(term) != "dumb";
}

std::size_t terminal_columns() {
  winsize size{};
  return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

std::string time_left(double seconds) {
  if (seconds < 60) {
    return fmt::format("{:.0f} s left", std::max(1.0, seconds));
  }
  const auto minutes = static_cast<std::int64_t>(seconds / 60);
  return minutes < 60 ? fmt::format("{} min left", minutes + 1)
                      : fmt::format("{} h {} min left", minutes / 60, minutes % 60);
}

std::string name_of(const SpecKey& key) {
  return printable(key.catalog_id + "/" + key.spec_name);
}

}  // namespace

Progress::Progress(Style style) : style_(style), terminal_(is_bar_terminal()) {}

void Progress::expect(const SpecKey& key, std::int64_t operations) {
  const std::scoped_lock lock(mutex_);
  specs_[key].operations = operations;
}

void Progress::say(const std::string& text) {
  const std::scoped_lock lock(mutex_);
  line(text);
}

void Progress::warn(const std::string& message) {
  const std::scoped_lock lock(mutex_);
  if (warned_.insert(message).second) {
    line("warning: " + printable(message));
  }
}

void Progress::on_log(LogLevel level, std::string_view message) {
  const std::scoped_lock lock(mutex_);
  if (level < LogLevel::kWarning) {
    return;
  }
  if (warned_.find(message) != warned_.end()) {
    return;  // it waits for the same thing still
  }
  if (warned_.size() < kWarningsRemembered) {
    warned_.emplace(message);
  }
  last_warning_ = message;
  line((level == LogLevel::kWarning ? "warning: " : "embedjobs: ") + printable(message));
}

void Progress::on_event(const Event& event) {
  const std::scoped_lock lock(mutex_);
  count(event);
  say_outcome(event);
  show(false);
}

void Progress::count(const Event& event) {
  switch (event.kind) {
    case EventKind::kJobProgress:
    case EventKind::kJobSucceeded: {
      Spec& spec = specs_[event.key];
      if (event.progress.operation_count > 0) {
        spec = {.operations = event.progress.operation_count,
                .reused = event.progress.reused,
                .embedded = event.progress.embedded};
      }
      if (event.kind == EventKind::kJobSucceeded) {
        ++totals_.succeeded;
        totals_.embedded += spec.embedded;
        totals_.reused += spec.reused;
      }
      return;
    }
    case EventKind::kChunkPersisted:
      persisted_ += event.count;
      samples_.push_back({.when = Clock::now(), .embedded = persisted_});
      while (samples_.size() > 2 && samples_.back().when - samples_.front().when > kRateWindow) {
        samples_.pop_front();
      }
      return;
    case EventKind::kJobClaimed:
      if (samples_.empty()) {
        samples_.push_back({.when = Clock::now(), .embedded = persisted_});
      }
      return;
    case EventKind::kJobRetried: ++totals_.retried; return;
    case EventKind::kJobFailed: ++totals_.failed; return;
    default: return;
  }
}

void Progress::say_outcome(const Event& event) {
  switch (event.kind) {
    case EventKind::kJobSucceeded:
      if (style_ == Style::kOutcomesOnly) {
        const Spec& spec = specs_[event.key];
        line(fmt::format("done: {}: {} operations, {} embedded, {} reused", name_of(event.key), spec.operations,
                         spec.embedded, spec.reused));
      }
      return;
    case EventKind::kJobRetried:
      line(fmt::format("retry: {}: attempt {} ended: {}", name_of(event.key), event.attempt, printable(event.message)));
      return;
    case EventKind::kJobFailed:
      line(
          fmt::format("failed: {}: {} (once the cause is gone, put or index the file again: it embeds what is missing)",
                      name_of(event.key), printable(event.message)));
      return;
    case EventKind::kJobReleased:
      if (style_ == Style::kOutcomesOnly) {
        line(fmt::format("released: {}", name_of(event.key)));
      }
      return;
    case EventKind::kLeaseLost:
      line(fmt::format("lease lost: {}: another worker has it, or it was edited or removed", name_of(event.key)));
      return;
    case EventKind::kProviderPaused:
      if (!last_warning_.ends_with(event.message)) {  // the log has not just said the same
        line(fmt::format("paused: the next provider call is in {}: {}",
                         format_duration(std::chrono::ceil<std::chrono::seconds>(event.delay)),
                         printable(event.message)));
      }
      return;
    default: return;
  }
}

// Above the bar, which is drawn again below it.
void Progress::line(std::string_view text) {
  if (bar_is_up_) {
    std::fputs("\r\x1b[K", stderr);
    bar_is_up_ = false;
  }
  std::fputs(fmt::format("{}\n", text).c_str(), stderr);
}

double Progress::operations_per_second() const {
  if (samples_.size() < 2) {
    return 0;
  }
  const std::chrono::duration<double> elapsed = samples_.back().when - samples_.front().when;
  return elapsed.count() > 0
             ? static_cast<double>(samples_.back().embedded - samples_.front().embedded) / elapsed.count()
             : 0;
}

std::string Progress::state() const {
  std::int64_t done = 0;
  std::int64_t total = 0;
  for (const auto& [key, spec] : specs_) {
    done += spec.reused + spec.embedded;
    total += spec.operations;
  }
  const double rate = operations_per_second();
  std::string text = fmt::format("{}/{} operations", done, total);
  if (rate > 0) {
    text += fmt::format(", {:.{}f}/s", rate, rate < 10 ? 1 : 0);
    if (done < total) {
      text += ", " + time_left(static_cast<double>(total - done) / rate);
    }
  }
  return text;
}

std::string Progress::bar(std::string_view tail) const {
  std::int64_t done = 0;
  std::int64_t total = 0;
  for (const auto& [key, spec] : specs_) {
    done += spec.reused + spec.embedded;
    total += spec.operations;
  }
  const auto filled = total > 0 ? static_cast<std::size_t>(done) * kBarCells / static_cast<std::size_t>(total) : 0;
  std::string text = "[" + std::string(std::min(filled, kBarCells), '#') +
                     std::string(kBarCells - std::min(filled, kBarCells), '.') + "] ";
  text += tail;
  // A line that wraps can't be drawn over.
  text.resize(std::min(text.size(), terminal_columns() - 1));
  return text;
}

void Progress::show(bool now) {
  if (style_ == Style::kOutcomesOnly || specs_.empty()) {
    return;
  }
  const Clock::time_point time = Clock::now();
  if (!now && time - shown_at_ < (terminal_ ? Clock::duration(kBarInterval) : Clock::duration(kLineInterval))) {
    return;
  }
  const std::string text = state();
  if (text == shown_ && (!terminal_ || bar_is_up_)) {
    return;
  }
  shown_at_ = time;
  shown_ = text;
  if (terminal_) {
    std::fputs(("\r" + bar(text) + "\x1b[K").c_str(), stderr);
    bar_is_up_ = true;
  } else {
    std::fputs(("embedding: " + text + "\n").c_str(), stderr);
  }
}

void Progress::finish() {
  const std::scoped_lock lock(mutex_);
  show(true);
  if (bar_is_up_) {
    std::fputs("\n", stderr);
    bar_is_up_ = false;
  }
}

WorkTotals Progress::totals() const {
  const std::scoped_lock lock(mutex_);
  return totals_;
}

}  // namespace embedjobs::command
