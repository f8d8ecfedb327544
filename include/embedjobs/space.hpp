// A space: everything that makes vectors comparable. Vectors of different spaces are never compared.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "embedjobs/status.hpp"

namespace embedjobs {

/// Equal spaces have equal `id`. Two embedders whose vectors may be compared must produce the same id; any difference
/// that changes vectors (model, dimension, prefix, normalisation, version of an algorithm) must be in it.
struct Space {
  std::string model;          ///< As the provider calls it, for example "hashing" or "nomic-embed-text".
  std::size_t dimension = 0;  ///< Floats a vector, 1 to 65,536.
  std::string variant;        ///< What else matters, for example "v1" or "prefix=search_document"; may be empty.

  /// "512/hashing" or "768/nomic-embed-text?prefix=search": dimension/model?variant, what stores record and people see.
  [[nodiscard]] std::string id() const;
  friend bool operator==(const Space&, const Space&) = default;
};

/// The inverse of Space::id(). kInvalidArgument when `id` is not one.
Result<Space> parse_space(std::string_view id);
/// Model non-empty and without '?', no control characters, at most 256 bytes a part, dimension in range.
Status validate(const Space& space);

}  // namespace embedjobs
