// Where vectors live. The built-in backends implement it over their database; a host may bring its own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "embedjobs/manifest.hpp"
#include "embedjobs/space.hpp"
#include "embedjobs/types.hpp"

namespace embedjobs {

/// Who writes, and for what. All but content_version and prompt_tokens are the same for every call of a pass.
struct PassContext {
  SpecKey key;
  JobId job_id = 0;
  Fence fence;
  std::uint64_t generation = 0;   ///< Of the key, as claimed.
  Space space;                    ///< Of the vectors.
  std::uint64_t epoch = 0;        ///< Stamped on the vectors that this pass computes.
  std::uint64_t reuse_floor = 0;  ///< See may_reuse.
  std::size_t input_cap = 0;    ///< The embedder cuts longer texts to this many bytes; 0: it cuts none. See may_reuse.
  std::string content_version;  ///< Of the document that was resolved. Empty in list_existing before it is known.
  std::string splitter_version;
  /// The total of the pass so far, as in Progress. A persister over the store's own database counts it in the
  /// transaction that stores the vectors. Other persisters leave it alone.
  std::uint64_t prompt_tokens = 0;
};

/// One operation's vector, on its way to storage. Views live until the call returns.
struct VectorRow {
  std::string_view operation_id;
  TextHash text_hash{};            ///< Always of the full text.
  std::span<const float> vector;   ///< Finite, non-zero, of the space's dimension: checked by the library.
  std::size_t embedded_bytes = 0;  ///< 0: the whole text. Else how many of its bytes were embedded.
  std::size_t input_cap = 0;       ///< With embedded_bytes: the cap under which the text was cut. See may_reuse.
};

/// What a persister keeps beside a vector, so that it can ask may_reuse. It keeps vectors by PassContext::space, too: a
/// vector of another space is never reused.
struct VectorMark {
  std::uint64_t epoch = 0;         ///< PassContext::epoch of the pass that stored the vector.
  std::size_t embedded_bytes = 0;  ///< VectorRow::embedded_bytes.
  std::size_t input_cap = 0;       ///< VectorRow::input_cap.
};

/// May the pass use this stored vector, and not embed its text again? The rule for list_existing and for finalize.
///
/// No, when a person asked for fresh vectors (a manual retry) and this one is older.
/// Yes, when the whole text was embedded.
/// A text that was cut has two more cases. Yes, when today's cap is the one that it was cut under. Yes, when today's
/// cap allows no more bytes than were embedded. Otherwise no: today more bytes may be embedded, so the text is embedded
/// again.
[[nodiscard]] constexpr bool may_reuse(std::uint64_t reuse_floor, std::size_t input_cap,
                                       const VectorMark& row) noexcept {
  if (row.epoch < reuse_floor) {
    return false;
  }
  const bool whole = row.embedded_bytes == 0;
  const bool no_more_allowed = input_cap != 0 && input_cap <= row.embedded_bytes;
  return whole || row.input_cap == input_cap || no_more_allowed;
}
[[nodiscard]] inline bool may_reuse(const PassContext& pass, const VectorMark& row) noexcept {
  return may_reuse(pass.reuse_floor, pass.input_cap, row);
}

/// What a persister knows about a spec, for the reconciler.
struct SpecState {
  SpecKey key;
  bool complete = false;  ///< A manifest was finalized.
  std::string space_id;   ///< Of the finalized manifest.
  std::string content_version;
  std::string splitter_version;
};

/// What a pass may do about a text whose vector it can't reuse.
enum class Reservation : std::int32_t {
  kMine = 0,       ///< Embed it: no other pass of the catalog will while this one holds its lease.
  kStored = 1,     ///< Its vector was stored meanwhile, and may be reused.
  kElsewhere = 2,  ///< Another pass, whose lease holds, is about to embed it. Ask again later.
};

/// Thread safety: called from library threads; never two persist_batch or finalize calls at once for the same key. No
/// library lock is held during a call. An exception that leaves a method becomes kInternal.
///
/// Fencing: every call carries the fence. An implementation checks it in the transaction that writes, answers
/// kLeaseLost to a stale one and changes nothing then. The effect on vectors is exactly once only if fence and rows
/// commit together.
///
/// The same call may arrive twice, because its first answer was lost. The second one must find the effect of the first
/// and succeed. kLeaseLost ends the pass. kFailed fails the job. After any other error persist_batch and finalize are
/// tried again soon, in the same pass. All calls are tried again by later passes.
class Persister {
 public:
  virtual ~Persister() = default;
  /// Which operations of `wanted` have a vector that may be reused, in the context's space: answer[i] for wanted[i]. A
  /// persister that addresses vectors by content says yes for any text that it holds. A persister that addresses them
  /// by operation id says yes only for the same id with the same hash.
  virtual Result<std::vector<bool>> list_existing(const PassContext& context, const Manifest& wanted) = 0;
  /// Called before texts are embedded. So two passes of a catalog at the same time do not both pay for a text that they
  /// share. Answer[i] is for texts[i]; all texts are different. `given_up` are texts that the pass reserved and will
  /// not embed after all. A reservation ends when the vector is stored, when it is given up, or when the pass's fence
  /// is no longer current. The default gives every text to the pass (kMine).
  virtual Result<std::vector<Reservation>> reserve(const PassContext& context, std::span<const TextHash> texts,
                                                   std::span<const TextHash> given_up);
  /// Adds or replaces rows (an upsert); others stay. The rows are visible at once if the spec's visible rows are in
  /// this space, or if it has none yet. Otherwise they become visible with finalize. Several operations may share a
  /// text. Empty: nothing to do, but the fence is checked. kNotFound: the spec does not exist.
  virtual Status persist_batch(const PassContext& context, std::span<const VectorRow> rows) = 0;
  /// Makes the spec's visible rows exactly `manifest`, in the context's space. It touches only rows that differ. It
  /// also records the operation count, the content version and the splitter version. kIncomplete, with nothing visible
  /// changed, when the vector of a text is not stored.
  virtual Status finalize(const PassContext& context, const Manifest& manifest) = 0;
  /// What is finalized for `keys`: answer[i] for keys[i]. kRefused (the default): this persister can't tell. The
  /// reconciler then leaves its specs alone, and a status knows only what jobs tell.
  virtual Result<std::vector<SpecState>> describe(std::span<const SpecKey> keys);
};

}  // namespace embedjobs
