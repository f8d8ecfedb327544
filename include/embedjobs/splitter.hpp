// A document to operations, and a host's own way from a document to persisted chunks.
#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>

#include "embedjobs/manifest.hpp"
#include "embedjobs/persister.hpp"

namespace embedjobs {

/// Cuts a document into its embeddable parts. Pure: the same content gives the same list. Thread-safe.
class Splitter {
 public:
  virtual ~Splitter() = default;
  /// kInvalidDocument, with the place in the message, when the content can't be read. Operation ids of the answer are
  /// unique.
  virtual Result<OperationList> split(std::string_view content) const = 0;
  /// Changes whenever the same content may give other ids or texts, for example "openapi/1". The reconciler re-splits
  /// on a change.
  [[nodiscard]] virtual std::string version() const = 0;
};

/// What a host's computer gets. All members are valid until compute() returns.
struct ComputeRequest {
  std::string_view content;
  SpecKey key;
  Space space;
  Fence fence;                 ///< Of the pass, for what a host writes elsewhere by itself.
  std::size_t batch_size = 0;  ///< Texts of one provider call, at most; at least 1.
  std::stop_token stop;        ///< Requested: the lease is lost or the worker stops. Return kCancelled within a second.
  /// Which operations are stored already and need no new vector: answer[i] for wanted[i]. After a manual retry older
  /// vectors do not count.
  std::function<Result<std::vector<bool>>(const Manifest& wanted)> list_existing;
  /// Reports how many operations are done, and the total. `done` never decreases. Call it first with the number of
  /// reused operations. It only records, and never makes the pass fail.
  std::function<void(std::size_t done, std::size_t total)> progress;
  /// Hands over one finished chunk. When it returns success the chunk is durable. kLeaseLost: return it at once.
  /// One call at a time.
  std::function<Status(std::span<const VectorRow> rows)> persist_batch;
};

/// A host's own compute: content to persisted chunks and a manifest. Runs as one blocking call on a library thread, and
/// replaces splitter and embedder of the built-in pass. The manifest names every operation of the document, reused or
/// new.
class EmbeddingComputer {
 public:
  virtual ~EmbeddingComputer() = default;
  virtual Result<Manifest> compute(ComputeRequest& request) = 0;
  /// As Splitter::version.
  [[nodiscard]] virtual std::string version() const = 0;
  /// The space of the vectors it persists.
  virtual Result<Space> space() = 0;
};

}  // namespace embedjobs
