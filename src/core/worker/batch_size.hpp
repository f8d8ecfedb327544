// How much a provider takes in one call, learned from its answers and shared by all passes of a worker.
#pragma once

#include <algorithm>
#include <cstddef>
#include <utility>

namespace embedjobs::core {

/// What one call carries.
struct CallSize {
  std::size_t texts = 0;
  std::size_t bytes = 0;
  bool full_by_bytes = false;  ///< One more text would have been too many bytes.
  bool cut = false;            ///< One text, shorter than it was sent before.
};

/// Halves on a timeout or "batch too large": by count where the batch was full by count, else by bytes (few large texts
/// are too much, and the next batch of small ones need not be smaller). A text alone says nothing of batches. Grows
/// back by a quarter after eight full batches that worked. When a size that it grew to is too much again, the next
/// growth takes twice as many: a provider that answers one text a call is not tried with two for ever.
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
  static constexpr int kFullBatchesToGrow = 8, kMostFullBatchesToGrow = 1024;

  struct Limit {
    explicit Limit(std::size_t most_in) : most(std::max<std::size_t>(most_in, 1)), current(most) {}

    std::size_t most;
    std::size_t current;
    int full_batches = 0;
    int to_grow = kFullBatchesToGrow;
    std::size_t grown_to = 0;  // by the last growth, if nothing was cut since

    [[nodiscard]] std::size_t learned() const { return current == most ? 0 : current; }
    void start_at(std::size_t value) { current = value == 0 ? most : std::min(value, most); }
    bool cut(std::size_t to) {
      full_batches = 0;
      if (std::exchange(grown_to, 0) == current) {
        to_grow = std::min(to_grow * 2, kMostFullBatchesToGrow);
      }
      const std::size_t before = current;
      current = std::min(current, std::max<std::size_t>(to, 1));
      return current != before;
    }
    bool worked() {
      if (current == most || ++full_batches < to_grow) {
        return false;
      }
      full_batches = 0;
      current = grown_to = std::min(most, current + std::max<std::size_t>(current / 4, 1));
      return true;
    }
  };

  Limit texts_;
  Limit bytes_;
};

}  // namespace embedjobs::core
