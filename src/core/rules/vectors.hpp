// Vectors as every backend treats them: what may be stored, how near two are, which are the nearest.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "embedjobs/status.hpp"
#include "embedjobs/sys/catalog.hpp"

namespace embedjobs::core {

/// kInvalidArgument unless `vector` has `dimension` finite floats that are not all zero.
Status check_vector(std::span<const float> vector, std::size_t dimension);

/// Cosine of the angle between a fixed query and vectors of its dimension, -1 to 1. Sums in double, so that backends
/// agree.
class Cosine {
 public:
  /// `query` passes check_vector and outlives this.
  explicit Cosine(std::span<const float> query);
  [[nodiscard]] float operator()(std::span<const float> vector) const;

 private:
  std::span<const float> query_;
  double norm_;
};

/// Keeps the `k` best hits: by score, ties by key and operation id. Memory is k hits at most, whatever is offered.
class TopHits {
 public:
  explicit TopHits(std::size_t k) : k_(k) {}
  /// The strings are copied only when the hit is among the best so far.
  void offer(const SpecKey& key, std::string_view operation_id, float score);
  /// Best first. Empties this.
  std::vector<SearchHit> take();

 private:
  std::size_t k_;
  std::vector<SearchHit> heap_;  // the worst on top
};

}  // namespace embedjobs::core
