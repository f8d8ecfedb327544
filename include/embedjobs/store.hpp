// Where jobs live: a durable queue with leases and fences.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "embedjobs/fleet.hpp"
#include "embedjobs/options.hpp"
#include "embedjobs/provider.hpp"
#include "embedjobs/space.hpp"
#include "embedjobs/types.hpp"

namespace embedjobs {

struct EnqueueResult {
  JobId job_id = 0;
  bool created =
      false;  ///< False: a job was open already (and, unless the kind was reconciler, will serve the new generation).
  std::uint64_t generation = 0;
};

/// A text that was in flight when a worker died.
struct Suspect {
  TextHash text_hash{};
  int alone = 0;           ///< Crashes at which it was in flight alone.
  bool set_aside = false;  ///< It is the cause, as far as can be told: not sent again in this generation.
};

struct ClaimRequest {
  std::string worker_id;  ///< Unique to one worker slot owner; shown to people.
  std::size_t max_jobs = 1;
  std::size_t by_age = 0;  ///< How many of max_jobs are chosen by due time alone, so that low priorities do not starve.
  std::uint64_t nonce = 0;  ///< Random, non-zero, new for each claim. The same claim sent again finds its own effect.
  std::string
      space_id;  ///< Only catalogs whose target space is this one, or not chosen yet (this claim then chooses it).
  std::string
      provider;  ///< Whose prompt tokens the passes report; empty: nobody's, they are counted for the job alone.
};

/// The right to run a job until a time, with what the pass must know.
struct Lease {
  Job job;
  std::uint64_t reuse_floor = 0;
  std::vector<Suspect> suspects;  ///< The one that was alone most often first: send them alone, in this order.
};

struct ClaimResult {
  std::vector<Lease> leases;
  std::size_t expired = 0;  ///< Expired leases that this call put back (or failed) first.
  std::size_t other_space =
      0;  ///< Due jobs that were left because their catalog has another target space; as far as was looked.
  std::string other_space_example;  ///< "catalog_id has target space ..." for one of them.
};

/// What a waiting worker looks at. Cheap: index look-ups. Only catalogs whose target space is the one asked for (or not
/// chosen) count, except for `enqueue_counter` and `other_space`.
struct Peek {
  std::uint64_t enqueue_counter = 0;  ///< Moves with every enqueue by anyone.
  std::optional<Duration> next_due;   ///< From now until a job can be claimed (due, or its lease expired); zero: now.
  std::optional<Duration> next_pending_due;  ///< The same for pending jobs alone.
  bool running = false;                      ///< Some job is running, anywhere.
  bool urgent_waiting = false;               ///< A pending job of priority 0 is due.
  bool other_space = false;  ///< An open job belongs to a catalog of another target space. Of very many jobs only the
                             ///< oldest are looked at.
};

/// What a holder shows to act on its lease.
struct LeaseRef {
  JobId job_id = 0;
  SpecKey key;
  Fence fence;
};

struct Progress {
  std::int64_t operation_count = 0;
  std::int64_t reused = 0;
  std::int64_t embedded = 0;
  std::int64_t missing = 0;  ///< Operations of the document that have no vector yet, set-aside ones not counted.
  std::uint64_t prompt_tokens =
      0;  ///< Of the pass so far. What is above the most that it told before is added to job and provider.
};

/// How a pass ends.
enum class OutcomeKind : std::int32_t { kComplete = 0, kRetry = 1, kFail = 2, kRelease = 3 };
enum class ReleaseReason : std::int32_t {
  kStop = 0,   ///< The worker stops.
  kYield = 1,  ///< An urgent job waits.
  kPause = 2,  ///< The provider's pause outlasts a lease. Never costs an attempt.
};

struct Outcome {
  OutcomeKind kind = OutcomeKind::kComplete;
  std::string error;  ///< For people: why it did not complete.
  ReleaseReason reason = ReleaseReason::kStop;
  Duration delay{0};                 ///< kRelease: not due before. At most 1 h.
  double jitter = 0;                 ///< In [0, 1): spreads the backoff of kRetry.
  bool retry_at_once = false;        ///< kRetry: due now, without backoff (the document changed under the pass).
  std::optional<Progress> progress;  ///< The pass's last counts, written with the outcome.
};

/// One call of Store::settle among many.
struct Settlement {
  LeaseRef lease;
  Outcome outcome;
};
/// One call of Store::progress among many.
struct ProgressReport {
  LeaseRef lease;
  Progress progress;
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

/// Durable queue. Every call that returns success has committed. Thread-safe; calls block for the database and for
/// nothing else.
///
/// Any error other than kLeaseLost, kNotFound, kInvalidArgument, kRefused and kUnusable leaves open whether the call
/// took effect: send the same call again, it finds its own effect.
class Store {
 public:
  virtual ~Store() = default;

  /// Raises the key's generation and makes sure that a job is open. A pending job gets the better priority and becomes
  /// due now; a running one is pending again when its pass ends. kReconciler never touches an open job or a removed
  /// key. A key that is new, or was removed, is made (again): whether its document exists is the resolver's to say.
  virtual Result<EnqueueResult> enqueue(const SpecKey& key, JobKind kind) = 0;
  /// The same for many: answer[i] for keys[i]; a key that is there twice counts once. An error of one leaves the others
  /// alone. Here: one call each. A backend that can makes it one transaction, and any error then is that of all; the
  /// jobs' order is that of the keys.
  virtual std::vector<Result<EnqueueResult>> enqueue_all(std::span<const SpecKey> keys, JobKind kind);

  /// A generation with a tombstone: revokes the lease, cancels the open job. For hosts that keep documents themselves;
  /// Catalog::remove does this and clears the document and its rows in the same transaction. kNotFound when the key is
  /// unknown or removed already.
  virtual Status remove_key(const SpecKey& key) = 0;

  /// Puts back what has expired, then leases due jobs: by priority, then due time, then id. Never waits for another
  /// claimer.
  virtual Result<ClaimResult> claim(const ClaimRequest& request) = 0;

  /// Extends leases; answer[i] is false when lease i is lost. `lease_duration` <= 0: the store's own.
  /// Waits for no writer longer than `time_limit`.
  virtual Result<std::vector<bool>> renew(std::span<const LeaseRef> leases, Duration lease_duration,
                                          Duration time_limit) = 0;

  /// Publishes counts and resets the counters in a row when fewer operations are missing than ever before. kLeaseLost
  /// for a stale holder.
  virtual Status progress(const LeaseRef& lease, const Progress& progress) = 0;
  /// The same for many leases, each once: answer[i] for reports[i]. As enqueue_all.
  virtual std::vector<Status> progress_all(std::span<const ProgressReport> reports);

  /// Replaces the record of what the pass has in flight: `sent` is in flight now, `answered` came back since the last
  /// call.
  virtual Status record_in_flight(const LeaseRef& lease, std::span<const TextHash> sent,
                                  std::span<const TextHash> answered) = 0;

  /// Ends the pass. Whatever the outcome, the job is pending again at once with fresh budgets when the key's generation
  /// is newer than the one claimed. Returns the status that the job has then. kLeaseLost for a stale holder.
  virtual Result<JobStatus> settle(const LeaseRef& lease, const Outcome& outcome) = 0;
  /// The same for many leases, each once: answer[i] for settlements[i]. As enqueue_all.
  virtual std::vector<Result<JobStatus>> settle_all(std::span<const Settlement> settlements);

  /// The backstop: puts back (or fails) up to `limit` jobs whose lease has ended. Re-checks status, fence and expiry.
  /// Returns how many.
  virtual Result<std::size_t> reap(std::size_t limit) = 0;

  virtual Result<Peek> peek(std::string_view space_id) = 0;

  virtual Result<Job> get(JobId id) = 0;
  /// Newest first.
  virtual Result<std::vector<Job>> list(const JobFilter& filter) = 0;
  /// The last job of each key, open or not; answer[i] for keys[i], none where there never was one or it was purged.
  virtual Result<std::vector<std::optional<Job>>> last_jobs(std::span<const SpecKey> keys) = 0;
  virtual Result<StoreCounts> counts() = 0;

  /// Unresolved failures, most recent first; all of `catalog_id` or of every catalog.
  virtual Result<std::vector<Failure>> failures(std::optional<std::string> catalog_id, std::size_t limit) = 0;
  /// Answer[i] for keys[i]; occurrences 0 where there is none.
  virtual Result<std::vector<Failure>> failures_of(std::span<const SpecKey> keys) = 0;
  /// An operator says that it is dealt with. kNotFound when there is none.
  virtual Status resolve_failure(const SpecKey& key) = 0;

  /// Deletes up to `limit` succeeded, cancelled and resolved failed jobs that ended before `now - age`; the newest job
  /// of a key that failed stays. Returns how many. A backend that keeps its history by days (PostgreSQL) may drop a
  /// whole day at once, more than `limit` then, and with an age of a day or more drops whole days (UTC) alone.
  virtual Result<std::size_t> purge(Duration age, std::size_t limit) = 0;

  /// What is remembered of a provider; all zero for one that nothing was noted of.
  virtual Result<ProviderState> provider_state(std::string_view provider) = 0;
  virtual Status note_provider(std::string_view provider, const ProviderNote& note) = 0;
  /// All that something is known of, by name.
  virtual Result<std::vector<ProviderState>> providers() = 0;

  // Who works. A store that keeps no list of workers leaves these four as they are.
  /// "I am here": makes the worker's entry, or refreshes it; `started_at` stays that of the first call. The times in
  /// `worker` do not count. kInvalidArgument: an id that is none.
  virtual Status register_worker(const WorkerInfo& worker) {
    (void)worker;
    return {};
  }
  /// The worker has ended. One that is not known is fine.
  virtual Status unregister_worker(std::string_view worker_id) {
    (void)worker_id;
    return {};
  }
  /// By id, 10,000 at most.
  virtual Result<std::vector<WorkerInfo>> workers() { return std::vector<WorkerInfo>(); }
  /// Deletes the entries of workers that were not heard of for longer than `age`. Returns how many.
  virtual Result<std::size_t> forget_workers(Duration age) {
    (void)age;
    return std::size_t{0};
  }

  [[nodiscard]] virtual Duration lease_duration() const = 0;
  /// How often a waiting worker should peek for enqueues of other processes; zero: never, notifications arrive by
  /// themselves.
  [[nodiscard]] virtual Duration poll_interval() const { return Duration(0); }
  /// Calls `wake` (from any thread, no lock held) after an enqueue through this object, or when a notification arrives.
  /// An empty function ends it; when this returns, no call of the old one is under way.
  virtual void set_wake(std::function<void()> wake) = 0;
};

}  // namespace embedjobs
