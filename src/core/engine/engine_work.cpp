// start and stop: the life of worker and maintenance.
//
//   open --start--> starting --> started --stop--> stopping --both ended--> stopped
//   starting --refused--> open;  open or starting --stop--> stopped
#include <fmt/format.h>

#include <algorithm>

#include "core/engine/engine_impl.hpp"

namespace embedjobs {
namespace core {

void Signal::notify() {
  const std::lock_guard lock(mutex_);
  ++count_;
  changed_.notify_all();
}

void Signal::set_fault(Status fault) {
  const std::lock_guard lock(mutex_);
  fault_ = std::move(fault);
  ++count_;
  changed_.notify_all();
}

Status Signal::fault() {
  const std::lock_guard lock(mutex_);
  return fault_;
}

std::uint64_t Signal::count() {
  const std::lock_guard lock(mutex_);
  return count_;
}

void Signal::wait(std::uint64_t seen, Duration longest, std::stop_token stop) {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, std::move(stop), longest, [&] { return count_ != seen; });
}

}  // namespace core

namespace {

constexpr std::size_t kTargetsToName = 5;

/// An error of a provider that may be gone by itself: the worker goes on asking.
bool is_passing(Code code) {
  return code == Code::kRetry || code == Code::kPaused || code == Code::kTimeout;
}

bool ends_a_pass(EventKind kind) {
  return kind == EventKind::kJobSucceeded || kind == EventKind::kJobRetried || kind == EventKind::kJobFailed ||
         kind == EventKind::kJobReleased || kind == EventKind::kLeaseLost || kind == EventKind::kLeaseExpired;
}

}  // namespace

Engine::Impl::~Impl() {
  (void)stop(std::nullopt);
  maintenance_.reset();
  worker_.reset();
  hosted_.reset();  // the tracked runtime keeps it, and goes when its threads have ended
  runtime_.reset();
}

Status Engine::Impl::check_targets(const std::string& space_id) {
  if (!catalog_ || space_id.empty()) {
    return {};
  }
  const Result<std::vector<CatalogInfo>> infos = catalog_->catalogs();
  if (!infos.ok()) {
    return infos.status();
  }
  std::vector<const CatalogInfo*> others;
  bool some_fit = false;
  for (const CatalogInfo& info : *infos) {
    if (info.target_space_id.empty() || info.target_space_id == space_id) {
      some_fit = true;
    } else if (info.spec_count > 0) {
      others.push_back(&info);
    }
  }
  if (!others.empty() && !some_fit) {
    return {
        Code::kRefused,
        fmt::format("catalog '{}' has target space {}, this engine's embedder is of {}: use switch-space, or open with "
                    "an embedder of the target space",
                    others.front()->catalog_id, others.front()->target_space_id, space_id)};
  }
  for (std::size_t i = 0; i < std::min(others.size(), kTargetsToName); ++i) {
    log(LogLevel::kWarning,
        fmt::format("catalog '{}' has target space {} and is left alone: this engine's embedder is of {}",
                    others[i]->catalog_id, others[i]->target_space_id, space_id));
  }
  if (others.size() > kTargetsToName) {
    log(LogLevel::kWarning,
        fmt::format("{} more catalogs are left alone for the same reason", others.size() - kTargetsToName));
  }
  return {};
}

/// A document may have come without an embedder's name, by SQL or by another program.
void Engine::Impl::remember_in_catalogs(const std::string& space_id) {
  if (space_id.empty() || !catalog_ || options_.embedder.empty()) {
    return;
  }
  const Result<std::vector<CatalogInfo>> infos = catalog_->catalogs();
  for (std::size_t i = 0; infos.ok() && i < infos->size(); ++i) {
    if ((*infos)[i].target_space_id == space_id) {
      remember_embedder((*infos)[i].catalog_id);
    }
  }
}

/// True where the store can't tell.
bool Engine::Impl::has_open_jobs() {
  const Result<Peek> peek = store_->peek({});
  return !peek.ok() || peek->next_due || peek->running;
}

Result<Engine::Impl::Work> Engine::Impl::prepare_work() {
  Work work;
  Result<EmbedderPtr> embedder = work_embedder();
  if (!embedder.ok()) {
    return embedder.status();
  }
  work.embedder = *embedder;
  if (work.embedder && !given_embedder_) {
    const std::lock_guard lock(space_mutex_);
    default_embedder_ = work.embedder;
  }
  adopt_recorded_space();
  if (work.embedder && !work.embedder->knows_space() && !has_open_jobs()) {
    return work;  // the worker asks the provider when there is work
  }
  const Result<Space> space =
      work_space(std::min(core::kForegroundTimeout, options_.worker.embed_timeout), start_stop_.get_token());
  if (space.ok()) {
    work.space_id = space->id();
  } else if (!is_passing(space.status().code())) {
    return space.status();  // else the worker goes on asking, and says so
  }
  if (Status status = check_targets(work.space_id); !status.ok()) {
    return status;
  }
  remember_in_catalogs(work.space_id);
  return work;
}

LaneSizes Engine::Impl::lane_sizes(const EmbedderLimits& limits) const {
  constexpr std::size_t kMostThreads = 64;
  const std::size_t allowed = std::clamp<std::size_t>(limits.concurrent_calls, 1, kMostThreads);
  const auto wanted = static_cast<std::size_t>(std::max(0, options_.worker.provider_concurrency));
  LaneSizes sizes;
  sizes.provider = static_cast<int>(wanted == 0 ? allowed : std::min(allowed, wanted));
  if (computer_) {
    sizes.compute = std::clamp(options_.worker.slots, 1, static_cast<int>(kMostThreads));
  }
  return sizes;
}

EventSink Engine::Impl::event_sink() const {
  return [signal = signal_, waker = hosted_ ? hosted_->waker() : nullptr, host = options_.events, log = log_,
          thread = event_thread_](const Event& event) {
    if (host) {
      thread->store(std::this_thread::get_id());
      const Status status = core::guarded("the event sink", [&] { host(event); });
      thread->store({});
      if (!status.ok() && log) {
        log(LogLevel::kError, status.to_string());
      }
    }
    if (event.kind == EventKind::kStoreUnusable) {
      signal->set_fault({Code::kUnusable, event.message});
    } else if (ends_a_pass(event.kind)) {
      signal->set_fault({});
    } else {
      return;
    }
    if (waker) {
      waker->wake();
    }
  };
}

void Engine::Impl::make_machines(const Work& work, Threads threads) {
  std::shared_ptr<Runtime> runtime = given_runtime_;
  if (!runtime) {
    runtime = make_system_runtime(lane_sizes(work.embedder ? work.embedder->limits() : EmbedderLimits{}));
  }
  if (threads == Threads::kHost) {
    hosted_ = std::make_shared<core::HostedRuntime>(std::move(runtime), hosted_lanes());
    runtime = hosted_;
  }
  runtime_ = std::make_shared<core::TrackedRuntime>(std::move(runtime));
  WorkerParts parts;
  parts.store = store_;
  parts.resolver = resolver_;
  parts.persister = persister_;
  parts.splitter = splitter_;
  parts.embedder = computer_ ? nullptr : work.embedder;
  parts.computer = computer_;
  parts.log = log_;
  parts.events = event_sink();
  worker_ = std::make_unique<Worker>(*runtime_, std::move(parts), options_.worker);
  MaintenanceParts upkeep = maintenance_parts(work.space_id);
  upkeep.events = event_sink();
  maintenance_ = std::make_unique<Maintenance>(*runtime_, std::move(upkeep), options_.maintenance);
}

Status Engine::Impl::start(Threads threads) {
  const Status stopped(Code::kRefused, "the engine was stopped: open another one");
  {
    std::unique_lock lock(work_mutex_);
    phase_changed_.wait(lock, [&] { return phase_ != Phase::kStarting; });
    if (phase_ == Phase::kStarted && (hosted_ != nullptr) == (threads == Threads::kHost)) {
      return {};
    }
    if (phase_ == Phase::kStarted) {
      return {Code::kRefused, hosted_ ? "the worker runs on the host's own thread: call run"
                                      : "the worker runs on threads of its own already"};
    }
    if (phase_ != Phase::kOpen) {
      return stopped;
    }
    phase_ = Phase::kStarting;
  }
  const Status prepared = core::guarded("start", [&]() -> Status {
    const Result<Work> work = prepare_work();
    if (work.ok() && !start_stop_.stop_requested()) {
      make_machines(*work, threads);
    }
    return work.status();
  });
  {
    const std::lock_guard lock(work_mutex_);
    phase_ = stop_requested_ ? Phase::kStopped : prepared.ok() ? Phase::kStarted : Phase::kOpen;
    phase_changed_.notify_all();
    if (phase_ != Phase::kStarted) {
      return stop_requested_ ? stopped : prepared;
    }
  }
  worker_->start();
  maintenance_->start();
  return {};
}

bool Engine::Impl::wait_for_phase(std::unique_lock<std::mutex>& lock, std::optional<MonoTime> end,
                                  const std::function<bool()>& reached) {
  if (!end) {
    phase_changed_.wait(lock, reached);
    return true;
  }
  while (!reached()) {
    const Duration left = *end - clock_->now();
    if (left <= Duration(0)) {
      return false;
    }
    phase_changed_.wait_for(lock, left);
  }
  return true;
}

void Engine::Impl::machine_stopped() {
  const std::lock_guard lock(work_mutex_);
  if (--machines_running_ == 0) {
    phase_ = Phase::kStopped;
    phase_changed_.notify_all();
    signal_->notify();
    if (hosted_) {
      hosted_->wake();
    }
  }
}

bool Engine::Impl::wait_until_stopped(std::unique_lock<std::mutex>& lock, std::optional<MonoTime> end) {
  const std::shared_ptr<core::HostedRuntime> hosted = hosted_;
  if (!hosted) {
    return wait_for_phase(lock, end, [&] { return phase_ == Phase::kStopped; });
  }
  lock.unlock();
  const bool stopped = hosted->serve(end, [&] { return is_stopped(); });
  if (stopped) {
    hosted->close();  // the machines want no answer any more
  }
  lock.lock();
  return stopped;
}

bool Engine::Impl::stop(std::optional<Duration> deadline) {
  std::optional<MonoTime> end;
  if (deadline) {
    end = clock_->now() + std::clamp(*deadline, Duration(0), core::kLongestWait);
  }
  start_stop_.request_stop();
  std::unique_lock lock(work_mutex_);
  stop_requested_ = true;
  if (phase_ == Phase::kOpen) {
    phase_ = Phase::kStopped;
  }
  if (!wait_for_phase(lock, end, [&] { return phase_ != Phase::kStarting; })) {
    return false;
  }
  if (phase_ == Phase::kStarted) {
    phase_ = Phase::kStopping;
    machines_running_ = 2;
    lock.unlock();
    worker_->request_stop([this] { machine_stopped(); });
    maintenance_->request_stop([this] { machine_stopped(); });
    lock.lock();
  }
  if (!wait_until_stopped(lock, end)) {
    return false;
  }
  const std::shared_ptr<core::TrackedRuntime> runtime = runtime_;
  lock.unlock();
  return runtime == nullptr || runtime->wait_for_tasks(*clock_, end);
}

Result<MetricsSnapshot> Engine::Impl::metrics() {
  MetricsSnapshot snapshot;
  {
    const std::lock_guard lock(work_mutex_);
    if (worker_ && phase_ >= Phase::kStarted) {
      snapshot.worker = worker_->metrics();
    }
  }
  const auto counts = core::if_told(store_->counts());
  auto providers = core::if_told(store_->providers());
  const auto workers = core::if_told(store_->workers());
  for (const Status& status : {counts.status(), providers.status(), workers.status()}) {
    if (!status.ok()) {
      return status;
    }
  }
  snapshot.jobs = *counts;
  snapshot.providers = *std::move(providers);
  if (*workers) {
    snapshot.workers_live = std::count_if((*workers)->begin(), (*workers)->end(), is_live);
  }
  return snapshot;
}

Status Engine::start() {
  return impl_->call([&] { return impl_->start(Impl::Threads::kLibrary); });
}

bool Engine::stop(Duration deadline) {
  const Result<bool> stopped = impl_->call([&]() -> Result<bool> { return impl_->stop(deadline); });
  return stopped.ok() && *stopped;
}

Status Engine::request_stop() {
  return impl_->call([&]() -> Status {
    (void)impl_->stop(Duration(0));
    return {};
  });
}

Result<MetricsSnapshot> Engine::metrics() {
  return impl_->call([&] { return impl_->metrics(); });
}

}  // namespace embedjobs
