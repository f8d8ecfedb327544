// The embedder that needs no model: for trying things and for tests. It compares spelling, not meaning.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "embedjobs/embedder.hpp"

namespace embedjobs {

struct HashingOptions {
  std::size_t dimension = 512;
  Duration delay{0};     ///< Each call waits this long. A stop request or the time limit ends the wait.
  std::string log_file;  ///< Each call appends a line before it answers: time, number of texts, their hashes in hex.
  std::size_t concurrent_calls = 16;
};

/// Signed feature hashing of words, word pairs and character n-grams, L2-normalised. The space is "DIM/hashing?v1".
/// Two texts are near when they share words or parts of words; "delete" and "remove" are not near.
Result<std::shared_ptr<Embedder>> make_hashing_embedder(const HashingOptions& options);

}  // namespace embedjobs
