#include "core/rules/vectors.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <tuple>

namespace embedjobs::core {
namespace {

double dot(std::span<const float> a, std::span<const float> b) {
  // Four sums instead of one: the additions do not wait for each other.
  double sums[4] = {0, 0, 0, 0};
  const std::size_t size = std::min(a.size(), b.size());
  std::size_t i = 0;
  for (; i + 4 <= size; i += 4) {
    for (std::size_t lane = 0; lane < 4; ++lane) {
      sums[lane] += static_cast<double>(a[i + lane]) * static_cast<double>(b[i + lane]);
    }
  }
  for (; i < size; ++i) {
    sums[0] += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  }
  return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

bool better(float score, const SpecKey& key, std::string_view operation_id, const SearchHit& than) {
  if (score != than.score) {
    return score > than.score;
  }
  return std::tie(key, operation_id) < std::make_tuple(std::cref(than.key), std::string_view(than.operation_id));
}

bool better_hit(const SearchHit& a, const SearchHit& b) {
  return better(a.score, a.key, a.operation_id, b);
}

}  // namespace

Status check_vector(std::span<const float> vector, std::size_t dimension) {
  if (vector.size() != dimension) {
    return {Code::kInvalidArgument, fmt::format("the vector has {} floats, the space {}", vector.size(), dimension)};
  }
  bool zero = true;
  for (const float value : vector) {
    if (!std::isfinite(value)) {
      return {Code::kInvalidArgument, "the vector has a value that is not finite"};
    }
    zero = zero && value == 0.0F;
  }
  if (zero) {
    return {Code::kInvalidArgument, "the vector is zero"};
  }
  return {};
}

Cosine::Cosine(std::span<const float> query) : query_(query), norm_(std::sqrt(dot(query, query))) {}

float Cosine::operator()(std::span<const float> vector) const {
  const double product = norm_ * std::sqrt(dot(vector, vector));
  return product > 0 ? static_cast<float>(std::clamp(dot(query_, vector) / product, -1.0, 1.0)) : 0.0F;
}

void TopHits::offer(const SpecKey& key, std::string_view operation_id, float score) {
  if (heap_.size() == k_) {
    if (k_ == 0 || !better(score, key, operation_id, heap_.front())) {
      return;
    }
    std::pop_heap(heap_.begin(), heap_.end(), better_hit);
    heap_.pop_back();
  }
  heap_.push_back({key, std::string(operation_id), score});
  std::push_heap(heap_.begin(), heap_.end(), better_hit);
}

std::vector<SearchHit> TopHits::take() {
  std::sort_heap(heap_.begin(), heap_.end(), better_hit);
  return std::exchange(heap_, {});
}

}  // namespace embedjobs::core
