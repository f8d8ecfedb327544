#include "embedjobs/manifest.hpp"

#include <algorithm>
#include <numeric>

namespace embedjobs {
namespace {

std::string_view piece(const std::string& all, const std::vector<std::size_t>& ends, std::size_t index) {
  const std::size_t begin = index == 0 ? 0 : ends[index - 1];
  return std::string_view(all).substr(begin, ends[index] - begin);
}

}  // namespace

void Manifest::add(std::string_view operation_id, const TextHash& text_hash) {
  ids_ += operation_id;
  ends_.push_back(ids_.size());
  hashes_.push_back(text_hash);
}

void Manifest::reserve(std::size_t operations, std::size_t id_bytes) {
  ids_.reserve(id_bytes);
  ends_.reserve(operations);
  hashes_.reserve(operations);
}

std::string_view Manifest::operation_id(std::size_t index) const {
  return piece(ids_, ends_, index);
}

std::vector<std::uint32_t> Manifest::sorted_by_id() const {
  std::vector<std::uint32_t> order(size());
  std::iota(order.begin(), order.end(), 0U);
  std::sort(order.begin(), order.end(),
            [this](std::uint32_t a, std::uint32_t b) { return operation_id(a) < operation_id(b); });
  return order;
}

void OperationList::add(std::string_view operation_id, std::string_view text) {
  manifest_.add(operation_id, hash_text(text));
  texts_ += text;
  ends_.push_back(texts_.size());
}

void OperationList::reserve(std::size_t operations, std::size_t id_bytes, std::size_t text_bytes) {
  manifest_.reserve(operations, id_bytes);
  texts_.reserve(text_bytes);
  ends_.reserve(operations);
}

std::string_view OperationList::text(std::size_t index) const {
  return piece(texts_, ends_, index);
}

}  // namespace embedjobs
