#include "core/worker/plan.hpp"

#include <algorithm>
#include <numeric>

namespace embedjobs::core {

Plan::Plan(OperationList operations)
    : operations_(std::move(operations)),
      by_hash_(operations_.size()),
      next_(operations_.size(), kNone),
      first_(operations_.size(), true) {
  std::iota(by_hash_.begin(), by_hash_.end(), 0U);
  std::sort(by_hash_.begin(), by_hash_.end(), [this](std::uint32_t a, std::uint32_t b) {
    const auto order = operations_.text_hash(a) <=> operations_.text_hash(b);
    return order != 0 ? order < 0 : a < b;
  });
  for (std::size_t i = 1; i < by_hash_.size(); ++i) {
    if (operations_.text_hash(by_hash_[i - 1]) == operations_.text_hash(by_hash_[i])) {
      next_[by_hash_[i - 1]] = by_hash_[i];
      first_[by_hash_[i]] = false;
    }
  }
}

std::optional<std::uint32_t> Plan::find(const TextHash& hash) const {
  const auto found = std::lower_bound(
      by_hash_.begin(), by_hash_.end(), hash,
      [this](std::uint32_t operation, const TextHash& h) { return operations_.text_hash(operation) < h; });
  if (found == by_hash_.end() || operations_.text_hash(*found) != hash) {
    return std::nullopt;
  }
  return *found;
}

std::int64_t Plan::count_of_text(std::uint32_t first) const {
  std::int64_t count = 0;
  for (std::uint32_t operation = first; operation != kNone; operation = next_[operation]) {
    ++count;
  }
  return count;
}

}  // namespace embedjobs::core
