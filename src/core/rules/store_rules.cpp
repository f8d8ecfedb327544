#include "embedjobs/sys/store_rules.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <tuple>

#include "core/rules/provider_notes.hpp"

namespace embedjobs::rules {
namespace {

void reset_budgets(StoredJob& job) {
  job.attempts = 0;
  job.errors_in_row = 0;
  job.crashes_in_row = 0;
  job.state.releases_in_row = 0;
  job.state.crashes = 0;
  job.state.fewest_missing = -1;
  job.state.progressed = false;
  job.paused_since = {};
}

void make_pending(StoredJob& job, WallTime due) {
  job.status = JobStatus::kPending;
  job.next_run_at = due;
}

void make_ended(StoredJob& job, JobStatus status, WallTime now) {
  job.status = status;
  job.completed_at = now;
}

// The simulation must notice when one of the checks that everything rests on is missing. It is built once more for each
// with that check taken out (EMBEDJOBS_MUTANT_...); no other build has these names.

/// The key was enqueued, edited, retried or removed after this job was claimed.
bool moved_on(const KeyState& key, const StoredJob& job) {
#ifdef EMBEDJOBS_MUTANT_NO_GENERATION_CHECK
  (void)key, (void)job;
  return false;
#else
  return key.generation > job.generation;
#endif
}

/// The holder no longer holds the key.
void drop_lease(StoredJob& job, KeyState& key, WallTime now) {
  key.holder_nonce = 0;
  job.worker_id.clear();
  job.lease_expires_at = {};
  job.updated_at = now;
}

/// Counts one error. True when the budget is used up.
bool spend_attempt(StoredJob& job, const StoreOptions& rules) {
  return ++job.errors_in_row >= rules.max_attempts;
}

/// A release is free, but every fifth one without progress costs an attempt. True when the budget is used up.
bool release(StoredJob& job, const StoreOptions& rules) {
  ++job.state.releases_in_row;
  if (job.state.releases_in_row % kReleasesPerAttempt == 0) {
    return spend_attempt(job, rules);
  }
  job.attempts = std::max<std::int64_t>(0, job.attempts - 1);
  return false;
}

Settled fail(StoredJob& job, WallTime now) {
  make_ended(job, JobStatus::kFailed, now);
  return {.failed = true, .fresh_budget = true};
}

/// The key moved on while the pass ran: another pass, at once, as if it had just been enqueued.
Settled start_over(StoredJob& job, const KeyState& key, bool succeeded, WallTime now) {
  reset_budgets(job);
  job.generation = key.generation;
  make_pending(job, now);
  return {.succeeded = succeeded, .fresh_budget = true};
}

void drop_answered(std::vector<InFlight>& in_flight) {
  std::erase_if(in_flight, [](const InFlight& row) { return !row.sent && !row.suspect && !row.set_aside; });
}

Settled settle_retry(StoredJob& job, const Outcome& outcome, const StoreOptions& rules, WallTime now) {
  const bool used_up = outcome.retry_at_once ? release(job, rules) : spend_attempt(job, rules);
  if (used_up) {
    return fail(job, now);
  }
  make_pending(job, outcome.retry_at_once ? now : now + backoff(job.errors_in_row, outcome.jitter));
  return {};
}

Settled settle_release(StoredJob& job, const Outcome& outcome, const StoreOptions& rules, WallTime now) {
  if (outcome.reason == ReleaseReason::kPause) {
    job.attempts = std::max<std::int64_t>(0, job.attempts - 1);
    if (job.paused_since == WallTime{}) {
      job.paused_since = now;
    }
  } else if (release(job, rules)) {
    return fail(job, now);
  }
  make_pending(job, now + std::clamp(outcome.delay, Duration(0), kMaxPause));
  return {};
}

Settled end_pass(StoredJob& job, KeyState& key, const Outcome& outcome, const StoreOptions& rules, WallTime now) {
  const bool complete = outcome.kind == OutcomeKind::kComplete;
  if (complete && job.state.epoch >= key.reuse_floor) {
    key.reuse_floor = 0;
  }
  if (moved_on(key, job)) {
    return start_over(job, key, complete, now);
  }
  switch (outcome.kind) {
    case OutcomeKind::kComplete:
      make_ended(job, JobStatus::kSucceeded, now);
      return {.succeeded = true, .fresh_budget = true};
    case OutcomeKind::kRetry: return settle_retry(job, outcome, rules, now);
    case OutcomeKind::kRelease: return settle_release(job, outcome, rules, now);
    case OutcomeKind::kFail: break;
  }
  return fail(job, now);
}

}  // namespace

Duration backoff(std::int64_t errors_in_row, double jitter) {
  const auto exponent = std::clamp<std::int64_t>(errors_in_row, 0, 20);
  const Duration base = std::chrono::seconds(5) * (std::int64_t{1} << exponent);
  const double spread = 0.8 + 0.4 * std::clamp(jitter, 0.0, 1.0);
  const auto spread_base = Duration(std::llround(static_cast<double>(std::min(base, kMaxBackoff).count()) * spread));
  return std::min(spread_base, kMaxBackoff);
}

Status check_enqueue(const SpecKey& key, JobKind kind) {
  if (kind != JobKind::kSpecWrite && kind != JobKind::kReconciler && kind != JobKind::kManualRetry) {
    return {Code::kInvalidArgument, fmt::format("{} is not a kind of job", static_cast<int>(kind))};
  }
  return validate(key);
}

Status check_claim(const ClaimRequest& request) {
  if (request.nonce == 0) {
    return {Code::kInvalidArgument, "a claim's nonce is zero"};
  }
  if (Status status = request.provider.empty() ? Status() : validate_provider(request.provider); !status.ok()) {
    return status;
  }
  return parse_space(request.space_id).status();
}

std::vector<StoredJob*> choose(std::vector<StoredJob*> due, const ClaimRequest& request) {
  const auto by_age = [](const StoredJob* a, const StoredJob* b) {
    return std::tie(a->next_run_at, a->id) < std::tie(b->next_run_at, b->id);
  };
  const auto by_priority = [](const StoredJob* a, const StoredJob* b) {
    return std::tie(a->priority, a->next_run_at, a->id) < std::tie(b->priority, b->next_run_at, b->id);
  };
  const std::size_t wanted = std::min(request.max_jobs, due.size());
  const auto aged = due.begin() + static_cast<std::ptrdiff_t>(std::min(request.by_age, wanted));
  const auto end = due.begin() + static_cast<std::ptrdiff_t>(wanted);
  std::partial_sort(due.begin(), aged, due.end(), by_age);
  std::partial_sort(aged, end, due.end(), by_priority);
  due.resize(wanted);
  return due;
}

void add_to_peek(Peek& peek, const StoredJob& job, bool fits, Duration lease_left, WallTime now) {
  if (!is_open(job.status)) {
    return;
  }
  if (!fits) {
    peek.other_space = true;
    return;
  }
  const auto earlier = [](std::optional<Duration>& least, Duration due) {
    least = least ? std::min(*least, due) : due;
  };
  if (job.status == JobStatus::kRunning) {
    peek.running = true;
    earlier(peek.next_due, std::max(lease_left, Duration(0)));
    return;
  }
  const Duration due = due_in(job.next_run_at, now);
  earlier(peek.next_due, due);
  earlier(peek.next_pending_due, due);
  peek.urgent_waiting = peek.urgent_waiting || (job.priority == 0 && due == Duration(0));
}

bool is_due(WallTime next_run_at, WallTime now) noexcept {
  return next_run_at <= now || next_run_at > now + kFarAhead;
}

Duration due_in(WallTime next_run_at, WallTime now) noexcept {
  return is_due(next_run_at, now) ? Duration(0) : next_run_at - now;
}

bool lease_ended(Duration lease_until, Duration boot_now) noexcept {
#ifdef EMBEDJOBS_MUTANT_NO_LEASE_CHECK
  (void)lease_until, (void)boot_now;
  return true;
#else
  return boot_now >= lease_until;
#endif
}

void raise_generation(KeyState& key, JobKind kind, std::uint64_t epoch) {
  ++key.generation;
  key.removed = false;
  if (kind == JobKind::kManualRetry) {
    key.reuse_floor = epoch;
  }
}

StoredJob new_job(const SpecKey& spec, const KeyState& key, JobKind kind, WallTime now) {
  StoredJob job;
  job.key = spec;
  job.kind = kind;
  job.priority = priority_of(kind);
  job.generation = key.generation;
  job.created_at = now;
  job.updated_at = now;
  make_pending(job, now);
  return job;
}

void enqueue_open(StoredJob& job, const KeyState& key, JobKind kind, WallTime now) {
  job.kind = kind;
  job.priority = std::min(job.priority, priority_of(kind));
  job.updated_at = now;
  if (job.status == JobStatus::kPending) {
    reset_budgets(job);
    job.generation = key.generation;
    make_pending(job, now);
  }
}

bool holds(const StoredJob& job, const KeyState& key, const Fence& fence) {
#ifdef EMBEDJOBS_MUTANT_NO_FENCE_CHECK
  (void)key;
  return job.status == JobStatus::kRunning && fence.nonce != 0;
#else
  return job.status == JobStatus::kRunning && fence.nonce != 0 && job.fence == fence &&
         key.holder_nonce == fence.nonce && key.fence_counter == fence.counter;
#endif
}

bool settled_before(const StoredJob& job, const LeaseRef& lease) {
  return job.key == lease.key && lease.fence.nonce != 0 && job.fence == lease.fence && job.state.settled;
}

void claim(StoredJob& job, KeyState& key, const ClaimStamp& stamp) {
  ++key.fence_counter;
  key.holder_nonce = stamp.nonce;
  job.fence = {key.fence_counter, stamp.nonce};
  job.state.settled = false;
  job.status = JobStatus::kRunning;
  job.generation = key.generation;
  job.worker_id = stamp.worker_id;
  job.state.epoch = stamp.epoch;
  job.started_at = stamp.now;
  job.updated_at = stamp.now;
  job.lease_expires_at = stamp.lease_expires_at;
  ++job.attempts;
  job.embedded_so_far = 0;
  job.reused_count = 0;
  job.embedded_count = 0;
  job.operation_count = 0;
  job.state.progressed = false;
  job.state.records_in_flight = false;
  job.provider = stamp.provider;
  job.state.pass_prompt_tokens = 0;
}

std::uint64_t apply_progress(StoredJob& job, const Progress& progress, WallTime now) {
  job.operation_count = progress.operation_count;
  job.reused_count = progress.reused;
  job.embedded_count = progress.embedded;
  job.embedded_so_far = progress.reused + progress.embedded;
  job.updated_at = now;
  job.state.progressed = job.state.progressed || progress.embedded > 0;
  // When the writes before were lost, what the pass has embedded was missing until now.
  const std::int64_t before =
      job.state.fewest_missing < 0 ? progress.missing + progress.embedded : job.state.fewest_missing;
  if (progress.missing < before) {
    job.errors_in_row = 0;
    job.crashes_in_row = 0;
    job.state.releases_in_row = 0;
    job.paused_since = {};
  }
  job.state.fewest_missing = std::min(before, progress.missing);
  return core::count_tokens(job, progress.prompt_tokens);
}

Settled settle(StoredJob& job, KeyState& key, const Outcome& outcome, const StoreOptions& rules, WallTime now) {
  drop_lease(job, key, now);
  job.state.settled = true;
  job.last_error = outcome.kind == OutcomeKind::kComplete ? std::string() : outcome.error;
  const std::uint64_t tokens = outcome.progress ? apply_progress(job, *outcome.progress, now) : 0;
  Settled settled = end_pass(job, key, outcome, rules, now);
  settled.tokens = tokens;
  return settled;
}

Settled expire(StoredJob& job, KeyState& key, std::vector<InFlight>& in_flight, const StoreOptions& rules,
               WallTime now) {
  drop_lease(job, key, now);
  if (moved_on(key, job)) {
    in_flight.clear();
    return start_over(job, key, false, now);
  }
  const auto sent = std::count_if(in_flight.begin(), in_flight.end(), [](const InFlight& row) { return row.sent; });
  ++job.state.crashes;
  if (job.state.records_in_flight && sent == 0) {
    // It had nothing in flight: another job of the process is the likely cause.
    job.last_error = "the worker died while the job waited for another one";
    make_pending(job, now);
    return release(job, rules) ? fail(job, now) : Settled{};
  }
  ++job.crashes_in_row;
  for (InFlight& row : in_flight) {
    if (!row.sent) {
      continue;
    }
    row.sent = false;
    row.suspect = true;
    // One text, alone, and nothing else happened since the pass began: it is the likely cause. A second time, it is the
    // cause. A process that is killed from outside makes progress in between, and sets nothing aside.
    if (sent == 1) {
      ++row.alone;
      if (!job.state.progressed && ++row.strikes >= kStrikesToSetAside) {
        row.set_aside = true;
        job.crashes_in_row = 0;
      }
    }
  }
  job.last_error = "the worker died while it held the job (" + std::to_string(job.crashes_in_row) +
                   " times in a row without progress)";
  if (job.crashes_in_row >= rules.max_attempts) {
    return fail(job, now);
  }
  make_pending(job, now);
  return {};
}

void cancel(StoredJob* job, KeyState& key, WallTime now) {
  ++key.generation;
  key.removed = true;
  key.holder_nonce = 0;
  key.reuse_floor = 0;
  if (job != nullptr) {
    drop_lease(*job, key, now);
    make_ended(*job, JobStatus::kCancelled, now);
  }
}

void revoke(StoredJob& job, KeyState& key, WallTime now) {
  drop_lease(job, key, now);
  (void)start_over(job, key, false, now);
}

void record_in_flight(StoredJob& job, std::vector<InFlight>& in_flight, std::span<const TextHash> sent,
                      std::span<const TextHash> answered) {
  job.state.progressed = job.state.progressed || !answered.empty();
  job.state.records_in_flight = true;
  const auto contains = [](std::span<const TextHash> hashes, const TextHash& hash) {
    return std::find(hashes.begin(), hashes.end(), hash) != hashes.end();
  };
  for (InFlight& row : in_flight) {
    row.sent = contains(sent, row.text_hash);
    row.suspect = row.suspect && !contains(answered, row.text_hash);
  }
  for (const TextHash& hash : sent) {
    const bool known =
        std::any_of(in_flight.begin(), in_flight.end(), [&](const InFlight& row) { return row.text_hash == hash; });
    if (!known) {
      in_flight.push_back({.text_hash = hash, .sent = true});
    }
  }
  drop_answered(in_flight);
}

void settle_in_flight(std::vector<InFlight>& in_flight) {
  for (InFlight& row : in_flight) {
    row.sent = false;
  }
  drop_answered(in_flight);
}

std::vector<Suspect> suspects_of(const std::vector<InFlight>& in_flight) {
  std::vector<Suspect> suspects;
  for (const InFlight& row : in_flight) {
    if (row.suspect || row.set_aside) {
      suspects.push_back({row.text_hash, row.alone, row.set_aside});
    }
  }
  std::sort(suspects.begin(), suspects.end(), [](const Suspect& a, const Suspect& b) {
    return a.alone != b.alone ? a.alone > b.alone : a.text_hash < b.text_hash;
  });
  return suspects;
}

void note_failure(Failure& failure, std::string_view error, WallTime now) {
  if (failure.occurrences == 0) {
    failure.first_failed_at = now;
  }
  ++failure.occurrences;
  failure.last_failed_at = now;
  failure.last_error = error;
  failure.resolved = false;
}

void note_success(Failure& failure, WallTime now) {
  failure.occurrences = 0;
  failure.last_success_at = now;
  failure.resolved = true;
}

WallTime parked_until(const Failure& failure) {
  if (failure.occurrences < 3) {
    return failure.last_failed_at;
  }
  const Duration longest = std::chrono::hours(6);
  const auto doublings = std::min<std::int64_t>(failure.occurrences - 3, 10);
  const Duration wait = std::chrono::minutes(30) * (std::int64_t{1} << doublings);
  return failure.last_failed_at + std::min(wait, longest);
}

}  // namespace embedjobs::rules
