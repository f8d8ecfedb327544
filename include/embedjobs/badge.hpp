// What a person sees of a spec and of a catalog: one badge, one banner.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "embedjobs/types.hpp"

namespace embedjobs {

/// Everything that a status row shows of one spec. A count is none where nobody tells it. Of vectors that the host
/// keeps only the last job has counts, and a host's store need not tell about jobs.
struct SpecStatus {
  SpecKey key;
  std::optional<std::int64_t> operation_count;  ///< N.
  std::optional<std::int64_t> embedding_count;  ///< E: visible rows.
  std::optional<std::int64_t> embedded_so_far;  ///< P: operations that the pass under way has a vector for.
  /// The rows are those of today's document. None: nobody tells. The host's persister is asked (`describe`) only where
  /// there is no job, or where the store does not tell.
  std::optional<bool> complete;
  bool job_known = true;  ///< False: the store does not tell about jobs. The members "job_..." mean nothing, and those
                          ///< "while running" neither.
  std::optional<JobStatus> job_status;  ///< None: there is no job.
  std::int64_t job_attempts = 0;
  std::string job_last_error;
  WallTime job_updated_at{};
  WallTime job_next_run_at{};  ///< While pending.
  std::string worker_id;       ///< While running: who holds the job. The next two: since when, and when the lease ends.
  WallTime job_started_at{};
  WallTime lease_expires_at{};
  std::optional<std::string> visible_space_id;  ///< Empty: nothing visible. None: nobody tells.
  bool pause_known = true;                      ///< False: the store does not tell about jobs or about providers.
  std::string provider_pause;  ///< The open job waits: "waiting for provider until 2026-01-31T09:05:00.250Z: why";
                               ///< empty: it does not, or pause_known is false.
};

/// Nobody tells how the spec stands: its badge is "unknown".
[[nodiscard]] bool is_unknown(const SpecStatus& status) noexcept;

enum class Tone : std::int32_t { kMuted = 0, kGreen = 1, kBlue = 2, kAmber = 3, kAmberStrong = 4, kRed = 5 };
std::string_view to_string(Tone tone) noexcept;  ///< "muted", "green", "blue", "amber", "amber-strong", "red"

struct Badge {
  std::string label;
  Tone tone = Tone::kMuted;
  std::string tooltip;
  bool offers_retry = false;  ///< Only a failed spec has a Retry button.
};
/// The badge is that of the first rule that matches. `status` none: it is not loaded yet.
Badge make_badge(const std::optional<SpecStatus>& status);

struct CatalogHealth {
  std::int64_t specs = 0, indexed = 0, pending = 0, running = 0, failed = 0;
  /// Specs of which nobody tells how they stand. They are counted in `specs` and in none of the other counts.
  std::int64_t unknown = 0;
  /// False: the store does not tell about jobs. `pending`, `running` and `failed` then mean nothing.
  bool jobs_known = true;
  /// False: the store does not tell what failed before. `degraded` then looks at jobs alone.
  bool failures_known = true;
  bool degraded = false;  ///< A key fails, retries are queued after errors, or a provider's pause has lasted a day.
  std::string degraded_reason;  ///< One line; empty when not degraded.
};

/// The one line above a list of specs.
struct Banner {
  std::string text;
  Tone tone = Tone::kGreen;
};
/// Zero parts are left out; red when a spec failed, amber when one is not indexed yet. Unknown specs are not in the
/// total; they have a part of their own. Muted when some are unknown and all others are indexed.
Banner make_banner(const CatalogHealth& health);

}  // namespace embedjobs
