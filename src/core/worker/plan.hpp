// What a pass has to do: the operations of the document, which are stored, which texts are to be embedded.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "embedjobs/manifest.hpp"

namespace embedjobs::core {

/// The operations of a document with equal texts linked, so that each text is embedded once. Immutable, shared between
/// threads.
class Plan {
 public:
  static constexpr std::uint32_t kNone = UINT32_MAX;

  explicit Plan(OperationList operations);

  [[nodiscard]] const OperationList& operations() const { return operations_; }
  [[nodiscard]] std::size_t size() const { return operations_.size(); }
  /// The first operation, in operation order, with the text of this one.
  [[nodiscard]] bool is_first_of_text(std::uint32_t operation) const { return first_[operation]; }
  /// The next operation with the same text, or kNone.
  [[nodiscard]] std::uint32_t next_of_text(std::uint32_t operation) const { return next_[operation]; }
  /// The first operation with this text.
  [[nodiscard]] std::optional<std::uint32_t> find(const TextHash& hash) const;
  /// How many operations have the text whose first one this is.
  [[nodiscard]] std::int64_t count_of_text(std::uint32_t first) const;

 private:
  OperationList operations_;
  std::vector<std::uint32_t> by_hash_;
  std::vector<std::uint32_t> next_;
  std::vector<bool> first_;
};

}  // namespace embedjobs::core
