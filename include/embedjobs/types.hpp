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

/// The fence check of a host that persists. `stored` is the last fence that it accepted for the key; Fence{} where
/// there is none yet. `given` came with the call. True: the caller may write, and the host stores `given` in the same
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

}  // namespace embedjobs
