#include "blocks.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "core/values/utf8.hpp"
#include "layout.hpp"

namespace embedjobs::capi {
namespace {

constexpr std::size_t kMostOperations = 0xffffffffU;
constexpr std::uint64_t kMostIdBytes = 0xffffffffU;

void append(std::vector<std::uint8_t>& hashes, const TextHash& hash) {
  hashes.insert(hashes.end(), hash.begin(), hash.end());
}

/// Pointers are there, offsets ascend, ids are UTF-8 and not empty.
Status check_ids(std::size_t count, const char* ids, const std::uint64_t* offsets, const std::uint8_t* hashes) {
  if (count > kMostOperations) {
    return {Code::kInvalidArgument, fmt::format("{} operations are too many", count)};
  }
  if (count > 0 && (ids == nullptr || offsets == nullptr || hashes == nullptr)) {
    return {Code::kInvalidArgument, "ids, id_offsets or hashes are NULL"};
  }
  for (std::size_t i = 0; i < count; ++i) {
    if ((i == 0 && offsets[0] != 0) || offsets[i + 1] <= offsets[i] || offsets[i + 1] > kMostIdBytes) {
      return {Code::kInvalidArgument, fmt::format("id_offsets must begin with 0 and ascend: not so at {}", i)};
    }
    if (!core::is_valid_utf8({ids + offsets[i], offsets[i + 1] - offsets[i]})) {
      return {Code::kInvalidArgument, fmt::format("id {} is not valid UTF-8", i)};
    }
  }
  return {};
}

template <typename Block>
std::string_view id_of(const Block& block, std::size_t index) {
  return {block.ids + block.id_offsets[index], block.id_offsets[index + 1] - block.id_offsets[index]};
}

template <typename Block>
TextHash hash_of(const Block& block, std::size_t index) {
  TextHash hash{};
  std::memcpy(hash.data(), block.hashes + index * hash.size(), hash.size());
  return hash;
}

}  // namespace

void PackedStrings::assign(std::span<const std::string_view> texts) {
  std::size_t size = 0;
  offsets_.resize(texts.size() + 1);
  for (std::size_t i = 0; i < texts.size(); ++i) {
    size += texts[i].size();
    offsets_[i + 1] = size;
  }
  bytes_.clear();
  bytes_.reserve(size);
  for (const std::string_view text : texts) {
    bytes_.append(text);
  }
}

PackedOperations::PackedOperations(const Manifest& manifest) {
  ids_.reserve(manifest.size());
  hashes_.reserve(manifest.size() * EMBEDJOBS_HASH_SIZE);
  for (std::size_t i = 0; i < manifest.size(); ++i) {
    ids_.add(manifest.operation_id(i));
    append(hashes_, manifest.text_hash(i));
  }
}

embedjobs_operations PackedOperations::view() const noexcept {
  return {sizeof(embedjobs_operations), hashes_.size() / EMBEDJOBS_HASH_SIZE, ids_.bytes(), ids_.offsets(),
          hashes_.data()};
}

PackedRows::PackedRows(std::span<const VectorRow> rows, std::size_t dimension) : dimension_(dimension) {
  ids_.reserve(rows.size());
  hashes_.reserve(rows.size() * EMBEDJOBS_HASH_SIZE);
  vectors_.reserve(rows.size() * dimension);
  for (const VectorRow& row : rows) {
    ids_.add(row.operation_id);
    append(hashes_, row.text_hash);
    vectors_.insert(vectors_.end(), row.vector.begin(), row.vector.end());
    embedded_bytes_.push_back(row.embedded_bytes);
    input_caps_.push_back(row.input_cap);
  }
}

embedjobs_rows PackedRows::view() const noexcept {
  return {sizeof(embedjobs_rows), embedded_bytes_.size(), dimension_,
          ids_.bytes(),           ids_.offsets(),         hashes_.data(),
          vectors_.data(),        embedded_bytes_.data(), input_caps_.data()};
}

Result<Manifest> read_operations(const embedjobs_operations* operations) {
  embedjobs_operations block{};
  Status status = read_struct(operations, block);
  if (status.ok()) {
    status = check_ids(block.count, block.ids, block.id_offsets, block.hashes);
  }
  if (!status.ok()) {
    return status;
  }
  Manifest manifest;
  manifest.reserve(block.count, block.count == 0 ? 0 : block.id_offsets[block.count]);
  for (std::size_t i = 0; i < block.count; ++i) {
    manifest.add(id_of(block, i), hash_of(block, i));
  }
  return manifest;
}

Result<std::vector<VectorRow>> read_rows(const embedjobs_rows* rows, std::size_t dimension) {
  embedjobs_rows block{};
  Status status = read_struct(rows, block);
  if (status.ok()) {
    status = check_ids(block.count, block.ids, block.id_offsets, block.hashes);
  }
  if (status.ok() && block.count > 0 && block.dimension != dimension) {
    status = Status(Code::kInvalidArgument,
                    fmt::format("rows have dimension {}, the computer's space has {}", block.dimension, dimension));
  }
  if (status.ok() && block.count > 0 &&
      (block.vectors == nullptr || (block.embedded_bytes == nullptr) != (block.input_caps == nullptr))) {
    status = Status(Code::kInvalidArgument, "vectors is NULL, or one of embedded_bytes and input_caps is");
  }
  if (!status.ok()) {
    return status;
  }
  std::vector<VectorRow> read;
  read.reserve(block.count);
  for (std::size_t i = 0; i < block.count; ++i) {
    VectorRow row{.operation_id = id_of(block, i),
                  .text_hash = hash_of(block, i),
                  .vector = {block.vectors + i * dimension, dimension}};
    if (block.embedded_bytes != nullptr && block.embedded_bytes[i] != 0) {
      row.embedded_bytes = block.embedded_bytes[i];
      row.input_cap = block.input_caps[i];
    }
    read.push_back(row);
  }
  return read;
}

}  // namespace embedjobs::capi
