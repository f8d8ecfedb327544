// The words of the domain as plain values: keys, jobs, fences, leases.
#pragma once

#include <array>
#include <chrono>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "embedjobs/status.hpp"

namespace embedjobs {

/// A moment of the wall clock, for people and for due times. Never used to decide whether a lease has ended.
using WallTime = std::chrono::time_point<std::chrono::system_clock, Duration>;

/// RFC 3339 in UTC with milliseconds, for example "2026-01-31T09:05:00.250Z".
std::string format_rfc3339(WallTime time);

/// Names one document. Both parts are non-empty UTF-8 without control characters, at most 512 bytes each.
struct SpecKey {
  std::string catalog_id;
  std::string spec_name;
  friend auto operator<=>(const SpecKey&, const SpecKey&) = default;
};

/// Checks the rules of SpecKey. kInvalidArgument says which part breaks which.
Status validate(const SpecKey& key);
/// Checks a catalog's name by the same rules.
Status validate_catalog_id(std::string_view catalog_id);

/// The SHA-256 of a text's UTF-8 bytes: the address of its vector within (catalog, space).
using TextHash = std::array<std::uint8_t, 32>;
TextHash hash_text(std::string_view text);
/// 64 lower-case hexadecimal digits.
std::string to_hex(const TextHash& hash);

/// The right to write for a key. Every claim raises `counter`; nothing lowers it. The claimer draws `nonce` at random
/// before it claims. So two holders differ even where a database that failed over gave the same counter twice.
/// A store compares both for equality. A host that persists asks accepts().
struct Fence {
  std::uint64_t counter = 0;
  std::uint64_t nonce = 0;  ///< Never zero for a real fence.
  friend constexpr bool operator==(const Fence&, const Fence&) = default;
};

/// The fence check of a host that persists. `stored` is the last fence that it accepted for the key; Fence{} where there
/// is none yet. `given` came with the call. True: the caller may write, and the host stores `given` in the same
/// transaction. False: the holder is stale; answer kLeaseLost and change nothing.
[[nodiscard]] constexpr bool accepts(const Fence& stored, const Fence& given) noexcept {
  return given.nonce != 0 && (given.counter > stored.counter || given == stored);
}

using JobId = std::int64_t;

/// Why a job exists. Numbers are stable and stored.
enum class JobKind : std::int32_t {
  kSpecWrite = 0,    ///< The document was written.
  kReconciler = 1,   ///< The reconciler found a gap. Yields to the other kinds.
  kManualRetry = 2,  ///< A person asked for everything to be embedded afresh.
};

/// Where a job stands. Numbers are stable and stored. Pending and running are "open"; a key has at most one open job.
enum class JobStatus : std::int32_t { kPending = 0, kRunning = 1, kSucceeded = 2, kFailed = 3, kCancelled = 4 };

std::string_view to_string(JobKind kind) noexcept;      ///< "spec_write", "reconciler", "manual_retry"
std::string_view to_string(JobStatus status) noexcept;  ///< "pending", "running", "succeeded", "failed", "cancelled"
/// The inverse of to_string; none for any other word.
std::optional<JobKind> parse_job_kind(std::string_view text) noexcept;
std::optional<JobStatus> parse_job_status(std::string_view text) noexcept;

[[nodiscard]] constexpr bool is_open(JobStatus status) noexcept {
  return status == JobStatus::kPending || status == JobStatus::kRunning;
}
/// 0 is claimed before 1. Edits and manual retries go before the reconciler.
[[nodiscard]] constexpr int priority_of(JobKind kind) noexcept {
  return kind == JobKind::kReconciler ? 1 : 0;
}

/// One pass over a spec for a generation, as stored. Counters "in a row" return to zero whenever the pass makes
/// progress, that is whenever fewer operations are missing than ever before in this generation.
struct Job {
  JobId id = 0;
  SpecKey key;
  JobKind kind = JobKind::kSpecWrite;
  JobStatus status = JobStatus::kPending;
  int priority = 0;
  std::int64_t attempts = 0;    ///< Claims of this generation that count.
  std::string last_error;       ///< Empty when the last pass had none.
  WallTime next_run_at{};       ///< Pending: not claimed before.
  std::string worker_id;        ///< Running: who holds it.
  WallTime lease_expires_at{};  ///< Running: for people. The store decides expiry by its own clock.
  WallTime created_at{};
  WallTime updated_at{};             ///< The last transition or progress.
  WallTime started_at{};             ///< The last claim; zero when never claimed.
  WallTime completed_at{};           ///< Zero while open.
  std::int64_t embedded_so_far = 0;  ///< Operations of this pass whose vector is stored: reused and new.
  std::int64_t reused_count = 0;     ///< Operations whose vector was stored before this pass.
  std::int64_t embedded_count = 0;   ///< Operations that this pass gave a vector.
  std::int64_t operation_count = 0;  ///< Operations of the document of this pass; 0 until it is split.
  std::uint64_t generation = 0;      ///< Of the key, as claimed; as enqueued while pending.
  Fence fence;                       ///< Of the last claim; nonce 0 when never claimed.
  bool settled = false;              ///< The last claim was ended by its holder (not by expiry or removal).
  std::uint64_t epoch = 0;           ///< The store's epoch at the last claim: stamped on the vectors of the pass.
  std::int64_t errors_in_row = 0;
  std::int64_t crashes_in_row = 0;
  std::int64_t releases_in_row = 0;
  std::int64_t crashes = 0;        ///< All crashes of this generation. From the first on, texts in flight are recorded.
  bool records_in_flight = false;  ///< The current pass records what it has in flight before it sends it.
  std::int64_t fewest_missing = -1;  ///< The fewest operations ever missing in this generation; -1: not known yet.
  bool progressed = false;           ///< The current pass has made progress.
  WallTime paused_since{};           ///< When the provider's pause began; zero when it does not pause.
  std::string provider;              ///< Of the last claim's worker; empty: not known.
  std::uint64_t prompt_tokens =
      0;  ///< Of all passes of the job, as the provider counted them; see ProviderState::tokens_total.
  std::uint64_t pass_prompt_tokens = 0;  ///< Those of the last pass alone.
};

/// The part of a spec that outlives its jobs and its removal.
struct KeyState {
  std::uint64_t generation = 0;     ///< Raised by every enqueue, edit, manual retry and removal.
  std::uint64_t fence_counter = 0;  ///< Raised by every claim, never reset.
  std::uint64_t holder_nonce = 0;   ///< Nonce of the current fence; 0: nobody holds the key.
  std::uint64_t reuse_floor = 0;    ///< Only vectors of this epoch or a later one may be reused (manual retry); 0: any.
  bool removed = false;             ///< The tombstone.
};

/// A key's record of failing, counted over jobs.
struct Failure {
  SpecKey key;
  std::int64_t occurrences = 0;  ///< Since the last success.
  WallTime first_failed_at{};
  WallTime last_failed_at{};
  std::string last_error;
  WallTime last_success_at{};  ///< Zero: never.
  bool resolved = false;       ///< By a later success, or by an operator.
};

}  // namespace embedjobs
