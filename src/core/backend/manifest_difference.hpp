// What a finalize has to write: the difference between the stored operations of a spec and its manifest.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "embedjobs/persister.hpp"

namespace embedjobs::core {

struct StoredOperation {
  std::string id;
  TextHash hash{};
};

/// Is given the stored operations piece by piece, so that it never holds more of them than differ.
class ManifestDifference {
 public:
  /// The manifest outlives this. A difference of more than `limit` is not looked at to its end.
  ManifestDifference(const Manifest& manifest, std::size_t limit)
      : manifest_(manifest), limit_(limit), order_(manifest.sorted_by_id()) {}

  /// The next of the stored operations, which come sorted by id, in bytes. `last`: no more follow.
  void add(std::span<const StoredOperation> piece, bool last);

  /// Indices into the manifest of operations that are not stored, or with another text.
  [[nodiscard]] const std::vector<std::uint32_t>& put() const { return put_; }
  /// Ids that are stored and not in the manifest.
  [[nodiscard]] const std::vector<std::string>& deleted() const { return deleted_; }
  [[nodiscard]] std::size_t size() const { return put_.size() + deleted_.size(); }
  [[nodiscard]] bool too_large() const { return size() > limit_; }
  /// Indices into the manifest, sorted by id.
  [[nodiscard]] const std::vector<std::uint32_t>& order() const { return order_; }

 private:
  /// Those of the manifest that come before the stored one; all that are left when there is none.
  void put_until(const StoredOperation* stored);

  const Manifest& manifest_;
  const std::size_t limit_;
  const std::vector<std::uint32_t> order_;
  std::size_t next_ = 0;  // in order_: what has not been looked at yet
  std::vector<std::uint32_t> put_;
  std::vector<std::string> deleted_;
};

}  // namespace embedjobs::core
