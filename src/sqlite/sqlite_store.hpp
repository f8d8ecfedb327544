// Store over a Database. Its parts: store.cpp (a job's life), claim.cpp (leases taken and expired), history.cpp
// (looking back, purge), providers.cpp (what is remembered of providers).
#pragma once

#include <memory>

#include "embedjobs/sys/store.hpp"
#include "sqlite/database.hpp"

namespace embedjobs::sqlite {

class SqliteStore final : public Store {
 public:
  explicit SqliteStore(std::shared_ptr<Database> database) : database_(std::move(database)) {}

  Result<EnqueueResult> enqueue(const SpecKey& key, JobKind kind) override;
  Status remove_key(const SpecKey& key) override;
  Result<ClaimResult> claim(const ClaimRequest& request) override;
  Result<std::vector<bool>> renew(std::span<const LeaseRef> leases, Duration lease_duration,
                                  Duration time_limit) override;
  Status progress(const LeaseRef& lease, const Progress& progress) override;
  Status record_in_flight(const LeaseRef& lease, std::span<const TextHash> sent,
                          std::span<const TextHash> answered) override;
  Result<JobStatus> settle(const LeaseRef& lease, const Outcome& outcome) override;
  Result<std::size_t> reap(std::size_t limit) override;
  Result<Peek> peek(std::string_view space_id) override;
  Result<Job> get(JobId id) override;
  Result<JobState> job_state(JobId id) override;
  Result<std::vector<Job>> list(const JobFilter& filter) override;
  Result<std::vector<std::optional<Job>>> last_jobs(std::span<const SpecKey> keys) override;
  Result<StoreCounts> counts() override;
  Result<std::vector<Failure>> failures(std::optional<std::string> catalog_id, std::size_t limit) override;
  Result<std::vector<Failure>> failures_of(std::span<const SpecKey> keys) override;
  Status resolve_failure(const SpecKey& key) override;
  Result<std::size_t> purge(Duration age, std::size_t limit) override;
  Result<ProviderState> provider_state(std::string_view provider) override;
  Status note_provider(std::string_view provider, const ProviderNote& note) override;
  Result<std::vector<ProviderState>> providers() override;
  Status register_worker(const WorkerInfo& worker) override;
  Status unregister_worker(std::string_view worker_id) override;
  Result<std::vector<WorkerInfo>> workers() override;
  Result<std::size_t> forget_workers(Duration age) override;
  [[nodiscard]] Duration lease_duration() const override { return rules().lease_duration; }
  [[nodiscard]] Duration poll_interval() const override { return std::chrono::milliseconds(250); }
  void set_wake(std::function<void()> wake) override { database_->wake().set(std::move(wake)); }

 private:
  [[nodiscard]] const StoreOptions& rules() const { return database_->options().store; }
  [[nodiscard]] WallTime now() const { return database_->clock().wall_now(); }

  std::shared_ptr<Database> database_;
};

}  // namespace embedjobs::sqlite
