// Jobs as people and programs see them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "embedjobs/types.hpp"

namespace embedjobs {

/// One piece of work on one spec, as stored. It may need several passes. Counters "in a row" return to zero whenever a
/// pass makes progress: fewer operations are missing than ever before in this generation.
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
  std::int64_t errors_in_row = 0;
  std::int64_t crashes_in_row = 0;
  WallTime paused_since{};  ///< When the provider's pause began; zero when it does not pause.
  std::string provider;     ///< Of the last claim's worker; empty: not known.
  /// Of all passes of the job, as the provider counted them. See ProviderState::tokens_total for what is not in it.
  std::uint64_t prompt_tokens = 0;
};

/// What an enqueue did.
struct EnqueueResult {
  JobId job_id = 0;
  /// False: a job was open already. It also does the work of the new generation, unless the kind was reconciler.
  bool created = false;
  std::uint64_t generation = 0;
};

/// How far a pass is.
struct Progress {
  std::int64_t operation_count = 0;
  std::int64_t reused = 0;
  std::int64_t embedded = 0;
  std::int64_t missing = 0;  ///< Operations of the document that have no vector yet, set-aside ones not counted.
  /// The total of the pass so far, not what was spent since the last call. When it is higher than every total that this
  /// pass has told before, the store adds the difference to job and provider. So a call that is sent twice counts
  /// nothing twice.
  std::uint64_t prompt_tokens = 0;
};

/// Which jobs to list: those that match every member that is set.
struct JobFilter {
  std::optional<JobStatus> status;
  std::optional<JobKind> kind;
  std::optional<std::string> catalog_id;
  std::optional<std::string> spec_name;
  std::size_t limit = 100;
};

/// Counts over all jobs, for metrics and health.
struct StoreCounts {
  std::int64_t pending = 0, running = 0, succeeded = 0, failed = 0, cancelled = 0;
};

/// A key's record of failures, counted over its jobs.
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
