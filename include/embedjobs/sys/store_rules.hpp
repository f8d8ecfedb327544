// The rules of a store, as pure functions on plain structs: no clock, no randomness, no I/O. A store loads a job and
// its key, calls one of these functions in its transaction, and stores the result. The built-in stores do just that.
//
//   none      -> pending    new_job
//   pending   -> pending    enqueue_open            (better priority, due now, fresh budgets)
//   running   -> running    enqueue_open            (better priority; pending again when its pass ends)
//   pending   -> running    claim                   (fence + 1)
//   running   -> running    apply_progress, record_in_flight
//   running   -> succeeded | pending | failed       settle   (the holder)
//   running   -> pending | failed                   expire   (claim and reaper, when the lease has ended)
//   open      -> cancelled  cancel                  (removal)
//   running   -> pending    revoke                  (a switch of the target space; due now, fresh budgets)
//
// settle and expire first compare generations: if the key's is newer than the one claimed, the job is pending again at
// once. docs/job-states.md has the picture; tests/unit/pictures_test.cpp compares it with this list and with what the
// functions do.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "embedjobs/jobs.hpp"
#include "embedjobs/options.hpp"
#include "embedjobs/sys/store.hpp"
#include "embedjobs/types.hpp"

namespace embedjobs::rules {

// --- what a store keeps

/// A job as a store keeps it: what people see, and its budgets.
struct StoredJob : Job {
  JobState state;
};

/// The part of a spec that outlives its jobs and its removal.
struct KeyState {
  std::uint64_t generation = 0;     ///< Raised by every enqueue, edit, manual retry and removal.
  std::uint64_t fence_counter = 0;  ///< Raised by every claim, never reset.
  std::uint64_t holder_nonce = 0;   ///< Nonce of the current fence; 0: nobody holds the key.
  std::uint64_t reuse_floor = 0;    ///< Only vectors of this epoch or a later one may be reused (manual retry); 0: any.
  bool removed = false;             ///< The tombstone.
};

/// A release delays the next claim by this at most.
inline constexpr Duration kMaxPause = std::chrono::hours(1);
inline constexpr Duration kMaxBackoff = std::chrono::minutes(10);
/// A strike is a crash at which the text was in flight alone and the pass had made no progress. After so many strikes
/// the text is set aside.
inline constexpr int kStrikesToSetAside = 2;
/// This many releases in a row cost one attempt.
inline constexpr int kReleasesPerAttempt = 5;

/// A text that was or is in flight, as recorded from the first crash of a generation on.
struct InFlight {
  TextHash text_hash{};
  bool sent = false;     ///< In flight in the current pass.
  bool suspect = false;  ///< Was in flight at a crash, and has not answered since.
  int alone = 0;         ///< Crashes at which it was in flight alone.
  int strikes = 0;       ///< Those of them at which the pass had made no progress.
  bool set_aside = false;
};

/// 5 s x 2^errors, spread by +-20 % with `jitter` in [0, 1), at most 10 min.
Duration backoff(std::int64_t errors_in_row, double jitter);

// --- time

/// No rule sets a due time further ahead than an hour. A due time further ahead than this was written before the clock
/// was set back. It counts as due.
inline constexpr Duration kFarAhead = std::chrono::hours(2);

/// May a pending job be claimed?
[[nodiscard]] bool is_due(WallTime next_run_at, WallTime now) noexcept;
/// From now until the job is due; zero: it is.
[[nodiscard]] Duration due_in(WallTime next_run_at, WallTime now) noexcept;
/// Has a lease ended? Both times are of the boot-time clock that stamped it. A lease of another boot has ended,
/// whatever this function says.
[[nodiscard]] bool lease_ended(Duration lease_until, Duration boot_now) noexcept;

// --- what callers hand in: kInvalidArgument, with one line that says what is wrong

/// The key and the kind must be valid.
Status check_enqueue(const SpecKey& key, JobKind kind);
/// The nonce must not be zero, the space must be valid, and the provider must be valid or empty.
Status check_claim(const ClaimRequest& request);

// --- which jobs

/// Chooses, among the due jobs, those that this claim takes. First come `by_age` jobs by due time. The others follow by
/// priority, then due time. Equal ones go by id.
std::vector<StoredJob*> choose(std::vector<StoredJob*> due, const ClaimRequest& request);
/// Counts this job into `peek`. A job that has ended adds nothing. `fits`: the target space of its catalog is the one
/// asked for, or not chosen. `lease_left`: the time until the lease of a running job ends.
void add_to_peek(Peek& peek, const StoredJob& job, bool fits, Duration lease_left, WallTime now);

// --- transitions

/// The next generation. A manual retry also forbids the reuse of vectors older than `epoch`, the store's epoch that it
/// has just raised.
void raise_generation(KeyState& key, JobKind kind, std::uint64_t epoch);
/// The first job of a key, or the next one after the last has ended. The store gives it an id.
StoredJob new_job(const SpecKey& spec, const KeyState& key, JobKind kind, WallTime now);
/// An enqueue that met an open job, after raise_generation.
void enqueue_open(StoredJob& job, const KeyState& key, JobKind kind, WallTime now);

/// The fence check: `fence` is the key's current one, and `job` is the running job that it was given to. Every write of
/// a pass asks this, in the transaction that writes.
bool holds(const StoredJob& job, const KeyState& key, const Fence& fence);
/// For a settle() that holds() refuses. True: it is the same call sent again, after its answer was lost. The store then
/// answers the job's status.
[[nodiscard]] bool settled_before(const StoredJob& job, const LeaseRef& lease);

/// What a claim writes.
struct ClaimStamp {
  std::string worker_id;
  std::uint64_t nonce = 0;
  std::uint64_t epoch = 0;  ///< The store's, now.
  WallTime now{};
  WallTime lease_expires_at{};
  std::string provider;
};
/// Gives the job to a new holder: the fence goes up by one, an attempt is spent, the counts of the pass begin at zero.
void claim(StoredJob& job, KeyState& key, const ClaimStamp& stamp);

/// Stores the counts of a pass in its job. Answers how many prompt tokens are new. The caller adds them to those of
/// job.provider.
std::uint64_t apply_progress(StoredJob& job, const Progress& progress, WallTime now);

/// What the caller stores beside job and key.
struct Settled {
  bool succeeded = false;     ///< Note a success of the key.
  bool failed = false;        ///< Note a failure of the key, with job.last_error.
  bool fresh_budget = false;  ///< A generation begins or has ended: forget the in-flight records.
  std::uint64_t tokens = 0;   ///< Prompt tokens to add to those of job.provider.
};
/// Ends the holder's pass. The caller has checked holds().
Settled settle(StoredJob& job, KeyState& key, const Outcome& outcome, const StoreOptions& rules, WallTime now);
/// Ends the pass of a holder whose lease has ended. `in_flight` is updated: what was sent becomes suspect.
Settled expire(StoredJob& job, KeyState& key, std::vector<InFlight>& in_flight, const StoreOptions& rules,
               WallTime now);
/// Removal of the key: raises the generation, revokes the lease, sets the tombstone. `job` is its open job, or null.
void cancel(StoredJob* job, KeyState& key, WallTime now);
/// Takes a running job from its holder, after raise_generation: the result of the pass is no longer wanted. This counts
/// as no crash. The caller forgets the in-flight records.
void revoke(StoredJob& job, KeyState& key, WallTime now);

/// Applies one record_in_flight call. Rows that are neither in flight nor suspect are dropped.
void record_in_flight(StoredJob& job, std::vector<InFlight>& in_flight, std::span<const TextHash> sent,
                      std::span<const TextHash> answered);
/// Call it after settle, unless that gave a fresh budget. The pass has ended in order, so nothing is in flight any
/// more. Suspects stay.
void settle_in_flight(std::vector<InFlight>& in_flight);
/// The suspects that a claim tells the pass. Those that were alone most often come first, equal ones by hash.
std::vector<Suspect> suspects_of(const std::vector<InFlight>& in_flight);

/// Counts a failure of the key.
void note_failure(Failure& failure, std::string_view error, WallTime now);
/// A success ends the count of failures.
void note_success(Failure& failure, WallTime now);
/// Until when the reconciler leaves a failing key alone: 30 min x 2^(n-3) after its n-th failure, n >= 3, at most 6 h.
WallTime parked_until(const Failure& failure);

}  // namespace embedjobs::rules
