// The thin shell around the worker machine: carries its actions to the runtime's lanes, and the answers back.
#include "embedjobs/worker.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <mutex>
#include <optional>
#include <utility>

#include "core/values/guard.hpp"
#include "core/worker/calls.hpp"
#include "core/worker/worker_machine.hpp"
#include "embedjobs/persister.hpp"
#include "embedjobs/splitter.hpp"

namespace embedjobs {

using namespace core;  // NOLINT(google-build-using-namespace)

namespace {

std::string host_name() {
  std::array<char, 256> host{};
  gethostname(host.data(), host.size() - 1);
  return host.data();
}

std::string default_worker_id(std::uint64_t random) {
  return fmt::format("{}-{}-{:08x}", host_name(), getpid(), random & 0xffffffffU);
}

WorkerSettings make_settings(const WorkerParts& parts, WorkerOptions options) {
  apply_defaults(options);
  WorkerSettings settings{.options = std::move(options), .host_compute = parts.computer != nullptr};
  if (parts.computer) {
    settings.splitter_version = parts.computer->version();
  } else {
    settings.limits = parts.embedder->limits();
    settings.provider = parts.embedder->provider();
    settings.splitter_version = parts.splitter->version();
  }
  settings.limits.concurrent_calls = std::max<std::size_t>(settings.limits.concurrent_calls, 1);
  settings.lease_duration = parts.store->lease_duration();
  settings.poll_interval = parts.store->poll_interval();
  return settings;
}

}  // namespace

/// Lives on the logical thread, but for the methods that say otherwise. Tasks hold it weakly: what comes back after its
/// end is dropped.
class Worker::Impl : public std::enable_shared_from_this<Impl> {
 public:
  Impl(Runtime& runtime, WorkerParts parts, WorkerOptions options)
      : runtime_(runtime), parts_(std::move(parts)), settings_(make_settings(parts_, std::move(options))) {}

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

  WorkerMachine& machine() {
    if (!machine_) {
      if (settings_.options.worker_id.empty()) {
        settings_.options.worker_id = default_worker_id(runtime_.random());
      }
      machine_.emplace(settings_);
    }
    return *machine_;
  }

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

  // --- actions of the worker ---

  void run(SpaceAction&) {
    submit<Result<Space>>(
        Lane::kProvider, "space",
        [parts = parts_, limit = settings_.options.embed_timeout, stop = opening_stop_.get_token()] {
          return ask_space(parts, limit, stop);
        },
        [](Impl& self, WorkerMachine& machine, Result<Space> answer, MonoTime now, WorkerActions& out) {
          machine.on_space(std::move(answer), self.jitter(), now, out);
        });
  }

  void run(const ProviderAction& action) {
    submit<Result<ProviderState>>(
        Lane::kStore, "provider",
        [store = parts_.store, provider = action.provider] { return store->provider_state(provider); },
        [](Impl&, WorkerMachine& machine, Result<ProviderState> answer, MonoTime now, WorkerActions& out) {
          machine.on_provider(answer, now, out);
        });
  }

  void run(const NoteAction& action) {
    submit<Status>(
        Lane::kStore, "note",
        [store = parts_.store, action] { return store->note_provider(action.provider, action.note); },
        [](Impl&, WorkerMachine& machine, const Status& answer, MonoTime now, WorkerActions& out) {
          machine.on_noted(answer, now, out);
        });
  }

  void run(RegisterAction& action) {
    WorkerInfo info{.worker_id = settings_.options.worker_id,
                    .host = host_name(),
                    .process_id = getpid(),
                    .version = EMBEDJOBS_VERSION,
                    .slots = settings_.options.slots,
                    .provider = std::move(action.provider),
                    .space_id = std::move(action.space_id),
                    .lease_duration = settings_.lease_duration,
                    .started_at = {},
                    .last_seen_at = {},
                    .read_at = {}};
    submit<Status>(
        Lane::kStore, "register",
        [store = parts_.store, info = std::move(info)] { return store->register_worker(info); },
        [](Impl&, WorkerMachine& machine, const Status& answer, MonoTime now, WorkerActions& out) {
          machine.on_registered(answer, now, out);
        });
  }

  void run(const UnregisterAction&) {
    submit<Status>(
        Lane::kStore, "unregister",
        [store = parts_.store, id = settings_.options.worker_id] { return store->unregister_worker(id); },
        [](Impl&, WorkerMachine& machine, const Status& answer, MonoTime, WorkerActions& out) {
          machine.on_unregistered(answer, out);
        });
  }

  void run(ClaimAction& action) {
    if (action.request.nonce == 0) {
      action.request.nonce = runtime_.random() | 1U;
      machine_->claim_sent(action.request.nonce, runtime_.now());
    }
    submit<Result<ClaimResult>>(
        Lane::kStore, "claim", [store = parts_.store, request = action.request] { return store->claim(request); },
        [](Impl&, WorkerMachine& machine, Result<ClaimResult> answer, MonoTime now, WorkerActions& out) {
          machine.on_claimed(std::move(answer), now, out);
        });
  }

  void run(const PeekAction& action) {
    submit<Result<Peek>>(
        Lane::kStore, "peek", [store = parts_.store, space_id = action.space_id] { return store->peek(space_id); },
        [](Impl&, WorkerMachine& machine, Result<Peek> answer, MonoTime now, WorkerActions& out) {
          machine.on_peeked(answer, now, out);
        });
  }

  void run(const RenewAction& action) {
    submit<Result<std::vector<bool>>>(
        Lane::kHeartbeat, "renew",
        [store = parts_.store, action] { return store->renew(action.leases, Duration(0), action.time_limit); },
        [action](Impl&, WorkerMachine& machine, Result<std::vector<bool>> answer, MonoTime now, WorkerActions& out) {
          machine.on_renewed(action, answer, now, out);
        });
  }

  void run(PassStep& step) {
    std::visit([this, id = step.pass](auto& action) { run(id, action); }, step.action);
  }

  void run(const LogAction& action) {
    if (parts_.log) {
      (void)guarded("the log sink", [&] { parts_.log(action.level, action.message); });
    }
  }

  void run(const EventAction& action) {
    if (parts_.events) {
      const Status status = guarded("the event sink", [&] { parts_.events(action.event); });
      if (!status.ok()) {
        run(LogAction{LogLevel::kError, status.message()});
      }
    }
  }

  void run(const StoppedAction&) {
    for (const auto& stopped : std::exchange(on_stopped_, {})) {
      stopped();
    }
  }

  // --- actions of a pass ---

  void run(PassId id, const ResolveAction&) {
    const SpecKey key = machine_->pass(id)->job().key;
    submit_for<Result<Document>>(
        id, Lane::kStore, "resolve", [resolver = parts_.resolver, key] { return resolver->resolve(key); },
        [](Pass& pass, Result<Document> answer, MonoTime now, PassActions& out) {
          pass.on_resolved(std::move(answer), now, out);
        });
  }

  void run(PassId id, const SplitAction& action) {
    submit_for<Result<std::shared_ptr<const Plan>>>(
        id, Lane::kCompute, "split",
        [splitter = parts_.splitter, document = action.document] { return split(*splitter, *document); },
        [](Pass& pass, Result<std::shared_ptr<const Plan>> answer, MonoTime now, PassActions& out) {
          pass.on_split(std::move(answer), now, out);
        });
  }

  void run(PassId id, const ListAction& action) {
    submit_for<Result<std::vector<bool>>>(
        id, Lane::kStore, "list",
        [persister = parts_.persister, context = machine_->pass(id)->context(), plan = action.plan] {
          return persister->list_existing(context, plan->operations().manifest());
        },
        [](Pass& pass, Result<std::vector<bool>> answer, MonoTime now, PassActions& out) {
          pass.on_listed(std::move(answer), now, out);
        });
  }

  void run(PassId id, const ReserveAction& action) {
    submit_for<Result<std::vector<Reservation>>>(
        id, Lane::kStore, "reserve",
        [persister = parts_.persister, context = machine_->pass(id)->context(), action] {
          return reserve(*persister, context, action);
        },
        [](Pass& pass, Result<std::vector<Reservation>> answer, MonoTime now, PassActions& out) {
          pass.on_reserved(std::move(answer), now, out);
        });
  }

  void run(PassId id, const RecordAction& action) {
    submit_for<Status>(
        id, Lane::kStore, "record",
        [store = parts_.store, lease = machine_->pass(id)->lease(), action] {
          return store->record_in_flight(lease, action.sent, action.answered);
        },
        [](Pass& pass, const Status& answer, MonoTime now, PassActions& out) { pass.on_recorded(answer, now, out); });
  }

  void run(PassId id, const EmbedAction& action) {
    const CallContext context{.stop = machine_->pass(id)->stop_token(), .time_limit = settings_.options.embed_timeout};
    const std::size_t dimension = machine_->pass(id)->context().space.dimension;
    submit<Result<Embeddings>>(
        Lane::kProvider, "embed",
        [embedder = parts_.embedder, action, context, dimension, cap = settings_.limits.input_bytes] {
          return embed(*embedder, *action.plan, action.batch, cap, dimension, context);
        },
        [id, batch = action.batch.id, size = action.batch.size()](
            Impl& self, WorkerMachine& machine, Result<Embeddings> answer, MonoTime now, WorkerActions& out) {
          machine.on_embedded(id, batch, size, std::move(answer), self.jitter(), now, out);
        });
  }

  void run(PassId id, const PersistAction& action) {
    submit_write(
        id, "persist",
        [persister = parts_.persister, context = machine_->pass(id)->context(), action] {
          return persist(*persister, context, *action.plan, *action.chunk);
        },
        &Pass::on_persisted);
  }

  void run(PassId id, const ProgressAction& action) {
    submit_for<Status>(
        id, Lane::kStore, "progress",
        [store = parts_.store, lease = machine_->pass(id)->lease(), progress = action.progress] {
          return store->progress(lease, progress);
        },
        [](Pass& pass, const Status& answer, MonoTime now, PassActions& out) {
          pass.on_progress_written(answer, now, out);
        });
  }

  void run(PassId id, const ComputeAction& action) {
    const Pass& pass = *machine_->pass(id);
    HostCompute compute{.computer = parts_.computer,
                        .persister = parts_.persister,
                        .document = action.document,
                        .context = pass.context(),
                        .batch_size = static_cast<std::size_t>(settings_.options.batch_size),
                        .stop = pass.stop_token()};
    compute.on_progress = [weak = weak_from_this(), id](std::int64_t done, std::int64_t total) {
      deliver_to_pass(
          weak, id, [=](Pass& told, MonoTime now, PassActions& out) { told.on_host_progress(done, total, now, out); });
    };
    compute.on_persisted = [weak = weak_from_this(), id](std::int64_t operations) {
      deliver_to_pass(
          weak, id, [=](Pass& told, MonoTime now, PassActions& out) { told.on_host_persisted(operations, now, out); });
    };
    submit_for<Result<Manifest>>(
        id, Lane::kCompute, "compute", [compute = std::move(compute)] { return compute.run(); },
        [](Pass& told, Result<Manifest> answer, MonoTime now, PassActions& out) {
          told.on_computed(std::move(answer), now, out);
        });
  }

  /// From a thread of the compute lane to the pass.
  static void deliver_to_pass(const std::weak_ptr<Impl>& weak, PassId id,
                              std::function<void(Pass&, MonoTime, PassActions&)> tell) {
    if (const auto self = weak.lock()) {
      self->post([id, tell = std::move(tell)](Impl& impl) {
        impl.drive([&](WorkerMachine& machine, MonoTime now, WorkerActions& out) {
          machine.on_pass(id, now, out, [&](Pass& pass, PassActions& actions) { tell(pass, now, actions); });
        });
      });
    }
  }

  void run(PassId id, const FinalizeAction& action) {
    submit_write(
        id, "finalize",
        [persister = parts_.persister, context = machine_->pass(id)->context(), manifest = action.manifest] {
          return persister->finalize(context, *manifest);
        },
        &Pass::on_finalized);
  }

  void run(PassId id, const SettleAction& action) {
    Outcome outcome = action.outcome;
    outcome.jitter = jitter();
    submit_for<Result<JobStatus>>(
        id, Lane::kStore, "settle",
        [store = parts_.store, lease = machine_->pass(id)->lease(), outcome = std::move(outcome)] {
          return store->settle(lease, outcome);
        },
        [](Pass& pass, Result<JobStatus> answer, MonoTime now, PassActions& out) {
          pass.on_settled(answer, now, out);
        });
  }

  void run(PassId, const EmitAction&) {}  // the machine has made it an EventAction

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

Worker::Worker(Runtime& runtime, WorkerParts parts, WorkerOptions options)
    : impl_(std::make_shared<Impl>(runtime, std::move(parts), std::move(options))) {}

Worker::~Worker() {
  impl_->detach();
}

void Worker::start() {
  impl_->start();
}
void Worker::request_stop(std::function<void()> stopped) {
  impl_->request_stop(std::move(stopped));
}
void Worker::wake() {
  impl_->wake();
}
std::optional<ProviderPause> Worker::provider_pause() const {
  return impl_->provider_pause();
}
WorkerMetrics Worker::metrics() const {
  return impl_->metrics();
}

}  // namespace embedjobs
