// A whole Store over a mutex and two maps. Copy it, and put your database where the maps are.
#pragma once

#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "embedjobs/sys/runtime.hpp"
#include "embedjobs/sys/store.hpp"
#include "embedjobs/sys/store_rules.hpp"

namespace example {

using namespace embedjobs;
using rules::StoredJob;

/// The functions of embedjobs::rules decide what happens to a job. Each call here loads a job and its key, calls a
/// rule, and keeps what the rule left. The lock stands for a transaction. Reads that are not here are left to the
/// defaults of Store: the library shows as unknown what they would tell.
class MapStore final : public Store {
 public:
  explicit MapStore(StoreOptions options = {}, std::shared_ptr<Clock> clock = system_clock())
      : options_(options), clock_(std::move(clock)) {
    apply_defaults(options_);
  }

  Result<EnqueueResult> enqueue(const SpecKey& spec, JobKind kind) override {
    if (Status status = rules::check_enqueue(spec, kind); !status.ok()) {
      return status;
    }
    const std::lock_guard transaction(mutex_);
    Key& key = keys_[spec];
    StoredJob* open = open_job(key);
    if (kind == JobKind::kReconciler && (open != nullptr || key.state.removed)) {
      return EnqueueResult{open == nullptr ? 0 : open->id, false, key.state.generation};
    }
    ++enqueues_;
    epoch_ += kind == JobKind::kManualRetry ? 1 : 0;
    rules::raise_generation(key.state, kind, epoch_);
    key.in_flight.clear();  // a new generation begins without suspects
    if (open != nullptr) {
      rules::enqueue_open(*open, key.state, kind, clock_->wall_now());
    } else {
      key.last_job = static_cast<JobId>(jobs_.size()) + 1;
      StoredJob& job = jobs_[key.last_job] = rules::new_job(spec, key.state, kind, clock_->wall_now());
      job.id = key.last_job;
    }
    return EnqueueResult{key.last_job, open == nullptr, key.state.generation};
  }

  Status remove_key(const SpecKey& spec) override {
    const std::lock_guard transaction(mutex_);
    const auto key = keys_.find(spec);
    if (key == keys_.end() || key->second.state.removed) {
      return {Code::kNotFound, spec.catalog_id + "/" + spec.spec_name + " is not known"};
    }
    rules::cancel(open_job(key->second), key->second.state, clock_->wall_now());
    key->second.in_flight.clear();
    return {};
  }

  Result<ClaimResult> claim(const ClaimRequest& request) override {
    if (Status status = rules::check_claim(request); !status.ok()) {
      return status;
    }
    const std::lock_guard transaction(mutex_);
    ClaimResult result;
    result.expired = put_back_expired(100);  // the next claim puts back the rest
    std::vector<StoredJob*> due;
    for (auto& [id, job] : jobs_) {
      if (job.status == JobStatus::kRunning && job.fence.nonce == request.nonce) {
        result.leases.push_back(lease_of(job));  // this claim was sent before: it finds its own effect
      } else if (job.status == JobStatus::kPending && rules::is_due(job.next_run_at, clock_->wall_now())) {
        if (fits(job, request.space_id)) {
          due.push_back(&job);
        } else if (result.other_space++ == 0) {
          result.other_space_example = job.key.catalog_id + " has target space " + spaces_.at(job.key.catalog_id);
        }
      }
    }
    if (!result.leases.empty()) {
      return result;
    }
    for (StoredJob* job : rules::choose(std::move(due), request)) {
      spaces_.try_emplace(job->key.catalog_id, request.space_id);  // the first claim chooses it
      rules::claim(*job, keys_.at(job->key).state,
                   {request.worker_id, request.nonce, epoch_, clock_->wall_now(), WallTime{}, request.provider});
      stamp_lease(*job, options_.lease_duration);
      result.leases.push_back(lease_of(*job));
    }
    return result;
  }

  Result<std::vector<bool>> renew(std::span<const LeaseRef> leases, Duration duration, Duration /*limit*/) override {
    const std::lock_guard transaction(mutex_);
    std::vector<bool> answers;
    for (const LeaseRef& lease : leases) {
      StoredJob* job = job_of(lease);
      answers.push_back(is_held(job, lease));
      if (answers.back()) {
        stamp_lease(*job, duration > Duration(0) ? duration : options_.lease_duration);
      }
    }
    return answers;
  }

  Status progress(const LeaseRef& lease, const Progress& progress) override {
    const std::lock_guard transaction(mutex_);
    StoredJob* job = job_of(lease);
    if (!is_held(job, lease)) {
      return lost(lease);
    }
    rules::apply_progress(*job, progress, clock_->wall_now());
    return {};
  }

  Status record_in_flight(const LeaseRef& lease, std::span<const TextHash> sent,
                          std::span<const TextHash> answered) override {
    const std::lock_guard transaction(mutex_);
    StoredJob* job = job_of(lease);
    if (!is_held(job, lease)) {
      return lost(lease);
    }
    rules::record_in_flight(*job, keys_.at(lease.key).in_flight, sent, answered);
    return {};
  }

  Result<JobStatus> settle(const LeaseRef& lease, const Outcome& outcome) override {
    const std::lock_guard transaction(mutex_);
    StoredJob* job = job_of(lease);
    if (!is_held(job, lease)) {
      const bool sent_before = job != nullptr && rules::settled_before(*job, lease);
      return sent_before ? Result<JobStatus>(job->status) : lost(lease);
    }
    Key& key = keys_.at(lease.key);
    if (rules::settle(*job, key.state, outcome, options_, clock_->wall_now()).fresh_budget) {
      key.in_flight.clear();
    }
    rules::settle_in_flight(key.in_flight);
    return job->status;
  }

  Result<std::size_t> reap(std::size_t limit) override {
    const std::lock_guard transaction(mutex_);
    return put_back_expired(limit);
  }

  Result<Peek> peek(std::string_view space_id) override {
    const std::lock_guard transaction(mutex_);
    Peek peek{.enqueue_counter = enqueues_};
    for (const auto& [id, job] : jobs_) {
      const Duration lease_left = keys_.at(job.key).lease_until - clock_->boot_time();
      rules::add_to_peek(peek, job, fits(job, space_id), lease_left, clock_->wall_now());
    }
    return peek;
  }

  [[nodiscard]] Duration lease_duration() const override { return options_.lease_duration; }

  Result<Job> get(JobId id) override {
    const std::lock_guard transaction(mutex_);
    return jobs_.contains(id) ? Result<Job>(jobs_.at(id)) : Status(Code::kNotFound, "there is no such job");
  }

  Result<JobState> job_state(JobId id) override {
    const std::lock_guard transaction(mutex_);
    return jobs_.contains(id) ? Result<JobState>(jobs_.at(id).state) : Status(Code::kNotFound, "there is no such job");
  }

  Result<std::vector<std::optional<Job>>> last_jobs(std::span<const SpecKey> keys) override {
    const std::lock_guard transaction(mutex_);
    std::vector<std::optional<Job>> answers;
    for (const SpecKey& key : keys) {
      const auto job = jobs_.find(keys_.contains(key) ? keys_.at(key).last_job : 0);
      answers.push_back(job == jobs_.end() ? std::nullopt : std::optional<Job>(job->second));
    }
    return answers;
  }

 private:
  /// What a key has. It outlives its jobs and its removal.
  struct Key {
    rules::KeyState state;
    JobId last_job = 0;
    Duration lease_until{0};  ///< Of the running job, by the boot-time clock.
    std::vector<rules::InFlight> in_flight;
  };

  /// Null: there is none.
  StoredJob* job_of(const LeaseRef& lease) {
    const auto job = jobs_.find(lease.job_id);
    return job != jobs_.end() && job->second.key == lease.key ? &job->second : nullptr;
  }
  /// The fence check.
  [[nodiscard]] bool is_held(const StoredJob* job, const LeaseRef& lease) const {
    return job != nullptr && rules::holds(*job, keys_.at(lease.key).state, lease.fence);
  }
  static Status lost(const LeaseRef& lease) {
    return {Code::kLeaseLost, "the lease of " + lease.key.catalog_id + "/" + lease.key.spec_name + " is lost"};
  }

  /// Pending or running; null when the key's last job has ended.
  StoredJob* open_job(const Key& key) {
    return key.last_job != 0 && is_open(jobs_.at(key.last_job).status) ? &jobs_.at(key.last_job) : nullptr;
  }

  /// Ends the passes of holders whose lease has ended. Each counts as a crash.
  std::size_t put_back_expired(std::size_t limit) {
    std::size_t expired = 0;
    for (auto& [id, job] : jobs_) {
      Key& key = keys_.at(job.key);
      const bool ended = rules::lease_ended(key.lease_until, clock_->boot_time());
      if (ended && job.status == JobStatus::kRunning && expired < limit) {
        ++expired;
        if (rules::expire(job, key.state, key.in_flight, options_, clock_->wall_now()).fresh_budget) {
          key.in_flight.clear();
        }
      }
    }
    return expired;
  }

  /// The boot-time clock decides when a lease ends, for nobody can set it. The wall time is for people.
  void stamp_lease(StoredJob& job, Duration duration) {
    duration = std::min(duration, kMaxLease);
    keys_.at(job.key).lease_until = clock_->boot_time() + duration;
    job.lease_expires_at = clock_->wall_now() + duration;
  }

  /// The catalog's target space is this one, or one of them is not known yet.
  [[nodiscard]] bool fits(const StoredJob& job, std::string_view space_id) const {
    return space_id.empty() || !spaces_.contains(job.key.catalog_id) || spaces_.at(job.key.catalog_id) == space_id;
  }

  [[nodiscard]] Lease lease_of(const StoredJob& job) const {
    return {job, job.state, keys_.at(job.key).state.reuse_floor, rules::suspects_of(keys_.at(job.key).in_flight)};
  }

  StoreOptions options_;
  std::shared_ptr<Clock> clock_;
  std::mutex mutex_;  // guards what follows
  std::map<JobId, StoredJob> jobs_;
  std::map<SpecKey, Key> keys_;
  std::map<std::string, std::string> spaces_;  ///< The target space of each catalog.
  std::uint64_t epoch_ = 0;                    ///< Raised by every manual retry.
  std::uint64_t enqueues_ = 0;
};

}  // namespace example
