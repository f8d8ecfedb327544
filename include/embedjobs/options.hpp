// The options, and what a higher or lower value does.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "embedjobs/status.hpp"

namespace embedjobs {

/// How a worker works. Non-positive values fall back to the default.
struct WorkerOptions {
  /// Jobs at a time in this process. More slots help only when documents are small or the provider can take many calls:
  /// one job already keeps several calls in flight.
  int slots = 1;
  /// Texts per provider call, at most. Larger: fewer round trips. Smaller: a timeout or a crash loses less. The worker
  /// uses a smaller number by itself when the provider is slow.
  int batch_size = 32;
  /// Bytes of text per provider call, at most (one longer text still goes alone).
  long long batch_bytes = 1 << 20;
  /// How long a job stays with a worker that has stopped answering. Shorter: a crash costs less waiting. Longer: a
  /// frozen machine keeps its job. A pass may last any number of leases: the heartbeat renews a lease after a third of
  /// it.
  Duration lease_duration = std::chrono::minutes(10);
  /// Limit of one provider call. On a timeout the batch is halved.
  Duration embed_timeout = std::chrono::minutes(5);
  /// Provider calls in flight over all jobs of this worker. The embedder's own limit wins when it is lower. 0: the
  /// embedder's limit.
  int provider_concurrency = 0;
  /// Calls and prompt tokens per minute of this process. Tokens are estimated, and answers correct the estimate. Set
  /// these below the provider's own limits if it punishes those who reach them. If several processes use the provider,
  /// give each process a part of its limit. 0: no limit.
  long long requests_per_minute = 0;
  long long tokens_per_minute = 0;
  /// Prompt tokens of a UTC day, as the provider counts them, of all processes of this database that use it. When they
  /// are used up, work waits until midnight. That costs no attempt. A day may go over by the calls in flight. 0: no
  /// budget.
  long long daily_token_budget = 0;
  /// Backstop against a hang: a pass without progress for this long ends and is retried.
  Duration safety_bound = std::chrono::hours(1);
  /// A worker that was not notified looks at the queue at least this often.
  Duration fallback_poll = std::chrono::seconds(30);
  /// Shown in job lists; empty: made from host name and process id.
  std::string worker_id;
};

struct MaintenanceOptions {
  Duration reaper_interval = std::chrono::seconds(30);
  Duration reconciler_interval = std::chrono::minutes(5);
  Duration retention_interval = std::chrono::hours(1);
  /// How long jobs that need nobody are kept: succeeded and cancelled ones, and failed ones that were resolved.
  Duration job_retention = std::chrono::hours(24 * 14);
  /// How long vectors that no operation points to are kept for reuse.
  Duration vector_grace = std::chrono::hours(24 * 7);
};

/// Longer leases count as this: the sum of a time and a lease never overflows.
inline constexpr Duration kMaxLease = std::chrono::hours(24 * 365);

/// Rules that a store needs to know.
struct StoreOptions {
  Duration lease_duration = std::chrono::minutes(10);  ///< What a claim stamps. Non-positive: the default.
  std::int64_t max_attempts = 5;  ///< Errors, and crashes, in a row without progress. Non-positive: the default.
};

/// Replaces non-positive values by defaults, and durations of more than ten years by ten years. In place.
void apply_defaults(WorkerOptions& options);
void apply_defaults(MaintenanceOptions& options);
/// The same; a lease is at most kMaxLease.
void apply_defaults(StoreOptions& options);
/// Warnings for a person about options after apply_defaults: for example embed_timeout >= lease_duration.
std::vector<std::string> warnings(const WorkerOptions& options);

}  // namespace embedjobs
