// start, stop, wait_idle: the life of the worker and the sweeps.
//
//   open --start--> starting --> started --stop--> stopping --both ended--> stopped
//   starting --refused--> open;  open or starting --stop--> stopped
#include <fmt/format.h>

#include <algorithm>

#include "core/engine_impl.hpp"

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

constexpr Duration kIdlePoll = std::chrono::milliseconds(100);
constexpr Duration kLongestWait = std::chrono::hours(24 * 365);  // keeps sums of times in range
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
    return {Code::kRefused, fmt::format("catalog '{}' has target space {}, this engine's embedder is of {}: use switch-space, or open with "
                                        "an embedder of the target space",
                                        others.front()->catalog_id, others.front()->target_space_id, space_id)};
  }
  for (std::size_t i = 0; i < std::min(others.size(), kTargetsToName); ++i) {
    log(LogLevel::kWarning, fmt::format("catalog '{}' has target space {} and is left alone: this engine's embedder is of {}",
                                        others[i]->catalog_id, others[i]->target_space_id, space_id));
  }
  if (others.size() > kTargetsToName) {
    log(LogLevel::kWarning, fmt::format("{} more catalogs are left alone for the same reason", others.size() - kTargetsToName));
  }
  return {};
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
  const Result<Space> space = work_space(std::min(core::kForegroundTimeout, options_.worker.embed_timeout), start_stop_.get_token());
  if (space.ok()) {
    work.space_id = space->id();
  } else if (!is_passing(space.status().code())) {
    return space.status();  // else the worker goes on asking, and says so
  }
  if (Status status = check_targets(work.space_id); !status.ok()) {
    return status;
  }
  return work;
}

LaneSizes Engine::Impl::lane_sizes(const EmbedderLimits& limits) const {
  constexpr std::size_t kMostThreads = 64;
  const std::size_t bears = std::clamp<std::size_t>(limits.concurrent_calls, 1, kMostThreads);
  const auto wanted = static_cast<std::size_t>(std::max(0, options_.worker.provider_concurrency));
  LaneSizes sizes;
  sizes.provider = static_cast<int>(wanted == 0 ? bears : std::min(bears, wanted));
  if (computer_) {
    sizes.compute = std::clamp(options_.worker.workers, 1, static_cast<int>(kMostThreads));
  }
  return sizes;
}

EventSink Engine::Impl::event_sink() const {
  return [signal = signal_, host = options_.events, log = log_, thread = event_thread_](const Event& event) {
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
    }
  };
}

void Engine::Impl::make_machines(const Work& work) {
  std::shared_ptr<Runtime> runtime = given_runtime_;
  if (!runtime) {
    runtime = make_system_runtime(lane_sizes(work.embedder ? work.embedder->limits() : EmbedderLimits{}));
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
  MaintenanceParts sweeps = maintenance_parts(work.space_id);
  sweeps.events = event_sink();
  maintenance_ = std::make_unique<Maintenance>(*runtime_, std::move(sweeps), options_.maintenance);
}

Status Engine::Impl::start() {
  const Status stopped(Code::kRefused, "the engine was stopped: open another one");
  {
    std::unique_lock lock(work_mutex_);
    phase_changed_.wait(lock, [&] { return phase_ != Phase::kStarting; });
    if (phase_ == Phase::kStarted) {
      return {};
    }
    if (phase_ != Phase::kOpen) {
      return stopped;
    }
    phase_ = Phase::kStarting;
  }
  const Status prepared = core::guarded("start", [&]() -> Status {
    const Result<Work> work = prepare_work();
    if (work.ok() && !start_stop_.stop_requested()) {
      make_machines(*work);
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

bool Engine::Impl::wait_for_phase(std::unique_lock<std::mutex>& lock, std::optional<MonoTime> end, const std::function<bool()>& reached) {
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
  }
}

bool Engine::Impl::stop(std::optional<Duration> deadline) {
  std::optional<MonoTime> end;
  if (deadline) {
    end = clock_->now() + std::clamp(*deadline, Duration(0), kLongestWait);
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
  if (!wait_for_phase(lock, end, [&] { return phase_ == Phase::kStopped; })) {
    return false;
  }
  const std::shared_ptr<core::TrackedRuntime> runtime = runtime_;
  lock.unlock();
  return runtime == nullptr || runtime->wait_for_tasks(*clock_, end);
}

std::optional<ProviderPause> Engine::Impl::kept_waiting(const Peek& peek, Duration max_wait) {
  const std::lock_guard lock(work_mutex_);
  if (!worker_ || phase_ != Phase::kStarted) {
    return std::nullopt;
  }
  std::optional<ProviderPause> pause = worker_->provider_pause();
  const bool too_long = pause && (pause->lasted >= max_wait || pause->left > max_wait);
  return too_long && (peek.next_pending_due || worker_->metrics().running > 0) ? pause : std::nullopt;
}

std::optional<IdleReport> Engine::Impl::end_of_wait(const Peek& peek, Duration max_wait) {
  std::optional<ProviderPause> pause = kept_waiting(peek, max_wait);
  const std::optional<Duration>& due = peek.next_pending_due;
  if (!peek.running && (!due || *due > max_wait)) {
    return IdleReport{.idle = true, .next_due = due, .other_space = peek.other_space, .provider = std::move(pause)};
  }
  return pause ? std::optional(IdleReport{.provider = std::move(pause)}) : std::nullopt;
}

Result<IdleReport> Engine::Impl::wait_idle(Duration max_wait, std::stop_token stop) {
  if (event_thread_->load() == std::this_thread::get_id()) {
    return {Code::kRefused, "wait_idle was called from an event callback: the work that it waits for goes on when the callback returns"};
  }
  std::string space_id = known_space_id();
  for (;;) {
    const std::uint64_t seen = signal_->count();
    if (space_id.empty()) {
      space_id = known_space_id();
    }
    const Result<Peek> peek = store_->peek(space_id);
    if (peek.ok()) {
      if (std::optional<IdleReport> report = end_of_wait(*peek, max_wait)) {
        return *std::move(report);
      }
    } else if (peek.status().code() != Code::kRetry) {
      return peek.status();
    }
    if (Status fault = signal_->fault(); !fault.ok()) {
      return fault;
    }
    if (stop.stop_requested()) {
      return {Code::kCancelled, "cancelled while jobs are open"};
    }
    {
      const std::lock_guard lock(work_mutex_);
      if (phase_ == Phase::kStopped) {
        return {Code::kCancelled, "the engine was stopped while jobs are open"};
      }
    }
    signal_->wait(seen, kIdlePoll, stop);
  }
}

Result<MetricsSnapshot> Engine::Impl::metrics() {
  MetricsSnapshot snapshot;
  {
    const std::lock_guard lock(work_mutex_);
    if (worker_ && phase_ >= Phase::kStarted) {
      snapshot.worker = worker_->metrics();
    }
  }
  const Result<StoreCounts> counts = store_->counts();
  if (!counts.ok()) {
    return counts.status();
  }
  snapshot.jobs = *counts;
  Result<std::vector<ProviderState>> known = store_->providers();
  if (!known.ok()) {
    return known.status();
  }
  snapshot.providers = *std::move(known);
  const Result<std::vector<WorkerInfo>> workers = store_->workers();
  if (!workers.ok()) {
    return workers.status();
  }
  snapshot.workers_live = std::count_if(workers->begin(), workers->end(), is_live);
  return snapshot;
}

Status Engine::start() {
  return impl_->call([&] { return impl_->start(); });
}

bool Engine::stop(Duration deadline) {
  const Result<bool> stopped = impl_->call([&]() -> Result<bool> { return impl_->stop(deadline); });
  return stopped.ok() && *stopped;
}

Result<IdleReport> Engine::wait_idle(Duration max_wait, std::stop_token stop) {
  return impl_->call([&] { return impl_->wait_idle(max_wait, std::move(stop)); });
}

Result<MetricsSnapshot> Engine::metrics() {
  return impl_->call([&] { return impl_->metrics(); });
}

}  // namespace embedjobs
