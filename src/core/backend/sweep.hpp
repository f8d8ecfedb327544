// The sweep's rules, the same in every database: in what order rows are looked at, where a call goes on, and what
// becomes of a vector that nothing points to. A backend says how each step is done.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "embedjobs/types.hpp"

namespace embedjobs::core {

/// "m ID" while manifests are looked at, "v SPACE HASH" while vectors are; empty at the start of a round.
struct SweepCursor {
  bool vectors = false;
  std::int64_t id = 0;  ///< Of the last manifest, or the space of the last vector.
  std::string hash;     ///< Of the last vector, raw bytes.

  [[nodiscard]] std::string to_text() const;
  /// What can't be read is the start of a round.
  static SweepCursor parse(std::string_view text);
};

struct SweptManifest {
  std::int64_t id = 0;
  bool unused = false;
};

struct SweptVector {
  std::int64_t space_id = 0;
  TextHash hash{};
  WallTime since{};  ///< Marked as unused; 0: it is not.
  bool used = false;
  std::int64_t data_id = 0;  ///< Of the backend's own.
};

/// One call of Catalog::sweep, in one transaction. Nobody makes anything point to a vector meanwhile.
class Sweep {
 public:
  Sweep(Duration grace, std::size_t limit, WallTime now) : grace_(grace), left_(limit), now_(now) {}
  virtual ~Sweep() = default;
  Sweep(const Sweep&) = delete;
  Sweep& operator=(const Sweep&) = delete;

  /// Looks at so many rows at most: how many it were. 0: the round is over.
  std::size_t run();

 protected:
  [[nodiscard]] WallTime now() const noexcept { return now_; }

 private:
  virtual std::string load_cursor() = 0;
  virtual void save_cursor(const std::string& text) = 0;
  virtual void begin_round(std::size_t limit) = 0;
  /// In the order of their ids.
  virtual std::vector<SweptManifest> manifests_after(std::int64_t id, std::size_t limit) = 0;
  virtual void mark_replaced(std::int64_t manifest_id) = 0;
  /// How many were there; at most `limit` are deleted.
  virtual std::size_t delete_operations(std::int64_t manifest_id, std::size_t limit) = 0;
  /// False: an error.
  virtual bool delete_manifest(std::int64_t manifest_id) = 0;
  /// In the order of space and hash.
  virtual std::vector<SweptVector> vectors_after(std::int64_t space_id, const std::string& hash, std::size_t limit) = 0;
  virtual void unmark(const std::vector<SweptVector>& used) = 0;
  virtual void mark(const std::vector<SweptVector>& unused) = 0;  ///< With now().
  virtual void remove(const std::vector<SweptVector>& unused) = 0;

  void sweep_manifests();
  bool sweep_manifest(std::int64_t id);
  bool sweep_vectors();

  const Duration grace_;
  std::size_t left_;
  const WallTime now_;
  SweepCursor cursor_;
};

}  // namespace embedjobs::core
