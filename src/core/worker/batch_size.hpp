// How much a provider takes in one call, learned from its answers and shared by all passes of a worker.
#pragma once

#include <algorithm>
#include <cstddef>

namespace embedjobs::core {

/// What one call carries.
struct CallSize {
  std::size_t texts = 0;
  std::size_t bytes = 0;
  bool full_by_bytes = false;  ///< One more text would have been too many bytes.
};

/// Halves on a timeout or "batch too large": by count where the batch was full by count, else by bytes (few large texts
/// are too much, and the next batch of small ones need not be smaller). A text alone says nothing of batches. Grows
/// back by a quarter after eight full batches that worked.
class BatchSize {
 public:
  BatchSize(std::size_t most_texts, std::size_t most_bytes) : texts_(most_texts), bytes_(most_bytes) {}

  [[nodiscard]] std::size_t texts() const { return texts_.current; }
  [[nodiscard]] std::size_t bytes() const { return bytes_.current; }
  /// The same, but 0 where the limit is our own.
  [[nodiscard]] std::size_t learned_texts() const { return texts_.learned(); }
  [[nodiscard]] std::size_t learned_bytes() const { return bytes_.learned(); }

  /// What was learned before; 0: nothing.
  void start_at(std::size_t texts, std::size_t bytes) {
    texts_.start_at(texts);
    bytes_.start_at(bytes);
  }
  /// A call was too much. Calls that were sent before the last cut do not cut again. True when a size changed.
  bool too_much(const CallSize& call) {
    if (call.texts <= 1) {
      return false;
    }
    return call.texts >= texts_.current ? texts_.cut(call.texts / 2) : bytes_.cut(call.bytes / 2);
  }
  /// True when a size changed.
  bool worked(const CallSize& call) {
    const bool more_texts = call.texts >= texts_.current && texts_.worked();
    const bool more_bytes = (call.full_by_bytes || call.bytes >= bytes_.current) && bytes_.worked();
    return more_texts || more_bytes;
  }

 private:
  static constexpr int kFullBatchesToGrow = 8;

  struct Limit {
    explicit Limit(std::size_t most_in) : most(std::max<std::size_t>(most_in, 1)), current(most) {}

    std::size_t most;
    std::size_t current;
    int full_batches = 0;

    [[nodiscard]] std::size_t learned() const { return current == most ? 0 : current; }
    void start_at(std::size_t value) { current = value == 0 ? most : std::min(value, most); }
    bool cut(std::size_t to) {
      full_batches = 0;
      const std::size_t before = current;
      current = std::min(current, std::max<std::size_t>(to, 1));
      return current != before;
    }
    bool worked() {
      if (current == most || ++full_batches < kFullBatchesToGrow) {
        return false;
      }
      full_batches = 0;
      current = std::min(most, current + std::max<std::size_t>(current / 4, 1));
      return true;
    }
  };

  Limit texts_;
  Limit bytes_;
};

}  // namespace embedjobs::core
