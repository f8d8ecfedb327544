// Limits that hold whatever the backend is.
#pragma once

#include <cstddef>

namespace embedjobs {

/// A catalog's name, a spec's name, a provider's name, a worker's id: each at most this long.
inline constexpr std::size_t kMaxNameBytes = 512;
/// How an embedder is named, with its options.
inline constexpr std::size_t kMaxEmbedderBytes = 4096;
/// A document that the library keeps is at most this long.
inline constexpr std::size_t kMaxDocumentBytes = std::size_t{64} << 20;

}  // namespace embedjobs
