// What a document contains, compactly: operation ids, text hashes and, while a pass needs them, texts.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "embedjobs/types.hpp"

namespace embedjobs {

/// The operation ids and text hashes of a document, in operation order. About 40 bytes an operation plus its id,
/// whatever its text. At most 2^32-1 operations, and 4 GiB of ids. Movable; reading from several threads is safe,
/// writing is not.
class Manifest {
 public:
  void add(std::string_view operation_id, const TextHash& text_hash);
  /// Makes room for so many operations whose ids have so many bytes together, so that add() copies nothing while it
  /// grows.
  void reserve(std::size_t operations, std::size_t id_bytes);
  [[nodiscard]] std::size_t size() const noexcept { return hashes_.size(); }
  [[nodiscard]] bool empty() const noexcept { return hashes_.empty(); }
  /// Views into this manifest; they end with it, or with the next add().
  [[nodiscard]] std::string_view operation_id(std::size_t index) const;
  [[nodiscard]] const TextHash& text_hash(std::size_t index) const { return hashes_[index]; }
  /// Indices in the order of operation ids, by bytes: what a store merges with its own sorted rows.
  [[nodiscard]] std::vector<std::uint32_t> sorted_by_id() const;

 private:
  std::string ids_;
  std::vector<std::size_t> ends_;
  std::vector<TextHash> hashes_;
};

/// A manifest with the texts. What a Splitter makes of a document.
class OperationList {
 public:
  /// Appends an operation; its hash is computed here, so that it can't differ from its text.
  void add(std::string_view operation_id, std::string_view text);
  /// As Manifest::reserve.
  void reserve(std::size_t operations, std::size_t id_bytes, std::size_t text_bytes);
  [[nodiscard]] const Manifest& manifest() const noexcept { return manifest_; }
  [[nodiscard]] std::size_t size() const noexcept { return manifest_.size(); }
  [[nodiscard]] std::string_view operation_id(std::size_t index) const { return manifest_.operation_id(index); }
  [[nodiscard]] const TextHash& text_hash(std::size_t index) const { return manifest_.text_hash(index); }
  /// A view that ends with this list, or with the next add().
  [[nodiscard]] std::string_view text(std::size_t index) const;

 private:
  Manifest manifest_;
  std::string texts_;
  std::vector<std::size_t> ends_;
};

}  // namespace embedjobs
