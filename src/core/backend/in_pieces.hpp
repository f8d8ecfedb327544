// Long work in pieces, each in a transaction of its own, so that none is long.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>

#include "embedjobs/status.hpp"

namespace embedjobs::core {

/// Calls `step(count)` with at most `most`, until a step did less than it was asked for, or `limit` are done in all.
/// `step` answers how many it did. Answers their sum, or the first error.
template <typename Step>
Result<std::size_t> in_pieces(std::size_t limit, std::size_t most, Step&& step) {
  std::size_t total = 0;
  while (total < limit) {
    const std::size_t piece = std::min(limit - total, most);
    const Result<std::size_t> done = step(piece);
    if (!done.ok()) {
      return done;
    }
    total += *done;
    if (*done < piece) {
      break;
    }
  }
  return total;
}

/// Calls `step(piece)` with at most `most` items at a time, at least once, until the first error.
template <typename Item, typename Step>
Status for_pieces(std::span<Item> items, std::size_t most, Step&& step) {
  do {
    const std::span<Item> piece = items.first(std::min(items.size(), most));
    if (Status status = step(piece); !status.ok()) {
      return status;
    }
    items = items.subspan(piece.size());
  } while (!items.empty());
  return {};
}

}  // namespace embedjobs::core
