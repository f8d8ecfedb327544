#include <algorithm>

#include "core/rules/checks.hpp"
#include "core/rules/errors.hpp"
#include "core/rules/limits.hpp"
#include "embedjobs/sys/store_rules.hpp"
#include "memory/state.hpp"

namespace embedjobs::memory {
namespace {

bool matches(const rules::StoredJob& job, const JobFilter& filter) {
  return (!filter.status || job.status == *filter.status) && (!filter.kind || job.kind == *filter.kind) &&
         (!filter.catalog_id || job.key.catalog_id == *filter.catalog_id) &&
         (!filter.spec_name || job.key.spec_name == *filter.spec_name);
}

class MemoryStore final : public Store {
 public:
  explicit MemoryStore(std::shared_ptr<State> state) : state_(std::move(state)) {}

  Result<EnqueueResult> enqueue(const SpecKey& key, JobKind kind) override {
    if (Status status = core::check_enqueue(key, kind); !status.ok()) {
      return status;
    }
    Result<EnqueueResult> result = locked(*state_, [&]() -> Result<EnqueueResult> {
      return state_->enqueue(state_->key_row(key), kind, state_->clock->wall_now());
    });
    if (result.ok()) {
      state_->wake.fire();
    }
    return result;
  }

  Status remove_key(const SpecKey& key) override {
    if (Status status = validate(key); !status.ok()) {
      return status;
    }
    return locked(*state_, [&]() -> Status {
      KeyEntry* entry = state_->find_key(key);
      if (entry == nullptr || entry->second.state.removed) {
        return core::no_such_spec(key);
      }
      state_->cancel(*entry, state_->clock->wall_now());
      // Where the host keeps the document, nothing else will ever clear the rows.
      if (entry->second.spec && !entry->second.spec->document) {
        state_->drop_spec(*entry);
      }
      return {};
    });
  }

  Result<ClaimResult> claim(const ClaimRequest& request) override {
    if (Status status = core::check_claim(request); !status.ok()) {
      return status;
    }
    return locked(*state_, [&]() -> Result<ClaimResult> {
      ClaimResult result;
      result.expired = state_->expire_ended(core::kExpiredPerClaim);
      std::vector<rules::StoredJob*> due = scan(request, result);
      if (result.leases.empty()) {
        for (rules::StoredJob* job : rules::choose(std::move(due), request)) {
          result.leases.push_back(take(request, *job));
        }
      }
      return result;
    });
  }

  Result<std::vector<bool>> renew(std::span<const LeaseRef> leases, Duration lease_duration,
                                  Duration /*time_limit*/) override {
    const Duration extension =
        lease_duration <= Duration(0) ? state_->rules.lease_duration : std::min(lease_duration, kMaxLease);
    return locked(*state_, [&]() -> Result<std::vector<bool>> {
      std::vector<bool> answer;
      for (const LeaseRef& lease : leases) {
        const auto [job, row] = state_->find_held(lease.job_id, lease.key, lease.fence);
        if (job != nullptr) {
          stamp_lease(*job, *row, extension);
        }
        answer.push_back(job != nullptr);
      }
      return answer;
    });
  }

  Status progress(const LeaseRef& lease, const Progress& progress) override {
    return locked(*state_, [&]() -> Status {
      const auto [job, row] = state_->find_held(lease.job_id, lease.key, lease.fence);
      if (job == nullptr) {
        return core::lease_lost(lease.job_id, lease.key);
      }
      state_->add_tokens(*job, rules::apply_progress(*job, progress, state_->clock->wall_now()));
      return {};
    });
  }

  Status record_in_flight(const LeaseRef& lease, std::span<const TextHash> sent,
                          std::span<const TextHash> answered) override {
    return locked(*state_, [&]() -> Status {
      const auto [job, row] = state_->find_held(lease.job_id, lease.key, lease.fence);
      if (job == nullptr) {
        return core::lease_lost(lease.job_id, lease.key);
      }
      rules::record_in_flight(*job, row->in_flight, sent, answered);
      return {};
    });
  }

  Result<JobStatus> settle(const LeaseRef& lease, const Outcome& outcome) override {
    Result<JobStatus> result = locked(*state_, [&]() -> Result<JobStatus> {
      const auto [job, row] = state_->find_held(lease.job_id, lease.key, lease.fence);
      if (job == nullptr) {
        return settled_before(lease);
      }
      const WallTime now = state_->clock->wall_now();
      const rules::Settled settled = rules::settle(*job, row->state, outcome, state_->rules, now);
      rules::settle_in_flight(row->in_flight);
      state_->note_settled(*row, *job, settled, now);
      state_->add_tokens(*job, settled.tokens);
      return job->status;
    });
    if (result.ok() && *result == JobStatus::kPending) {
      state_->wake.fire();
    }
    return result;
  }

  Result<std::size_t> reap(std::size_t limit) override {
    Result<std::size_t> result = locked(*state_, [&]() -> Result<std::size_t> { return state_->expire_ended(limit); });
    if (result.ok() && *result > 0) {
      state_->wake.fire();
    }
    return result;
  }

  Result<Peek> peek(std::string_view space_id) override {
    return locked(*state_, [&]() -> Result<Peek> {
      Peek peek;
      peek.enqueue_counter = state_->enqueue_counter;
      for (const JobId id : state_->open_jobs) {
        const rules::StoredJob& job = state_->jobs.at(id);
        const Duration lease_left = state_->keys.at(job.key).lease_until - state_->clock->boot_time();
        rules::add_to_peek(peek, job, fits(job.key, space_id), lease_left, state_->clock->wall_now());
      }
      return peek;
    });
  }

  Result<Job> get(JobId id) override {
    return locked(*state_, [&]() -> Result<Job> {
      const auto job = state_->jobs.find(id);
      if (job == state_->jobs.end()) {
        return core::no_such_job(id);
      }
      return job->second;
    });
  }

  Result<JobState> job_state(JobId id) override {
    return locked(*state_, [&]() -> Result<JobState> {
      const auto job = state_->jobs.find(id);
      if (job == state_->jobs.end()) {
        return core::no_such_job(id);
      }
      return job->second.state;
    });
  }

  Result<std::vector<Job>> list(const JobFilter& filter) override {
    return locked(*state_, [&]() -> Result<std::vector<Job>> {
      std::vector<Job> jobs;
      for (auto job = state_->jobs.rbegin(); job != state_->jobs.rend() && jobs.size() < filter.limit; ++job) {
        if (matches(job->second, filter)) {
          jobs.push_back(job->second);
        }
      }
      return jobs;
    });
  }

  Result<std::vector<std::optional<Job>>> last_jobs(std::span<const SpecKey> keys) override {
    return locked(*state_, [&]() -> Result<std::vector<std::optional<Job>>> {
      std::vector<std::optional<Job>> answer;
      for (const SpecKey& key : keys) {
        const KeyEntry* entry = state_->find_key(key);
        const auto job = state_->jobs.find(entry == nullptr ? 0 : entry->second.last_job);
        answer.push_back(job == state_->jobs.end() ? std::nullopt : std::optional(job->second));
      }
      return answer;
    });
  }

  Result<StoreCounts> counts() override {
    return locked(*state_, [&]() -> Result<StoreCounts> {
      StoreCounts counts;
      for (const auto& [id, job] : state_->jobs) {
        switch (job.status) {
          case JobStatus::kPending: ++counts.pending; break;
          case JobStatus::kRunning: ++counts.running; break;
          case JobStatus::kSucceeded: ++counts.succeeded; break;
          case JobStatus::kFailed: ++counts.failed; break;
          case JobStatus::kCancelled: ++counts.cancelled; break;
        }
      }
      return counts;
    });
  }

  Result<std::vector<Failure>> failures(std::optional<std::string> catalog_id, std::size_t limit) override {
    return locked(*state_, [&]() -> Result<std::vector<Failure>> {
      std::vector<Failure> found;
      for (const auto& [key, row] : state_->keys) {
        if (row.failure.occurrences > 0 && !row.failure.resolved && (!catalog_id || key.catalog_id == *catalog_id)) {
          found.push_back(row.failure);
        }
      }
      std::stable_sort(found.begin(), found.end(),
                       [](const Failure& a, const Failure& b) { return a.last_failed_at > b.last_failed_at; });
      found.resize(std::min(found.size(), limit));
      return found;
    });
  }

  Result<std::vector<Failure>> failures_of(std::span<const SpecKey> keys) override {
    return locked(*state_, [&]() -> Result<std::vector<Failure>> {
      std::vector<Failure> answer;
      for (const SpecKey& key : keys) {
        const KeyEntry* entry = state_->find_key(key);
        answer.push_back(entry == nullptr ? Failure{.key = key} : entry->second.failure);
      }
      return answer;
    });
  }

  Status resolve_failure(const SpecKey& key) override {
    return locked(*state_, [&]() -> Status {
      KeyEntry* entry = state_->find_key(key);
      if (entry == nullptr || entry->second.failure.occurrences == 0) {
        return core::no_such_failure(key);
      }
      entry->second.failure.resolved = true;
      return {};
    });
  }

  Result<std::size_t> purge(Duration age, std::size_t limit) override {
    return locked(*state_, [&]() -> Result<std::size_t> {
      const WallTime before = state_->clock->wall_now() - std::max(age, Duration(0));
      std::size_t deleted = 0;
      for (auto job = state_->jobs.begin(); job != state_->jobs.end() && deleted < limit;) {
        if (may_purge(job->second, before)) {
          job = state_->jobs.erase(job);
          ++deleted;
        } else {
          ++job;
        }
      }
      return deleted;
    });
  }

  Result<ProviderState> provider_state(std::string_view provider) override {
    return locked(*state_, [&]() -> Result<ProviderState> {
      const auto found = state_->providers.find(provider);
      core::ProviderRow none;
      none.state.provider = provider;
      return core::seen_at(found == state_->providers.end() ? none : found->second, state_->clock->wall_now());
    });
  }

  Status note_provider(std::string_view provider, const ProviderNote& note) override {
    if (Status status = core::check_note(provider, note); !status.ok()) {
      return status;
    }
    return locked(*state_, [&]() -> Status {
      core::apply_note(state_->provider(provider), note, state_->clock->wall_now());
      return {};
    });
  }

  Result<std::vector<ProviderState>> providers() override {
    return locked(*state_, [&]() -> Result<std::vector<ProviderState>> {
      std::vector<ProviderState> states;
      for (const auto& [name, row] : state_->providers) {
        states.push_back(core::seen_at(row, state_->clock->wall_now()));
      }
      return states;
    });
  }

  Status register_worker(const WorkerInfo& worker) override {
    auto checked = core::checked_worker(worker);
    if (!checked.ok()) {
      return checked.status();
    }
    return locked(*state_, [&]() -> Status {
      const WallTime now = state_->clock->wall_now();
      const auto [at, is_new] = state_->workers.try_emplace(checked->worker_id);
      checked->started_at = is_new ? now : at->second.started_at;
      checked->last_seen_at = now;
      at->second = std::move(*checked);
      return {};
    });
  }
  Status unregister_worker(std::string_view worker_id) override {
    return locked(*state_, [&]() -> Status {
      if (const auto found = state_->workers.find(worker_id); found != state_->workers.end()) {
        state_->workers.erase(found);
      }
      return {};
    });
  }
  Result<std::vector<WorkerInfo>> workers() override {
    return locked(*state_, [&]() -> Result<std::vector<WorkerInfo>> {
      std::vector<WorkerInfo> workers;
      for (const auto& [id, worker] : state_->workers) {
        if (workers.size() < core::kMostWorkersListed) {
          workers.emplace_back(worker).read_at = state_->clock->wall_now();
        }
      }
      return workers;
    });
  }
  Result<std::size_t> forget_workers(Duration age) override {
    return locked(*state_, [&]() -> Result<std::size_t> {
      const WallTime before = state_->clock->wall_now() - age;
      return std::erase_if(state_->workers, [&](const auto& entry) { return entry.second.last_seen_at < before; });
    });
  }

  [[nodiscard]] Duration lease_duration() const override { return state_->rules.lease_duration; }
  void set_wake(std::function<void()> wake) override { state_->wake.set(std::move(wake)); }

 private:
  [[nodiscard]] bool fits(const SpecKey& key, std::string_view space_id) const {
    const SpaceId& target = state_->catalog_of(key).second.target_space;
    return target.empty() || space_id.empty() || target == space_id;
  }

  /// The due jobs that this claim may take. Leases that an earlier sending of the same claim took go to `result`.
  std::vector<rules::StoredJob*> scan(const ClaimRequest& request, ClaimResult& result) {
    const WallTime now = state_->clock->wall_now();
    std::vector<rules::StoredJob*> due;
    for (const JobId id : state_->open_jobs) {
      rules::StoredJob& job = state_->jobs.at(id);
      if (job.status == JobStatus::kRunning) {
        if (job.fence.nonce == request.nonce) {
          result.leases.push_back(lease_of(job));
        }
      } else if (rules::is_due(job.next_run_at, now)) {
        if (fits(job.key, request.space_id)) {
          due.push_back(&job);
        } else if (result.other_space++ == 0) {
          result.other_space_example =
              core::target_of(job.key.catalog_id, state_->catalog_of(job.key).second.target_space);
        }
      }
    }
    return due;
  }

  Lease take(const ClaimRequest& request, rules::StoredJob& job) {
    CatalogRow& catalog = state_->catalog_of(job.key).second;
    if (catalog.target_space.empty()) {
      catalog.target_space = catalog.search_space = request.space_id;
    }
    KeyRow& row = state_->keys.at(job.key);
    rules::claim(job, row.state,
                 {.worker_id = request.worker_id,
                  .nonce = request.nonce,
                  .epoch = state_->epoch,
                  .now = state_->clock->wall_now(),
                  .provider = request.provider});
    stamp_lease(job, row, state_->rules.lease_duration);
    return lease_of(job);
  }

  [[nodiscard]] Lease lease_of(const rules::StoredJob& job) const {
    const KeyRow& row = state_->keys.at(job.key);
    return {.job = job,
            .state = job.state,
            .reuse_floor = row.state.reuse_floor,
            .suspects = rules::suspects_of(row.in_flight)};
  }

  void stamp_lease(rules::StoredJob& job, KeyRow& row, Duration duration) {
    job.lease_expires_at = state_->clock->wall_now() + duration;
    row.lease_until = state_->clock->boot_time() + duration;
  }

  /// The answer to an outcome whose first sending took effect.
  [[nodiscard]] Result<JobStatus> settled_before(const LeaseRef& lease) const {
    const auto job = state_->jobs.find(lease.job_id);
    const bool settled = job != state_->jobs.end() && rules::settled_before(job->second, lease);
    return settled ? Result<JobStatus>(job->second.status) : core::lease_lost(lease.job_id, lease.key);
  }

  [[nodiscard]] bool may_purge(const rules::StoredJob& job, WallTime before) const {
    if (is_open(job.status) || job.completed_at >= before) {
      return false;
    }
    if (job.status != JobStatus::kFailed) {
      return true;
    }
    const KeyRow& row = state_->keys.at(job.key);
    const bool unresolved = row.failure.occurrences > 0 && !row.failure.resolved;
    return !unresolved && row.last_job != job.id;
  }

  const std::shared_ptr<State> state_;
};

}  // namespace

std::shared_ptr<Store> make_store(std::shared_ptr<State> state) {
  return std::make_shared<MemoryStore>(std::move(state));
}

}  // namespace embedjobs::memory
