// May a stored vector be used instead of embedding its text again? The same rule for list_existing and finalize, in
// every backend.
#pragma once

#include <cstddef>
#include <cstdint>

#include "embedjobs/persister.hpp"

namespace embedjobs::core {

/// What a backend keeps beside a vector.
struct VectorMark {
  std::uint64_t epoch = 0;
  std::size_t embedded_bytes = 0;  ///< 0: the whole text.
  std::size_t input_cap =
      0;  ///< With embedded_bytes: the cap under which it was cut; 0: none, the model itself refused more.
};

/// False for a vector that is older than a manual retry allows, and for one of a text that was cut under another cap
/// than today's, to fewer bytes than today's allows: when the cap is raised, lifted or given for the first time, cut
/// texts are embedded once more. Under the same cap a cut stands, also one that the model asked for.
[[nodiscard]] constexpr bool may_reuse(const VectorMark& mark, std::uint64_t reuse_floor,
                                       std::size_t input_cap) noexcept {
  if (mark.epoch < reuse_floor) {
    return false;
  }
  const bool whole = mark.embedded_bytes == 0;
  const bool as_long_as_allowed = input_cap != 0 && input_cap <= mark.embedded_bytes;
  return whole || mark.input_cap == input_cap || as_long_as_allowed;
}

[[nodiscard]] inline bool may_reuse(const VectorMark& mark, const PassContext& context) noexcept {
  return may_reuse(mark, context.reuse_floor, context.input_cap);
}

}  // namespace embedjobs::core
