// The texts of one provider call.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "core/worker/batch_size.hpp"
#include "embedjobs/embedder.hpp"
#include "embedjobs/manifest.hpp"

namespace embedjobs::core {

/// A text of a batch.
struct BatchText {
  std::uint32_t operation = 0;  ///< The first operation with the text.
  std::size_t cut = 0;          ///< Embed at most this many bytes; 0: as the provider's input cap says.
};

/// The texts of one provider call.
struct Batch {
  std::uint64_t id = 0;
  std::vector<BatchText> texts;
  bool alone = false;     ///< A suspect: nothing else of this process may be in flight beside it.
  std::size_t bytes = 0;  ///< Sent of all texts; set when it is taken.
  bool full_by_bytes = false;

  [[nodiscard]] CallSize size() const { return {texts.size(), bytes, full_by_bytes, is_cut()}; }
  /// Its one text was refused when it was longer.
  [[nodiscard]] bool is_cut() const { return texts.size() == 1 && texts.front().cut != 0; }
};

struct EmbeddedBatch {
  Batch batch;
  Matrix vectors;
};

/// Its first and its last operation, for a message: "operations 3 to 4 of 5 (op2 ... op3)".
std::string describe(const OperationList& operations, const Batch& batch);

}  // namespace embedjobs::core
