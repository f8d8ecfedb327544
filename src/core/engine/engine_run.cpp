// Until the queue is idle: waiting for it, and running the worker on the host's own thread.
#include <algorithm>

#include "core/engine/engine_impl.hpp"

namespace embedjobs {
namespace {

constexpr Duration kIdlePoll = std::chrono::milliseconds(100);

std::optional<MonoTime> end_after(Clock& clock, std::optional<Duration> time_limit) {
  return time_limit ? std::optional(clock.now() + std::clamp(*time_limit, Duration(0), core::kLongestWait))
                    : std::nullopt;
}

}  // namespace

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

/// Keeps what it learned between two questions to the store. No answer: the wait goes on.
class Engine::Impl::IdleWatch {
 public:
  IdleWatch(Impl& engine, Duration max_wait)
      : engine_(engine), max_wait_(max_wait), space_id_(engine.known_space_id()) {}

  std::optional<Result<IdleReport>> answer() {
    if (space_id_.empty()) {
      space_id_ = engine_.known_space_id();
    }
    const Result<Peek> peek = engine_.store_->peek(space_id_);
    if (peek.ok()) {
      if (std::optional<IdleReport> report = engine_.end_of_wait(*peek, max_wait_)) {
        return *std::move(report);
      }
    } else if (peek.status().code() != Code::kRetry) {
      return peek.status();
    }
    if (Status fault = engine_.signal_->fault(); !fault.ok()) {
      return fault;
    }
    return std::nullopt;
  }

 private:
  Impl& engine_;
  Duration max_wait_;
  std::string space_id_;
};

Status Engine::Impl::refuse_in_event(std::string_view what) const {
  if (event_thread_->load() != std::this_thread::get_id()) {
    return {};
  }
  return {Code::kRefused,
          std::string(what) +
              " was called from an event callback: the work that it waits for goes on when the callback returns"};
}

bool Engine::Impl::is_stopped() {
  const std::lock_guard lock(work_mutex_);
  return phase_ == Phase::kStopped;
}

Result<IdleReport> Engine::Impl::wait_idle(Duration max_wait, std::stop_token stop,
                                           std::optional<Duration> time_limit) {
  if (Status status = refuse_in_event("wait_idle"); !status.ok()) {
    return status;
  }
  const std::optional<MonoTime> end = end_after(*clock_, time_limit);
  IdleWatch watch(*this, max_wait);
  for (;;) {
    const std::uint64_t seen = signal_->count();
    if (auto answer = watch.answer()) {
      return *std::move(answer);
    }
    if (stop.stop_requested()) {
      return {Code::kCancelled, "cancelled while jobs are open"};
    }
    if (is_stopped()) {
      return {Code::kCancelled, "the engine was stopped while jobs are open"};
    }
    const MonoTime now = clock_->now();
    if (end && now >= *end) {
      return {Code::kTimeout, "jobs are open after the time limit"};
    }
    signal_->wait(seen, end ? std::min(kIdlePoll, Duration(*end - now)) : kIdlePoll, stop);
  }
}

core::HostedLanes Engine::Impl::hosted_lanes() const {
  core::HostedLanes lanes{};
  const auto host = [&](Lane lane) { lanes[static_cast<std::size_t>(lane)] = true; };
  host(Lane::kProvider);
  host(Lane::kCompute);
  if (!own_vectors_) {
    host(Lane::kStore);  // resolves and lists too
    host(Lane::kPersist);
    host(Lane::kMaintenance);
  }
  return lanes;
}

Result<IdleReport> Engine::Impl::serve_until(const RunOptions& options, const std::stop_token& stop) {
  const std::optional<MonoTime> end = end_after(*clock_, options.time_limit);
  const std::stop_callback wake_on_stop(stop, [hosted = hosted_] { hosted->wake(); });
  std::optional<IdleWatch> watch;
  if (options.until_idle) {
    watch.emplace(*this, options.max_wait);
  }
  for (;;) {
    const std::uint64_t seen = signal_->count();
    if (is_stopped()) {
      return options.until_idle ? Result<IdleReport>(Code::kCancelled, "the engine was stopped while jobs are open")
                                : IdleReport();
    }
    if (stop.stop_requested()) {
      return {Code::kCancelled, "cancelled while jobs are open"};
    }
    if (watch) {
      if (auto answer = watch->answer()) {
        return *std::move(answer);
      }
    }
    const MonoTime now = clock_->now();
    if (end && now >= *end) {
      return {Code::kTimeout, "jobs are open after the time limit"};
    }
    const std::optional<MonoTime> poll_at = watch ? std::optional(now + kIdlePoll) : end;
    (void)hosted_->serve(end ? std::min(*poll_at, *end) : poll_at,
                         [&] { return signal_->count() != seen || stop.stop_requested() || is_stopped(); });
  }
}

Result<IdleReport> Engine::Impl::run(const RunOptions& options, std::stop_token stop) {
  if (Status status = refuse_in_event("run"); !status.ok()) {
    return status;
  }
  bool begun = false;
  {
    const std::lock_guard lock(work_mutex_);
    if (std::exchange(in_run_, true)) {
      return {Code::kRefused, "another thread runs this engine's worker"};
    }
    begun = hosted_ != nullptr;  // only run() makes it
  }
  struct Leave {
    Impl& self;
    ~Leave() {
      const std::lock_guard lock(self.work_mutex_);
      self.in_run_ = false;
    }
  } const leave_at_end{*this};
  const Status started = begun ? Status() : start(Threads::kHost);
  if (!started.ok()) {
    return started;
  }
  return serve_until(options, stop);
}

Result<IdleReport> Engine::wait_idle(Duration max_wait, std::stop_token stop, std::optional<Duration> time_limit) {
  return impl_->call([&] { return impl_->wait_idle(max_wait, std::move(stop), time_limit); });
}

Result<IdleReport> Engine::run(const RunOptions& options, std::stop_token stop) {
  return impl_->call([&] { return impl_->run(options, std::move(stop)); });
}

}  // namespace embedjobs
