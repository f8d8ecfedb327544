// Blocks between C++ and C: lists of strings as one block and offsets, hashes and vectors as one block each.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "embedjobs.h"
#include "embedjobs/manifest.hpp"
#include "embedjobs/persister.hpp"
#include "embedjobs/status.hpp"

namespace embedjobs::capi {

/// Strings as one block with offsets. Keeps its memory when it is cleared.
class PackedStrings {
 public:
  void clear() {
    bytes_.clear();
    offsets_.assign(1, 0);
  }
  void add(std::string_view text) {
    bytes_.append(text);
    offsets_.push_back(bytes_.size());
  }
  void assign(std::span<const std::string_view> texts);
  void reserve(std::size_t count) { offsets_.reserve(count + 1); }
  [[nodiscard]] const char* bytes() const noexcept { return bytes_.c_str(); }
  [[nodiscard]] const std::uint64_t* offsets() const noexcept { return offsets_.data(); }

 private:
  std::string bytes_;
  std::vector<std::uint64_t> offsets_{0};
};

/// A manifest as a callback sees it. The view lives as long as this.
class PackedOperations {
 public:
  explicit PackedOperations(const Manifest& manifest);
  [[nodiscard]] embedjobs_operations view() const noexcept;

 private:
  PackedStrings ids_;
  std::vector<std::uint8_t> hashes_;
};

/// Rows as a callback sees them. The view lives as long as this.
class PackedRows {
 public:
  PackedRows(std::span<const VectorRow> rows, std::size_t dimension);
  [[nodiscard]] embedjobs_rows view() const noexcept;

 private:
  std::size_t dimension_;
  PackedStrings ids_;
  std::vector<std::uint8_t> hashes_;
  std::vector<float> vectors_;
  std::vector<std::uint64_t> embedded_bytes_;
  std::vector<std::uint64_t> input_caps_;
};

/// A host's list of operations. kInvalidArgument says what is wrong with it.
Result<Manifest> read_operations(const embedjobs_operations* operations);
/// A host's rows, as views into them.
Result<std::vector<VectorRow>> read_rows(const embedjobs_rows* rows, std::size_t dimension);

}  // namespace embedjobs::capi
