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
#include "embedjobs/jobs.hpp"
#include "embedjobs/options.hpp"
#include "embedjobs/provider.hpp"
#include "embedjobs/space.hpp"
#include "embedjobs/types.hpp"

namespace embedjobs {

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
  /// Only jobs of catalogs whose target space is this one, or not chosen yet. If none is chosen, this claim chooses it.
  std::string space_id;
  /// The provider whose prompt tokens the passes spend. Empty: not known; tokens are then counted for the job alone.
  std::string provider;
};

/// A job's budgets and its account of crashes. Counters "in a row" return to zero whenever the pass makes progress:
/// fewer operations are missing than ever before in this generation.
struct JobState {
  bool settled = false;     ///< The last claim was ended by its holder (not by expiry or removal).
  std::uint64_t epoch = 0;  ///< The store's epoch at the last claim: stamped on the vectors of the pass.
  std::int64_t releases_in_row = 0;
  std::int64_t crashes = 0;        ///< All crashes of this generation. From the first on, texts in flight are recorded.
  bool records_in_flight = false;  ///< The current pass records what it has in flight before it sends it.
  std::int64_t fewest_missing = -1;      ///< The fewest operations ever missing in this generation; -1: not known yet.
  bool progressed = false;               ///< The current pass has made progress.
  std::uint64_t pass_prompt_tokens = 0;  ///< The highest total that the last pass has told; see Progress.
};

/// The right to run a job until a time, with what the pass must know.
struct Lease {
  Job job;
  JobState state;
  std::uint64_t reuse_floor = 0;
  std::vector<Suspect> suspects;  ///< Send each alone, in this order: the one that was alone most often comes first.
};

struct ClaimResult {
  std::vector<Lease> leases;
  std::size_t expired = 0;  ///< Expired leases that this call put back (or failed) first.
  /// Due jobs that this call left, because their catalog has another target space. The count may be too low: the store
  /// looks only at some of them.
  std::size_t other_space = 0;
  std::string other_space_example;  ///< "catalog 'shop' has target space ..." for one of them.
};

/// What a waiting worker looks at. It is cheap: index look-ups. Only catalogs whose target space is the one asked for
/// (or not chosen) count. A worker that does not know its space yet asks with an empty id: then every catalog counts,
/// and none is another's. `enqueue_counter` and `other_space` are about all catalogs.
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

/// A durable queue. sys/store_rules.hpp has its rules as functions; examples/store is a whole Store on them; the
/// conformance kit (docs/write-your-own.md) says whether one is right.
///
/// Thread-safe. Every call that returns success has committed. Calls block for the database and for nothing else.
///
/// After kLeaseLost, kNotFound, kInvalidArgument, kRefused and kUnusable the call had no effect. After any other error
/// it may have taken effect. The caller then sends the same call again, and the call finds its own effect.
///
/// A lease that has ended is its holder's until claim() or reap() takes it. Until then renew, progress,
/// record_in_flight and settle take effect.
///
/// A store implements the pure virtual functions. All others have a default. A read that a store does not implement
/// answers kRefused. The library then shows "unknown", and never "nothing".
class Store {
 public:
  virtual ~Store() = default;

  // --- the queue

  /// Raises the key's generation and makes sure that a job is open. A pending job gets the better priority and becomes
  /// due now. A running job is pending again when its pass ends. kReconciler never touches an open job or a removed
  /// key. A key that is new or was removed is made. The store does not ask whether its document exists: the resolver
  /// knows that.
  virtual Result<EnqueueResult> enqueue(const SpecKey& key, JobKind kind) = 0;
  /// Removes a key: raises the generation, sets the tombstone, revokes the lease, cancels the open job. For hosts that
  /// keep documents themselves. Catalog::remove does this too, and clears the document and its rows in the same
  /// transaction. kNotFound when the key is unknown or removed already.
  virtual Status remove_key(const SpecKey& key) = 0;
  /// Puts back jobs whose lease has expired. Then it leases due jobs, in the order of rules::choose(). Never waits for
  /// another claimer.
  virtual Result<ClaimResult> claim(const ClaimRequest& request) = 0;
  /// Extends leases; answer[i] is false when lease i is lost. `lease_duration` <= 0: the store's own.
  /// Waits for other writers `time_limit` at most.
  virtual Result<std::vector<bool>> renew(std::span<const LeaseRef> leases, Duration lease_duration,
                                          Duration time_limit) = 0;
  /// Publishes the counts of a pass. When fewer operations are missing than ever before, it also resets the counters
  /// "in a row". kLeaseLost for a stale holder.
  virtual Status progress(const LeaseRef& lease, const Progress& progress) = 0;
  /// Replaces the record of what the pass has in flight: `sent` is in flight now, `answered` came back since the last
  /// call.
  virtual Status record_in_flight(const LeaseRef& lease, std::span<const TextHash> sent,
                                  std::span<const TextHash> answered) = 0;
  /// Ends the pass. If the key's generation is newer than the one claimed, the job is pending again at once with fresh
  /// budgets, whatever the outcome. Returns the new status of the job. kLeaseLost for a stale holder.
  virtual Result<JobStatus> settle(const LeaseRef& lease, const Outcome& outcome) = 0;
  /// The backstop of claim(): puts back (or fails) up to `limit` jobs whose lease has ended. Re-checks status, fence
  /// and expiry. Returns how many.
  virtual Result<std::size_t> reap(std::size_t limit) = 0;
  /// What a waiting worker asks.
  virtual Result<Peek> peek(std::string_view space_id) = 0;
  /// What a claim stamps.
  [[nodiscard]] virtual Duration lease_duration() const = 0;

  // --- many at once. Default: one call each.

  /// Answer[i] is for keys[i]; a key that is there twice counts once. The jobs have the order of the keys. An error of
  /// one key leaves the others alone. A store may do all in one transaction. An error is then the answer for every key.
  virtual std::vector<Result<EnqueueResult>> enqueue_all(std::span<const SpecKey> keys, JobKind kind);
  /// Answer[i] for reports[i], each lease once.
  virtual std::vector<Status> progress_all(std::span<const ProgressReport> reports);
  /// Answer[i] for settlements[i], each lease once.
  virtual std::vector<Result<JobStatus>> settle_all(std::span<const Settlement> settlements);

  // --- waking. Default: no notifications, so a waiting worker peeks every 250 ms.

  /// How often a waiting worker should peek for enqueues of other processes. Zero: never, since notifications arrive.
  [[nodiscard]] virtual Duration poll_interval() const { return std::chrono::milliseconds(250); }
  /// Calls `wake` (from any thread, no lock held) after an enqueue through this object, or when a notification arrives.
  /// An empty function ends it; when this returns, no call of the old one is under way. Default: never calls it.
  virtual void set_wake(std::function<void()> wake);

  // --- reading jobs. Default: kRefused.

  virtual Result<Job> get(JobId id);
  /// For tests and for those who look into a fault.
  virtual Result<JobState> job_state(JobId id);
  /// Newest first.
  virtual Result<std::vector<Job>> list(const JobFilter& filter);
  /// The last job of each key, open or not; answer[i] for keys[i], none where there never was one or it was purged.
  virtual Result<std::vector<std::optional<Job>>> last_jobs(std::span<const SpecKey> keys);
  virtual Result<StoreCounts> counts();

  // --- failures. Default: kRefused.

  /// Unresolved failures of `catalog_id`, or of every catalog, most recent first.
  virtual Result<std::vector<Failure>> failures(std::optional<std::string> catalog_id, std::size_t limit);
  /// Answer[i] for keys[i]; occurrences 0 where there is none.
  virtual Result<std::vector<Failure>> failures_of(std::span<const SpecKey> keys);
  /// An operator says that the failure is dealt with. kNotFound when there is none.
  virtual Status resolve_failure(const SpecKey& key);

  // --- history. Default: nothing is ever deleted.

  /// Deletes up to `limit` succeeded, cancelled and resolved failed jobs that ended before `now - age`; the newest job
  /// of a key that failed stays. Returns how many. A backend that keeps its history by days (PostgreSQL) may drop a
  /// whole day at once, which may be more than `limit`. With an age of a day or more it drops only whole days (UTC).
  virtual Result<std::size_t> purge(Duration age, std::size_t limit);

  // --- providers. Default: notes are dropped, reads answer kRefused.

  /// What is remembered of a provider. All members are zero when nothing was noted of it.
  virtual Result<ProviderState> provider_state(std::string_view provider);
  virtual Status note_provider(std::string_view provider, const ProviderNote& note);
  /// All providers of which something is remembered, by name.
  virtual Result<std::vector<ProviderState>> providers();

  // --- the fleet. Default: a register is dropped, the list answers kRefused.

  /// "I am here": makes the worker's entry, or refreshes it; `started_at` stays that of the first call. The times in
  /// `worker` do not count. kInvalidArgument: the id is not valid.
  virtual Status register_worker(const WorkerInfo& worker);
  /// The worker has ended: deletes its entry. A worker without an entry is fine.
  virtual Status unregister_worker(std::string_view worker_id);
  /// By id, 10,000 at most.
  virtual Result<std::vector<WorkerInfo>> workers();
  /// Deletes the entries of workers that were not heard of for longer than `age`. Returns how many.
  virtual Result<std::size_t> forget_workers(Duration age);
};

}  // namespace embedjobs
