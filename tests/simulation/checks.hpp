// What must hold, checked at every effect: the parts that a simulated process gets are wrapped, and each call that the
// backend accepted is compared with what the world knows. Reads go past the faults, through a handle of the world's
// own.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "embedjobs/backend.hpp"
#include "embedjobs/fleet.hpp"
#include "embedjobs/jobs.hpp"
#include "embedjobs/manifest.hpp"
#include "embedjobs/persister.hpp"
#include "embedjobs/provider.hpp"
#include "embedjobs/sys/catalog.hpp"
#include "embedjobs/sys/store.hpp"
#include "simulation/parts.hpp"
#include "simulation/world.hpp"

namespace embedjobs::sim {

/// The truth, and the rules.
class Checker {
 public:
  Checker(World& world, Backend observer, Duration lease_duration)
      : world_(world), observer_(std::move(observer)), lease_duration_(lease_duration) {}

  [[nodiscard]] const Backend& observer() const { return observer_; }
  World& world() { return world_; }
  /// Whether this fence holds this job now, by what is stored.
  [[nodiscard]] bool holds(const SpecKey& key, JobId id, const Fence& fence) const;

  // Effects, told by the wrapped parts after an accepted call. `held`: holds() before the call.
  void claimed(const Lease& lease, const std::string& worker);
  void renewed(const LeaseRef& lease, bool held);
  /// The worker may have leases that it has not been told of; as long as they last it can't release them.
  void claim_lost(const std::string& worker) { lost_claims_[worker] = world_.elapsed(); }
  [[nodiscard]] bool knows_its_leases(const std::string& worker) const {
    const auto lost = lost_claims_.find(worker);
    return lost == lost_claims_.end() || world_.elapsed() - lost->second > lease_duration_;
  }
  void wrote(const char* what, const SpecKey& key, bool held, const Status& answer);
  /// Whether a chunk whose answer says nothing certain is stored.
  [[nodiscard]] bool took_effect(const PassContext& context, std::span<const VectorRow> rows) const;
  void persisted(const PassContext& context, std::span<const VectorRow> rows);
  /// Tokens as they are stored: of the job, of its last pass, of the provider.
  struct Tokens {
    std::uint64_t job = 0, pass = 0, provider = 0;
  };
  [[nodiscard]] Tokens tokens(JobId id) const;
  /// As the store has it; -1: it was not told yet, or there is no such job.
  [[nodiscard]] std::int64_t fewest_missing(JobId id) const;
  /// A write of a pass told its tokens. `before`: tokens() before the call.
  void counted(const SpecKey& key, JobId id, bool held, std::uint64_t told, const Tokens& before, const Status& answer);
  [[nodiscard]] std::uint64_t tokens_counted() const { return tokens_counted_; }
  void finalized(const PassContext& context, const Manifest& manifest);
  void settled(const LeaseRef& lease, const Outcome& outcome, JobStatus status);
  void told_progress(const SpecKey& key, const Progress& progress);
  void listed(const PassContext& context, const Manifest& wanted, const std::vector<bool>& answer);
  void given_up(const PassContext& context, std::span<const TextHash> texts);
  void reserved(const PassContext& context, std::span<const TextHash> texts, const std::vector<Reservation>& answer);
  // Told by the world's own actions.
  void switched(const std::string& catalog_id) {
    std::erase_if(lease_until_, [&](const auto& entry) { return entry.first.catalog_id == catalog_id; });
  }
  /// `seen`: its death can be told, and its leases are free at once.
  void process_gone(const std::string& worker, bool seen);
  void removed(const SpecKey& key);
  void put(const SpecKey& key) { removed_.erase(key); }
  void manual_retry(const SpecKey& key) {
    retried_.insert(key.catalog_id);
    floors_.insert(key);
  }
  /// Somebody's lease of the key has not ended.
  [[nodiscard]] bool leased(const SpecKey& key) const {
    const auto until = lease_until_.find(key);
    return until != lease_until_.end() && until->second.first > world_.elapsed();
  }
  [[nodiscard]] bool is_stored(const std::string& catalog_id, const Space& space, const TextHash& hash) const;
  void sent(std::string_view text, const Space& space);

  /// Visible rows of the spec: operation id -> text hash.
  [[nodiscard]] std::map<std::string, std::string> rows(const SpecKey& key, Space* space = nullptr) const;
  /// What the stored document says they should be; false when it can't be split or there is none.
  bool document_rows(const SpecKey& key, std::map<std::string, std::string>& rows) const;

 private:
  void violation(const std::string& rule, const SpecKey& key, const std::string& what);

  World& world_;
  Backend observer_;
  Duration lease_duration_;
  LineSplitter splitter_;
  std::map<SpecKey, Fence> last_fence_;
  std::map<SpecKey, std::pair<Duration, std::string>> lease_until_;  // and the worker
  std::map<std::string, Duration> lost_claims_;                      // by worker
  std::set<SpecKey> removed_;
  std::set<std::string> retried_;              // catalogs in which vectors may be computed again
  std::map<std::string, Duration> stored_at_;  // catalog, space, text hash -> when
  /// A pass was given a text to embed. It may still act on that after its lease is lost.
  struct Grant {
    SpecKey key;
    JobId job_id = 0;
    Fence fence;
    Duration since{0};
    std::string worker;
  };
  template <typename Predicate>
  void end_grants(const Predicate& over) {
    for (auto& [text, grants] : grants_) {
      std::erase_if(grants, over);
    }
  }
  std::map<std::string, std::vector<Grant>> grants_;                     // catalog, space, text hash -> passes
  std::map<std::string, std::uint64_t> epochs_;                          // of stored vectors, by the same
  std::set<SpecKey> floors_;                                             // manual retries that have not succeeded yet
  std::map<std::pair<SpecKey, std::uint64_t>, std::uint64_t> floor_of_;  // by key and nonce: what the claim said
  struct Budget {
    std::uint64_t generation = 0;
    int errors = 0, releases = 0;  // since fewer operations were missing than ever before
    std::int64_t fewest_missing = -1;
  };
  std::map<SpecKey, Budget> budgets_;
  [[nodiscard]] bool reusable(const PassContext& context, const TextHash& hash) const;
  void count_outcome(const LeaseRef& lease, const Outcome& outcome, JobStatus status);
  std::map<std::uint64_t, std::string> workers_;  // by nonce
  std::map<std::pair<SpecKey, std::uint64_t>, std::set<TextHash>>
      embedded_;  // by key and nonce: what a pass has persisted
  std::uint64_t tokens_counted_ = 0;
};

/// The store as a process sees it.
class CheckedStore final : public Store {
 public:
  CheckedStore(std::shared_ptr<Store> inner, Checker& checker, std::function<void(std::function<void()>)> on_wake)
      : inner_(std::move(inner)), checker_(checker), on_wake_(std::move(on_wake)) {}

  Result<EnqueueResult> enqueue(const SpecKey& key, JobKind kind) override { return inner_->enqueue(key, kind); }
  Status remove_key(const SpecKey& key) override { return inner_->remove_key(key); }
  Result<ClaimResult> claim(const ClaimRequest& request) override;
  Result<std::vector<bool>> renew(std::span<const LeaseRef> leases, Duration lease_duration,
                                  Duration time_limit) override;
  Status progress(const LeaseRef& lease, const Progress& progress) override;
  Status record_in_flight(const LeaseRef& lease, std::span<const TextHash> sent,
                          std::span<const TextHash> answered) override;
  Result<JobStatus> settle(const LeaseRef& lease, const Outcome& outcome) override;
  Result<std::size_t> reap(std::size_t limit) override { return inner_->reap(limit); }
  Result<Peek> peek(std::string_view space_id) override { return inner_->peek(space_id); }
  Result<Job> get(JobId id) override { return inner_->get(id); }
  Result<std::vector<Job>> list(const JobFilter& filter) override { return inner_->list(filter); }
  Result<std::vector<std::optional<Job>>> last_jobs(std::span<const SpecKey> keys) override {
    return inner_->last_jobs(keys);
  }
  Result<JobState> job_state(JobId id) override { return inner_->job_state(id); }
  Result<StoreCounts> counts() override { return inner_->counts(); }
  Result<std::vector<Failure>> failures(std::optional<std::string> catalog_id, std::size_t limit) override {
    return inner_->failures(std::move(catalog_id), limit);
  }
  Result<std::vector<Failure>> failures_of(std::span<const SpecKey> keys) override { return inner_->failures_of(keys); }
  Status resolve_failure(const SpecKey& key) override { return inner_->resolve_failure(key); }
  Result<std::size_t> purge(Duration age, std::size_t limit) override { return inner_->purge(age, limit); }
  Result<ProviderState> provider_state(std::string_view provider) override { return inner_->provider_state(provider); }
  Status note_provider(std::string_view provider, const ProviderNote& note) override {
    return inner_->note_provider(provider, note);
  }
  Result<std::vector<ProviderState>> providers() override { return inner_->providers(); }
  Status register_worker(const WorkerInfo& worker) override { return inner_->register_worker(worker); }
  Status unregister_worker(std::string_view worker_id) override { return inner_->unregister_worker(worker_id); }
  Result<std::vector<WorkerInfo>> workers() override { return inner_->workers(); }
  Result<std::size_t> forget_workers(Duration age) override { return inner_->forget_workers(age); }
  [[nodiscard]] Duration lease_duration() const override { return inner_->lease_duration(); }
  [[nodiscard]] Duration poll_interval() const override {
    return inner_->poll_interval() > Duration(0) ? Duration(std::chrono::seconds(1)) : Duration(0);
  }
  void set_wake(std::function<void()> wake) override { on_wake_(std::move(wake)); }

 private:
  std::shared_ptr<Store> inner_;
  Checker& checker_;
  std::function<void(std::function<void()>)> on_wake_;
};

class CheckedPersister final : public Persister {
 public:
  CheckedPersister(std::shared_ptr<Persister> inner, Checker& checker) : inner_(std::move(inner)), checker_(checker) {}
  Result<std::vector<bool>> list_existing(const PassContext& context, const Manifest& wanted) override;
  Result<std::vector<Reservation>> reserve(const PassContext& context, std::span<const TextHash> texts,
                                           std::span<const TextHash> given_up) override;
  Status persist_batch(const PassContext& context, std::span<const VectorRow> rows) override;
  Status finalize(const PassContext& context, const Manifest& manifest) override;
  Result<std::vector<SpecState>> describe(std::span<const SpecKey> keys) override { return inner_->describe(keys); }

 private:
  std::shared_ptr<Persister> inner_;
  Checker& checker_;
};

}  // namespace embedjobs::sim
