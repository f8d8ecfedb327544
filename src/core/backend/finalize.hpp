// The end of a pass, the same in every database: the spec's visible rows become exactly its manifest, and nothing that
// is equal is written.
//
// Reading comes first, in pieces and without a write lock: only the holder of the fence writes the spec's manifests,
// and every write looks at the fence again. A small difference is then applied in one transaction; a large one becomes
// a new manifest beside the old one, in pieces that nobody sees, and a short transaction that flips to it. A backend
// says how each step is done.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/backend/manifest_difference.hpp"
#include "core/backend/manifest_row.hpp"

namespace embedjobs::core {

/// One call of Persister::finalize. Every step is a transaction of its own, and looks at the fence.
class Finalize {
 public:
  /// Both outlive this.
  Finalize(const PassContext& context, const Manifest& manifest);
  virtual ~Finalize() = default;
  Finalize(const Finalize&) = delete;
  Finalize& operator=(const Finalize&) = delete;

  Status run();

 protected:
  [[nodiscard]] const PassContext& context() const noexcept { return context_; }
  [[nodiscard]] const Manifest& manifest() const noexcept { return manifest_; }
  [[nodiscard]] const ManifestDifference& difference() const noexcept { return difference_; }
  /// The texts of operations, by their places in the manifest.
  [[nodiscard]] std::vector<TextHash> texts_of(std::span<const std::uint32_t> operations) const;
  /// kIncomplete for the first one without a vector; `stored[i]` is of `operations[i]`.
  [[nodiscard]] Status check_stored(std::span<const std::uint32_t> operations, const std::vector<bool>& stored) const;
  /// The live manifest says all that this one would.
  [[nodiscard]] bool is_unchanged(const ManifestRow& live) const;

 private:
  /// Which texts have a vector that the pass may reuse.
  virtual Result<std::vector<bool>> stored(const std::vector<TextHash>& texts) = 0;
  /// The live manifest in the pass's space; 0: there is none.
  virtual Result<std::int64_t> find_live() = 0;
  /// Its next operations in the order of their ids, kReadPieceRows at most; from the first one where `after` is null.
  virtual Result<std::vector<StoredOperation>> operations_after(std::int64_t manifest_id, const std::string* after) = 0;
  /// Writes difference() into the live manifest, which is still `live`, and shows it.
  virtual Status apply(std::int64_t live) = 0;
  /// Begins a manifest that nobody sees. What an earlier call began is dropped.
  virtual Result<std::int64_t> begin_building() = 0;
  virtual Status build(std::int64_t building, std::span<const std::uint32_t> operations) = 0;
  /// Shows it in the place of the live one.
  virtual Status flip(std::int64_t building) = 0;

  Status check_vectors();
  Status compare(std::int64_t live);
  Status rebuild();
  [[nodiscard]] Status incomplete(std::uint32_t first, std::size_t count) const;

  const PassContext& context_;
  const Manifest& manifest_;
  ManifestDifference difference_;
};

}  // namespace embedjobs::core
