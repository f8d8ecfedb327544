// The facade's parts and state. Its methods stand in engine_*.cpp by concept: opening, documents and jobs, work,
// reading, search.
#pragma once

#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "core/engine/shared_embedder.hpp"
#include "core/runtime/hosted_runtime.hpp"
#include "core/runtime/tracked_runtime.hpp"
#include "core/values/guard.hpp"
#include "embedjobs/embedder.hpp"
#include "embedjobs/engine.hpp"
#include "embedjobs/maintenance.hpp"
#include "embedjobs/persister.hpp"
#include "embedjobs/resolver.hpp"
#include "embedjobs/splitter.hpp"
#include "embedjobs/sys/catalog.hpp"
#include "embedjobs/sys/runtime.hpp"
#include "embedjobs/sys/store.hpp"
#include "embedjobs/worker.hpp"

namespace embedjobs {

namespace core {

inline constexpr std::size_t kPage = 500;
inline constexpr Duration kLongestWait = std::chrono::hours(24 * 365);  ///< Keeps sums of times in range.
/// What a provider call may take that no job waits for.
inline constexpr Duration kForegroundTimeout = std::chrono::seconds(30);
/// What put() spends, once, on asking a host's computer for its space.
inline constexpr Duration kCheapSpaceTimeout = std::chrono::seconds(2);

/// None where a part of the host's does not tell (kRefused). Other errors stay.
template <typename T>
Result<std::optional<T>> if_told(Result<T> answer) {
  if (answer.status().code() == Code::kRefused) {
    return std::optional<T>();
  }
  if (!answer.ok()) {
    return answer.status();
  }
  return std::optional<T>(*std::move(answer));
}

/// Something happened: wakes those who wait for the queue to change.
class Signal {
 public:
  void notify();
  /// The store can't be used, as far as the worker knows; success: it can.
  void set_fault(Status fault);
  [[nodiscard]] Status fault();
  [[nodiscard]] std::uint64_t count();
  /// Returns after notify() moved the count from `seen`, after `longest`, or when `stop` is requested.
  void wait(std::uint64_t seen, Duration longest, std::stop_token stop);

 private:
  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::uint64_t count_ = 0;
  Status fault_;
};

}  // namespace core

class Engine::Impl {
 public:
  /// Where start and stop stand. Only forward, except that a refused start goes back to kOpen.
  enum class Phase { kOpen, kStarting, kStarted, kStopping, kStopped };

  Impl() = default;
  ~Impl();
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  // engine_open.cpp
  static Result<std::unique_ptr<Impl>> open(EngineOptions options, EngineParts parts);
  /// Every public call goes through here: refuses a forked child, and lets no exception out.
  template <typename F>
  auto call(F&& f) -> std::invoke_result_t<F> {
    if (forked()) {
      return Status(Code::kRefused, "this engine was opened by another process: open one after fork");
    }
    return core::guarded("the engine", std::forward<F>(f));
  }
  [[nodiscard]] bool forked() const { return ::getpid() != opened_by_; }
  /// kRefused where documents (or their vectors) are not the library's own.
  [[nodiscard]] Status require_documents(std::string_view what) const;
  [[nodiscard]] Status require_vectors(std::string_view what) const;
  void log(LogLevel level, std::string_view message) const;

  // engine.cpp
  Result<EnqueueResult> put(const SpecKey& key, std::string_view content);
  Result<EnqueueResult> put_items(const SpecKey& key, std::string_view items);
  /// Success when `splitter` can cut `content`.
  static Status check_content(const Splitter& splitter, std::string_view content);
  Result<std::size_t> switch_space(std::string_view catalog_id, const Space& target);
  Result<EnqueueResult> enqueue(const SpecKey& key, JobKind kind);
  Result<EnqueueResult> retry(const SpecKey& key);
  Result<std::size_t> retry_failed();
  Result<std::size_t> reconcile();
  MaintenanceParts maintenance_parts(std::string space_id);

  // engine_space.cpp: which embedder, which space
  using EmbedderPtr = std::shared_ptr<core::SharedEmbedder>;
  /// The embedder that was given, else the one of the catalogs' recorded space. Null with a host's computer and no
  /// embedder.
  Result<EmbedderPtr> work_embedder();
  /// The space that passes of this engine write, or would write if it started now.
  Result<Space> work_space(Duration time_limit, std::stop_token stop = {});
  /// The same as an id, without asking a provider; empty when it is not known.
  std::string known_space_id();
  /// Lets the given embedder take the space of the catalogs that can only be its own: then no provider has to be asked.
  void adopt_recorded_space();
  /// The target of a catalog that put() makes: empty leaves it to the first worker.
  std::string target_for_new_catalog();
  /// An embedder of the space `space_id` of a catalog: what is at hand, what the space's name tells, or what the
  /// catalog remembers.
  Result<EmbedderPtr> embedder_of(std::string_view catalog_id, const std::string& space_id);
  /// Lets the catalog remember how this engine's embedder was named. Once for each catalog and space.
  void remember_embedder(const std::string& catalog_id);
  Result<std::vector<CatalogInfo>> catalogs();

  // engine_work.cpp
  /// Whose threads do the work.
  enum class Threads { kLibrary, kHost };
  Status start(Threads threads);
  bool stop(std::optional<Duration> deadline);
  Result<IdleReport> wait_idle(Duration max_wait, std::stop_token stop, std::optional<Duration> time_limit);
  Result<MetricsSnapshot> metrics();

  // engine_run.cpp
  Result<IdleReport> run(const RunOptions& options, std::stop_token stop);

  // engine_status.cpp
  Result<std::vector<SpecStatus>> status(const std::optional<std::string>& catalog_id);
  Result<CatalogHealth> health(const std::optional<std::string>& catalog_id);

  // engine_read.cpp
  Result<std::vector<ProviderState>> providers() { return store_->providers(); }
  Result<std::vector<WorkerStatus>> workers();
  Result<std::vector<VerifyReport>> verify(std::string_view catalog_id, const std::optional<std::string>& spec_name);
  /// Some specs of the built-in catalog, and their keys.
  using VisitPage = std::function<Status(const std::vector<SpecInfo>&, const std::vector<SpecKey>&)>;
  /// Calls `visit` for each page of specs, in order of keys; an error ends it.
  Status for_each_page(const std::optional<std::string>& catalog_id, const VisitPage& visit);

  // engine_search.cpp
  Result<std::vector<SearchHit>> search(std::string_view catalog_id, std::string_view query, std::size_t k);

  // Written by open() and constant afterwards.
  EngineOptions options_;
  std::vector<std::string> warnings_;
  std::shared_ptr<Store> store_;
  std::shared_ptr<SpecResolver> resolver_;
  std::shared_ptr<Persister> persister_;
  std::shared_ptr<Catalog> catalog_;  ///< Null with a host's own resolver.
  bool own_vectors_ = false;          ///< The persister is the catalog.
  std::shared_ptr<const Splitter> splitter_;
  bool own_splitter_ = false;  ///< splitter_ is the library's, which knows items.
  std::shared_ptr<EmbeddingComputer> computer_;
  EmbedderPtr given_embedder_;
  std::shared_ptr<Clock> clock_;
  std::shared_ptr<Runtime> given_runtime_;
  LogSink log_;
  /// The thread on which the host's event sink is running now.
  std::shared_ptr<std::atomic<std::thread::id>> event_thread_ = std::make_shared<std::atomic<std::thread::id>>();
  std::shared_ptr<core::Signal> signal_ = std::make_shared<core::Signal>();
  pid_t opened_by_ = ::getpid();

 private:
  struct Work {
    EmbedderPtr embedder;
    std::string space_id;  ///< Empty: the provider could not say.
  };
  Result<Work> prepare_work();
  bool has_open_jobs();
  void remember_in_catalogs(const std::string& space_id);
  Status check_targets(const std::string& space_id);
  void make_machines(const Work& work, Threads threads);
  /// Which lanes call what the host brought.
  [[nodiscard]] core::HostedLanes hosted_lanes() const;
  [[nodiscard]] LaneSizes lane_sizes(const EmbedderLimits& limits) const;
  EventSink event_sink() const;
  bool wait_for_phase(std::unique_lock<std::mutex>& lock, std::optional<MonoTime> end,
                      const std::function<bool()>& reached);
  /// The same for kStopped; does what waits for the host's thread meanwhile, unless another thread does.
  bool wait_until_stopped(std::unique_lock<std::mutex>& lock, std::optional<MonoTime> end);
  [[nodiscard]] bool is_stopped();
  void machine_stopped();
  struct RecordedSpace {
    std::string space_id;
    std::string catalog_id;  ///< One that records it.
  };
  /// The one space that the catalogs record, or none; kRefused when they differ.
  Result<RecordedSpace> recorded_space();
  /// What the catalog remembers of the space, as an embedder.
  Result<EmbedderPtr> remembered_embedder(std::string_view catalog_id, const std::string& space_id);
  /// A catalog with specs that was made while its embedder did not answer: the try-out one must not take it over.
  /// Empty: there is none.
  Result<std::string> undecided_catalog();
  using VisitStatus = std::function<void(const SpecStatus&, const std::optional<Job>&)>;
  Status for_each_status(const std::optional<std::string>& catalog_id, const VisitStatus& visit);
  /// The same for vectors that the host keeps.
  Status host_statuses(const std::optional<std::string>& catalog_id, const VisitStatus& visit);
  Status visit_host_page(const std::vector<SpecVersion>& page, const VisitStatus& visit);
  /// Of each key; none where the store does not tell about jobs.
  using LastJobs = std::optional<std::vector<std::optional<Job>>>;
  Result<LastJobs> last_jobs(const std::vector<SpecKey>& keys);
  /// Sets provider_pause of the rows whose open job waits for a provider, and pause_known.
  Status add_pauses(std::vector<SpecStatus>& rows, const std::vector<std::string>& providers_of_rows);
  /// The pause of the worker's provider, when it keeps pending jobs or passes of ours waiting for `max_wait` or longer.
  [[nodiscard]] std::optional<ProviderPause> kept_waiting(const Peek& peek, Duration max_wait);
  /// None: the wait goes on.
  [[nodiscard]] std::optional<IdleReport> end_of_wait(const Peek& peek, Duration max_wait);
  /// One look of those who wait for the queue to be idle: a report or an error ends the wait.
  class IdleWatch;
  /// kRefused on the thread of an event callback: the work would wait for it.
  [[nodiscard]] Status refuse_in_event(std::string_view what) const;
  Result<IdleReport> serve_until(const RunOptions& options, const std::stop_token& stop);
  /// The first difference between a spec's document and its rows; empty when there is none.
  Result<std::string> difference_of(const SpecKey& key);
  Status require_catalog(const std::string& catalog_id);

  std::mutex space_mutex_;
  EmbedderPtr default_embedder_;  ///< Chosen by start(), when none was given.
  std::optional<Space> computer_space_;
  std::optional<std::string> new_catalog_target_;
  std::map<std::string, EmbedderPtr, std::less<>> search_embedders_;
  std::set<std::pair<std::string, std::string>> remembered_;  ///< Catalogs with spaces whose embedder is stored.

  std::mutex work_mutex_;
  std::condition_variable phase_changed_;
  Phase phase_ = Phase::kOpen;
  bool stop_requested_ = false;
  bool in_run_ = false;  ///< A thread is in run().
  int machines_running_ = 0;
  std::stop_source start_stop_;
  // Made by start(), in this order; read by others once phase_ is kStarted.
  std::shared_ptr<core::HostedRuntime> hosted_;  ///< Null where the library's threads do all the work.
  std::shared_ptr<core::TrackedRuntime> runtime_;
  std::unique_ptr<Worker> worker_;
  std::unique_ptr<Maintenance> maintenance_;
};

}  // namespace embedjobs
