// Maintenance as a small state machine on the logical thread:
//
//   waiting --timer--> busy --step, more--> busy --step, last or error--> waiting
//   any --stop--> ended, as soon as no step is under way
//
// A step is one bounded blocking call on Lane::kMaintenance. A task has one step or one timer, never both: it can't
// overtake itself.
#include "embedjobs/maintenance.hpp"

#include <array>
#include <atomic>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "core/maintenance/reconcile.hpp"
#include "core/rules/limits.hpp"
#include "core/values/guard.hpp"
#include "embedjobs/persister.hpp"
#include "embedjobs/resolver.hpp"
#include "embedjobs/sys/catalog.hpp"
#include "embedjobs/sys/runtime.hpp"
#include "embedjobs/sys/store.hpp"

namespace embedjobs {
namespace {

constexpr std::size_t kReapAtOnce = 100;
constexpr Duration kWorkerGrace = std::chrono::hours(24);

/// What a step came to: an error, or whether the task has more to do.
struct Step {
  Status status;
  bool more = false;
  std::size_t expired = 0;  ///< Leases that the reaper put back.
};

Step step_of(const Result<std::size_t>& count, bool more) {
  return {.status = count.status(), .more = count.ok() && more};
}

/// One task of maintenance. `next_step` runs on a lane, one at a time; what it remembers between steps is its own.
struct MaintenanceTask {
  const char* name = "";
  Duration interval{0};
  std::function<Step()> next_step;
  std::function<void()> begin_round;  ///< Forgets what an earlier round left. Logical thread, no step under way.
  bool busy = false;
  bool logged_refused = false;
  MonoTime began{};
  std::optional<TimerId> timer;
};

}  // namespace

class Maintenance::Impl : public std::enable_shared_from_this<Impl> {
 public:
  Impl(Runtime& runtime, MaintenanceParts parts, MaintenanceOptions options)
      : runtime_(runtime), parts_(std::move(parts)), options_(options) {
    apply_defaults(options_);
    tasks_[0] = {.name = "reaper", .interval = options_.reaper_interval, .next_step = [this] { return reap(); }};
    tasks_[1] = {.name = "reconciler",
                 .interval = options_.reconciler_interval,
                 .next_step = [this] { return reconcile_page(); },
                 .begin_round = [this] { round_.emplace(parts_); }};
    tasks_[2] = {.name = "retention",
                 .interval = options_.retention_interval,
                 .next_step = [this] { return retain(); },
                 .begin_round = [this] { purged_ = false; }};
  }

  void start() {
    if (started_ || stopping_) {
      return;
    }
    started_ = true;
    for (MaintenanceTask& task : tasks_) {
      begin(task);
    }
  }

  void request_stop(std::function<void()> stopped) {
    stopping_ = true;
    for (MaintenanceTask& task : tasks_) {
      if (task.timer) {
        runtime_.cancel_timer(*std::exchange(task.timer, std::nullopt));
      }
    }
    if (stopped) {
      stopped_.push_back(std::move(stopped));
    }
    notify_stopped();
  }

  /// Runs `method` on the logical thread, unless the owner has gone by then.
  template <typename F>
  void post(F method) {
    runtime_.post([self = shared_from_this(), method = std::move(method)]() mutable {
      if (!self->abandoned_) {
        method(*self);
      }
    });
  }
  void abandon() { abandoned_ = true; }

 private:
  void begin(MaintenanceTask& task) {
    task.timer.reset();
    task.busy = true;
    task.began = runtime_.now();
    if (task.begin_round) {
      task.begin_round();
    }
    submit_step(task);
  }

  void submit_step(MaintenanceTask& task) {
    auto answer = std::make_shared<Step>();
    runtime_.submit({.lane = Lane::kMaintenance,
                     .name = task.name,
                     .run = [self = shared_from_this(), &task, answer] { *answer = task.next_step(); },
                     .finish =
                         [self = shared_from_this(), &task, answer](const Status& fault) {
                           if (!self->abandoned_) {
                             self->end_step(task, fault.ok() ? *answer : Step{.status = fault});
                           }
                         }});
  }

  void end_step(MaintenanceTask& task, const Step& step) {
    report(task, step);
    if (stopping_) {
      task.busy = false;
      notify_stopped();
    } else if (step.more) {
      submit_step(task);
    } else {
      task.busy = false;
      const MonoTime now = runtime_.now();
      const MonoTime due = task.began + task.interval;
      const MonoTime when = due > now ? due : now + task.interval;
      task.timer = runtime_.set_timer(when, [self = shared_from_this(), &task] { self->begin(task); });
    }
  }

  void report(MaintenanceTask& task, const Step& step) {
    if (step.expired > 0 && parts_.events) {
      Event event;
      event.kind = EventKind::kLeaseExpired;
      event.count = static_cast<std::int64_t>(step.expired);
      const Status status = core::guarded("the event sink", [&] { parts_.events(event); });
      log(LogLevel::kWarning, status);
    }
    if (step.status.code() != Code::kRefused) {
      log(stopping_ ? LogLevel::kDebug : LogLevel::kWarning, step.status.with_context(task.name));
    } else if (!std::exchange(task.logged_refused, true)) {  // a host that can't list stays one: once is enough
      log(LogLevel::kInfo, step.status.with_context(task.name));
    }
  }

  void log(LogLevel level, const Status& status) {
    if (!status.ok() && parts_.log) {
      (void)core::guarded("the log sink", [&] { parts_.log(level, status.to_string()); });
    }
  }

  void notify_stopped() {
    for (const MaintenanceTask& task : tasks_) {
      if (task.busy) {
        return;
      }
    }
    for (const auto& stopped : std::exchange(stopped_, {})) {
      stopped();
    }
  }

  // The steps, on a lane.
  Step reap() {
    const auto reaped = core::guarded("the store", [&] { return parts_.store->reap(kReapAtOnce); });
    Step step = step_of(reaped, reaped.ok() && *reaped >= kReapAtOnce);
    step.expired = reaped.ok() ? *reaped : 0;
    return step;
  }

  Step reconcile_page() {
    const Status status = core::guarded("the reconciler", [&] { return round_->next_page(runtime_.wall_now()); });
    return {.status = status, .more = status.ok() && !round_->done()};
  }

  /// First workers and jobs, then what these leave behind.
  Step retain() {
    if (!purged_) {
      const auto forgotten = core::guarded("the store", [&] { return parts_.store->forget_workers(kWorkerGrace); });
      if (!forgotten.ok()) {
        return step_of(forgotten, false);
      }
      const auto deleted = core::guarded(
          "the store", [&] { return parts_.store->purge(options_.job_retention, core::kMaxRowsPerTransaction); });
      purged_ = deleted.ok() && *deleted < core::kMaxRowsPerTransaction;
      return step_of(deleted, !purged_ || parts_.catalog != nullptr);
    }
    const auto swept = core::guarded(
        "the catalog", [&] { return parts_.catalog->sweep(options_.vector_grace, core::kMaxRowsPerTransaction); });
    return step_of(swept, swept.ok() && *swept > 0);
  }

  Runtime& runtime_;
  const MaintenanceParts parts_;
  MaintenanceOptions options_;
  std::array<MaintenanceTask, 3> tasks_;
  std::optional<core::ReconcileRound> round_;
  bool purged_ = false;
  bool started_ = false;
  bool stopping_ = false;
  std::vector<std::function<void()>> stopped_;
  std::atomic<bool> abandoned_ = false;
};

Maintenance::Maintenance(Runtime& runtime, MaintenanceParts parts, MaintenanceOptions options)
    : impl_(std::make_shared<Impl>(runtime, std::move(parts), options)) {}

Maintenance::~Maintenance() {
  impl_->abandon();
}

void Maintenance::start() {
  impl_->post([](Impl& impl) { impl.start(); });
}

void Maintenance::request_stop(std::function<void()> stopped) {
  impl_->post([stopped = std::move(stopped)](Impl& impl) mutable { impl.request_stop(std::move(stopped)); });
}

}  // namespace embedjobs
