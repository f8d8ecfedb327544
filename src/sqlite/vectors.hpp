// Vectors by content: (space, SHA-256 of the full text).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "embedjobs/persister.hpp"
#include "sqlite/connection.hpp"

namespace embedjobs::sqlite {

/// Probes many hashes with one statement. Reads the addresses alone, no vector; fastest in the order of hashes.
class VectorProbe {
 public:
  VectorProbe(Connection& connection, std::int64_t space_id, const PassContext& context);
  /// Whether the text has a vector that the pass may reuse.
  bool reusable(const TextHash& hash);

 private:
  Query query_;
  std::int64_t space_id_;
  const PassContext& context_;
};

/// Which texts have a vector that the pass may reuse: answer[i] for texts[i].
std::vector<bool> reusable(Connection& connection, std::int64_t space_id, const PassContext& context,
                           std::span<const TextHash> texts);

/// Writes the vectors of chunks.
class VectorWriter {
 public:
  VectorWriter(Connection& connection, std::int64_t space_id, const PassContext& context);
  /// Adds it, or replaces the stored one unless that is of a later epoch.
  void put(const VectorRow& row);

 private:
  void replace(const VectorRow& row);

  Connection& connection_;
  std::int64_t space_id_;
  const PassContext& context_;
  std::int64_t next_id_ = 0;
};

/// An operation points to the text again: its vector is not swept for now.
void mark_referenced(Connection& connection, std::int64_t space_id, const TextHash& hash);

/// The bytes of a vector as they are stored, float32 little-endian. `buffer` holds them where they differ from those in
/// memory.
Blob to_stored(std::span<const float> vector, std::vector<float>& buffer);
/// False when the blob is not of `dimension` floats.
bool from_stored(std::span<const std::uint8_t> blob, std::size_t dimension, std::vector<float>& vector);

}  // namespace embedjobs::sqlite
