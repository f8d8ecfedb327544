// How many texts a provider bears in one call, learned from its answers and shared by all passes of a worker.
#pragma once

#include <algorithm>
#include <cstddef>

namespace embedjobs::core {

/// Halves on a timeout or "batch too large", grows back by a quarter after eight full batches that worked.
class BatchSize {
 public:
  explicit BatchSize(std::size_t most) : most_(std::max<std::size_t>(most, 1)), current_(most_) {}

  [[nodiscard]] std::size_t current() const { return current_; }

  /// A call with `texts` was too much. Calls that were sent before the last cut do not cut again. True when the size changed.
  bool too_much(std::size_t texts) {
    const std::size_t before = current_;
    current_ = std::min(current_, std::max<std::size_t>(texts / 2, 1));
    worked_ = 0;
    return current_ != before;
  }

  /// True when the size changed.
  bool worked(std::size_t texts) {
    if (current_ == most_ || texts < current_ || ++worked_ < kFullBatchesToGrow) {
      return false;
    }
    worked_ = 0;
    current_ = std::min(most_, current_ + std::max<std::size_t>(current_ / 4, 1));
    return true;
  }

 private:
  static constexpr int kFullBatchesToGrow = 8;
  std::size_t most_;
  std::size_t current_;
  int worked_ = 0;
};

}  // namespace embedjobs::core
