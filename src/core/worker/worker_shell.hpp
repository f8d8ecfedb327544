// The thin shell around the worker machine: carries its actions to the runtime's lanes, and the answers back.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/values/guard.hpp"
#include "core/worker/worker_machine.hpp"
#include "embedjobs/worker.hpp"

namespace embedjobs {

// Only the files of the shell include this one.
using namespace core;  // NOLINT(google-build-using-namespace)

/// Lives on the logical thread, but for the methods that say otherwise. Tasks hold it weakly: what comes back after its
/// end is dropped.
class Worker::Impl : public std::enable_shared_from_this<Impl> {
 public:
  Impl(Runtime& runtime, WorkerParts parts, WorkerOptions options);

  // Any thread.
  void start() {
    post([](Impl& self) { self.begin(); });
  }
  void wake() {
    if (!wake_posted_.exchange(true)) {  // a burst is one look
      post([](Impl& self) {
        self.wake_posted_ = false;
        self.drive([](WorkerMachine& machine, MonoTime now, WorkerActions& out) { machine.wake(now, out); });
      });
    }
  }
  void request_stop(std::function<void()> stopped) {
    opening_stop_.request_stop();
    post([stopped = std::move(stopped)](Impl& self) mutable { self.begin_stop(std::move(stopped)); });
  }
  WorkerMetrics metrics() const {
    const std::lock_guard lock(metrics_mutex_);
    return metrics_;
  }
  std::optional<ProviderPause> provider_pause() const {
    const std::lock_guard lock(metrics_mutex_);
    if (!wait_) {
      return std::nullopt;
    }
    const MonoTime now = runtime_.now();
    return ProviderPause{now - wait_->since, std::max<Duration>(wait_->until - now, Duration(0)), wait_->reason};
  }
  void detach() { parts_.store->set_wake({}); }

 private:
  using Drive = std::function<void(WorkerMachine&, MonoTime, WorkerActions&)>;

  void post(std::function<void(Impl&)> callback) {
    runtime_.post([weak = weak_from_this(), callback = std::move(callback)]() mutable {
      if (const auto self = weak.lock()) {
        callback(*self);
      }
    });
  }

  /// Made at the first event.
  WorkerMachine& machine();
  /// For the list of workers.
  [[nodiscard]] WorkerInfo describe_worker(std::string provider, std::string space_id) const;

  void begin() {
    if (machine().state() == WorkerState::kNew) {
      parts_.store->set_wake([weak = weak_from_this()] {
        if (const auto self = weak.lock()) {
          self->wake();
        }
      });
    }
    drive([](WorkerMachine& machine, MonoTime now, WorkerActions& out) { machine.start(now, out); });
  }

  void begin_stop(std::function<void()> stopped) {
    if (machine().state() == WorkerState::kStopped) {
      stopped();
      return;
    }
    on_stopped_.push_back(std::move(stopped));
    drive([](WorkerMachine& machine, MonoTime now, WorkerActions& out) { machine.stop(now, out); });
  }

  /// One event: into the machine, and its actions to where they are done. Sinks may call back into the worker; that is
  /// posted, not nested.
  void drive(const Drive& event) {
    WorkerActions actions;
    event(machine(), runtime_.now(), actions);
    publish_metrics();
    for (WorkerAction& action : actions) {
      std::visit([this](auto& concrete) { run(concrete); }, action);
    }
    set_timer();
  }

  void publish_metrics() {
    const WorkerMetrics metrics = machine_->metrics();
    const std::lock_guard lock(metrics_mutex_);
    metrics_ = metrics;
    wait_ = machine_->provider_wait();
  }

  void set_timer() {
    const auto at = machine_->wake_at(runtime_.now());
    if (timer_ && timer_at_ == at) {
      return;
    }
    if (timer_) {
      runtime_.cancel_timer(*timer_);
      timer_.reset();
    }
    timer_at_ = at;
    if (at) {
      timer_ = runtime_.set_timer(*at, [weak = weak_from_this()] {
        if (const auto self = weak.lock()) {
          self->timer_.reset();
          self->drive([](WorkerMachine& machine, MonoTime now, WorkerActions& out) { machine.on_time(now, out); });
        }
      });
    }
  }

  /// Blocking work on a lane; its answer, or the fault that stands in its place, comes back as an event. T is Status or
  /// a Result.
  template <typename T>
  void submit(Lane lane, const char* name, std::function<T()> work,
              std::function<void(Impl&, WorkerMachine&, T, MonoTime, WorkerActions&)> deliver) {
    auto answer = std::make_shared<std::optional<T>>();
    runtime_.submit({.lane = lane,
                     .name = name,
                     .run = [answer, name, work = std::move(work)] { answer->emplace(guarded(name, work)); },
                     .finish =
                         [answer, weak = weak_from_this(), deliver = std::move(deliver)](const Status& fault) {
                           const auto self = weak.lock();
                           if (!self) {
                             return;
                           }
                           T value = fault.ok() && *answer
                                         ? std::move(**answer)
                                         : T(fault.ok() ? Status(Code::kInternal, "no answer") : fault);
                           self->drive([&](WorkerMachine& machine, MonoTime now, WorkerActions& out) {
                             deliver(*self, machine, std::move(value), now, out);
                           });
                         }});
  }

  /// The same for an action of a pass: its answer goes to that pass, if it still is.
  template <typename T>
  void submit_for(PassId id, Lane lane, const char* name, std::function<T()> work,
                  std::function<void(Pass&, T, MonoTime, PassActions&)> deliver) {
    submit<T>(
        lane, name, std::move(work),
        [id, deliver = std::move(deliver)](Impl&, WorkerMachine& machine, T value, MonoTime now, WorkerActions& out) {
          machine.on_pass(id, now, out,
                          [&](Pass& pass, PassActions& actions) { deliver(pass, std::move(value), now, actions); });
        });
  }

  /// The same for a batch or a manifest.
  void submit_write(PassId id, const char* name, std::function<Status()> work,
                    void (Pass::*deliver)(const Status&, MonoTime, PassActions&)) {
    submit<Status>(
        Lane::kPersist, name, std::move(work),
        [id, deliver](Impl&, WorkerMachine& machine, const Status& answer, MonoTime now, WorkerActions& out) {
          machine.note_write(answer);
          machine.on_pass(id, now, out,
                          [&](Pass& pass, PassActions& actions) { (pass.*deliver)(answer, now, actions); });
        });
  }

  double jitter() { return static_cast<double>(runtime_.random() >> 11) * 0x1.0p-53; }

  // Which lane an action goes to, and who gets its answer: worker_lanes.cpp.
  void run(SpaceAction&);
  void run(const ProviderAction& action);
  void run(const NoteAction& action);
  void run(RegisterAction& action);
  void run(const UnregisterAction&);
  void run(ClaimAction& action);
  void run(const PeekAction& action);
  void run(const RenewAction& action);
  void run(PassStep& step);
  void run(const LogAction& action);
  void run(const EventAction& action);
  void run(const StoppedAction&);
  void run(PassId id, const ResolveAction&);
  void run(PassId id, const SplitAction& action);
  void run(PassId id, const ListAction& action);
  void run(PassId id, const ReserveAction& action);
  void run(PassId id, const RecordAction& action);
  void run(PassId id, const EmbedAction& action);
  void run(PassId id, const PersistAction& action);
  void run(PassId id, const ProgressAction& action);
  void run(PassId id, const ComputeAction& action);
  /// From a thread of the compute lane to the pass.
  static void deliver_to_pass(const std::weak_ptr<Impl>& weak, PassId id,
                              std::function<void(Pass&, MonoTime, PassActions&)> tell);
  void run(PassId id, const FinalizeAction& action);
  void run(PassId id, const SettleAction& action);
  void run(PassId, const EmitAction&);

  Runtime& runtime_;
  const WorkerParts parts_;
  WorkerSettings settings_;
  std::stop_source opening_stop_;  // of the call that asks for the space
  std::optional<WorkerMachine> machine_;
  std::optional<TimerId> timer_;
  std::optional<MonoTime> timer_at_;
  std::vector<std::function<void()>> on_stopped_;
  std::atomic<bool> wake_posted_ = false;
  mutable std::mutex metrics_mutex_;
  WorkerMetrics metrics_;
  std::optional<ProviderWait> wait_;
};

}  // namespace embedjobs
