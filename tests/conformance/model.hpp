// What a backend should do, written down as plainly as can be: no database, no locks, no regard for speed, and nothing
// of the library's own state machine. The random sequences of model_test.cpp compare a backend with it, answer by
// answer.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "embedjobs/jobs.hpp"
#include "embedjobs/persister.hpp"
#include "embedjobs/provider.hpp"
#include "embedjobs/sys/catalog.hpp"
#include "embedjobs/sys/runtime.hpp"
#include "embedjobs/sys/store.hpp"

namespace embedjobs::test {

/// A text that is or was in flight.
struct ModelInFlight {
  bool sent = false;
  bool suspect = false;
  int alone = 0;
  int strikes = 0;
  bool set_aside = false;
};

struct ModelVector {
  std::uint64_t epoch = 0;
  int salt = 0;  ///< Which of the vectors of the text it is.
  std::size_t embedded_bytes = 0;
  std::size_t input_cap = 0;
};

/// A job with its budgets.
struct ModelJob : Job, JobState {};

/// One key, with its document and rows: operation id -> text.
struct ModelSpec {
  bool known = false;
  std::uint64_t generation = 0;
  std::uint64_t fence_counter = 0;
  std::uint64_t holder = 0;  ///< Nonce of who holds the key; 0: nobody.
  std::uint64_t floor = 0;
  bool removed = false;
  JobId open = 0;
  JobId last = 0;
  Duration lease_until{0};
  std::map<std::string, ModelInFlight> in_flight;  ///< By text.
  Failure failure;
  bool exists = false;  ///< It has a document, or rows.
  std::optional<std::string> content;
  std::map<std::string, std::map<std::string, std::string>> rows;  ///< By space.
  std::string visible;
  SpecState finalized;
  std::int64_t operation_count = 0;
};

struct ModelCatalog {
  std::string target;
  std::string search;
};

/// An operation of a pass: id and text.
using ModelOps = std::vector<std::pair<std::string, std::string>>;

class Model {
 public:
  /// `epoch`: where the backend's counter begins.
  Model(StoreOptions rules, std::shared_ptr<Clock> clock, std::uint64_t epoch)
      : rules_(rules), clock_(std::move(clock)), epoch_(epoch) {}

  std::map<SpecKey, ModelSpec> specs;
  std::map<std::string, ModelCatalog> catalogs;
  std::map<JobId, ModelJob> jobs;
  std::map<std::tuple<std::string, std::string, std::string>, ModelVector> vectors;  ///< By catalog, space, text.
  std::uint64_t enqueues = 0;
  std::map<std::string, ProviderState> providers;  ///< Without tokens_today.

  // Store
  EnqueueResult enqueue(const SpecKey& key, JobKind kind);
  Code remove_key(const SpecKey& key);
  ClaimResult claim(const ClaimRequest& request);
  bool renew(const LeaseRef& lease, Duration duration);
  Code progress(const LeaseRef& lease, const Progress& progress);
  Code record_in_flight(const LeaseRef& lease, const std::set<std::string>& sent,
                        const std::set<std::string>& answered);
  /// The status that the job has then, or kLeaseLost.
  std::pair<Code, JobStatus> settle(const LeaseRef& lease, const Outcome& outcome);
  std::size_t reap(std::size_t limit);
  Peek peek(const std::string& space) const;
  void note_provider(const std::string& provider, const ProviderNote& note);
  Code resolve_failure(const SpecKey& key);
  std::size_t purge(Duration age, std::size_t limit);

  // Catalog
  EnqueueResult put(const SpecKey& key, const std::string& content, const std::string& target);
  Code remove(const SpecKey& key);
  Code remove_catalog(const std::string& catalog);
  std::size_t switch_space(const std::string& catalog, const std::string& target);
  std::pair<Code, std::vector<bool>> list_existing(const PassContext& context, const ModelOps& ops) const;
  Code persist_batch(const PassContext& context, const ModelOps& ops, const ModelVector& mark);
  Code finalize(const PassContext& context, const ModelOps& ops);

  [[nodiscard]] bool complete(const ModelSpec& spec) const;
  [[nodiscard]] std::vector<std::string> searchable(const std::string& catalog) const;

 private:
  [[nodiscard]] WallTime now() const { return clock_->wall_now(); }
  [[nodiscard]] bool due(const ModelJob& job) const;
  [[nodiscard]] bool fits(const SpecKey& key, const std::string& space) const;
  /// The running job that the lease is the right to run.
  void take(JobId id, const ClaimRequest& request);
  [[nodiscard]] Lease lease_of(JobId id) const;
  ModelJob* held(JobId id, const SpecKey& key, const Fence& fence);
  [[nodiscard]] Code check_pass(const PassContext& context) const;
  [[nodiscard]] bool usable(const PassContext& context, const std::string& text) const;

  JobId open_job(const SpecKey& key, JobKind kind);
  void start_over(ModelJob& job, ModelSpec& spec);
  void leave(ModelJob& job, ModelSpec& spec);  ///< The holder holds the key no more.
  void fail(ModelJob& job, ModelSpec& spec);
  void count_error(ModelJob& job, ModelSpec& spec, WallTime next);
  void release(ModelJob& job, ModelSpec& spec, WallTime next);
  void drop_answered(ModelSpec& spec);
  void crash(ModelJob& job, ModelSpec& spec);
  void apply(ModelJob& job, const Progress& progress);
  void count(ModelJob& job, std::uint64_t tokens);
  void cancel(ModelSpec& spec);
  void clear(const SpecKey& key);
  void flip(const std::string& catalog);
  std::size_t expire(std::size_t limit);

  StoreOptions rules_;
  std::shared_ptr<Clock> clock_;
  JobId last_id_ = 0;
  std::uint64_t epoch_;
};

}  // namespace embedjobs::test
