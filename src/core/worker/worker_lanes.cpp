// Which lane of the runtime each action of the worker goes to, what is called there, and who gets the answer.
#include <utility>

#include "core/worker/calls.hpp"
#include "core/worker/worker_shell.hpp"
#include "embedjobs/persister.hpp"
#include "embedjobs/splitter.hpp"

namespace embedjobs {

// --- actions of the worker ---

void Worker::Impl::run(SpaceAction&) {
  submit<Result<Space>>(
      Lane::kProvider, "space",
      [parts = parts_, limit = settings_.options.embed_timeout, stop = opening_stop_.get_token()] {
        return ask_space(parts, limit, stop);
      },
      [](Impl& self, WorkerMachine& machine, Result<Space> answer, MonoTime now, WorkerActions& out) {
        machine.on_space(std::move(answer), self.jitter(), now, out);
      });
}

void Worker::Impl::run(const ProviderAction& action) {
  submit<Result<ProviderState>>(
      Lane::kStore, "provider",
      [store = parts_.store, provider = action.provider] { return store->provider_state(provider); },
      [](Impl&, WorkerMachine& machine, Result<ProviderState> answer, MonoTime now, WorkerActions& out) {
        machine.on_provider(answer, now, out);
      });
}

void Worker::Impl::run(const NoteAction& action) {
  submit<Status>(
      Lane::kStore, "note",
      [store = parts_.store, action] { return store->note_provider(action.provider, action.note); },
      [](Impl&, WorkerMachine& machine, const Status& answer, MonoTime now, WorkerActions& out) {
        machine.on_noted(answer, now, out);
      });
}

void Worker::Impl::run(RegisterAction& action) {
  WorkerInfo info = describe_worker(std::move(action.provider), std::move(action.space_id));
  submit<Status>(
      Lane::kStore, "register", [store = parts_.store, info = std::move(info)] { return store->register_worker(info); },
      [](Impl&, WorkerMachine& machine, const Status& answer, MonoTime now, WorkerActions& out) {
        machine.on_registered(answer, now, out);
      });
}

void Worker::Impl::run(const UnregisterAction&) {
  submit<Status>(
      Lane::kStore, "unregister",
      [store = parts_.store, id = settings_.options.worker_id] { return store->unregister_worker(id); },
      [](Impl&, WorkerMachine& machine, const Status& answer, MonoTime now, WorkerActions& out) {
        machine.on_unregistered(answer, now, out);
      });
}

void Worker::Impl::run(ClaimAction& action) {
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

void Worker::Impl::run(const PeekAction& action) {
  submit<Result<Peek>>(
      Lane::kStore, "peek", [store = parts_.store, space_id = action.space_id] { return store->peek(space_id); },
      [](Impl&, WorkerMachine& machine, Result<Peek> answer, MonoTime now, WorkerActions& out) {
        machine.on_peeked(answer, now, out);
      });
}

void Worker::Impl::run(const RenewAction& action) {
  submit<Result<std::vector<bool>>>(
      Lane::kHeartbeat, "renew",
      [store = parts_.store, action] { return store->renew(action.leases, Duration(0), action.time_limit); },
      [action](Impl&, WorkerMachine& machine, Result<std::vector<bool>> answer, MonoTime now, WorkerActions& out) {
        machine.on_renewed(action, answer, now, out);
      });
}

void Worker::Impl::run(PassStep& step) {
  std::visit([this, id = step.pass](auto& action) { run(id, action); }, step.action);
}

void Worker::Impl::run(const LogAction& action) {
  if (parts_.log) {
    (void)guarded("the log sink", [&] { parts_.log(action.level, action.message); });
  }
}

void Worker::Impl::run(const EventAction& action) {
  if (parts_.events) {
    const Status status = guarded("the event sink", [&] { parts_.events(action.event); });
    if (!status.ok()) {
      run(LogAction{LogLevel::kError, status.message()});
    }
  }
}

void Worker::Impl::run(const StoppedAction&) {
  for (const auto& stopped : std::exchange(on_stopped_, {})) {
    stopped();
  }
}

// --- actions of a pass ---

void Worker::Impl::run(PassId id, const ResolveAction&) {
  const SpecKey key = machine_->pass(id)->job().key;
  submit_for<Result<Document>>(
      id, Lane::kStore, "resolve", [resolver = parts_.resolver, key] { return resolver->resolve(key); },
      [](Pass& pass, Result<Document> answer, MonoTime now, PassActions& out) {
        pass.on_resolved(std::move(answer), now, out);
      });
}

void Worker::Impl::run(PassId id, const SplitAction& action) {
  submit_for<Result<std::shared_ptr<const Plan>>>(
      id, Lane::kCompute, "split",
      [splitter = parts_.splitter, document = action.document] { return split(*splitter, *document); },
      [](Pass& pass, Result<std::shared_ptr<const Plan>> answer, MonoTime now, PassActions& out) {
        pass.on_split(std::move(answer), now, out);
      });
}

void Worker::Impl::run(PassId id, const ListAction& action) {
  submit_for<Result<std::vector<bool>>>(
      id, Lane::kStore, "list",
      [persister = parts_.persister, context = machine_->pass(id)->context(), plan = action.plan] {
        return persister->list_existing(context, plan->operations().manifest());
      },
      [](Pass& pass, Result<std::vector<bool>> answer, MonoTime now, PassActions& out) {
        pass.on_listed(std::move(answer), now, out);
      });
}

void Worker::Impl::run(PassId id, const ReserveAction& action) {
  submit_for<Result<std::vector<Reservation>>>(
      id, Lane::kStore, "reserve",
      [persister = parts_.persister, context = machine_->pass(id)->context(), action] {
        return reserve(*persister, context, action);
      },
      [](Pass& pass, Result<std::vector<Reservation>> answer, MonoTime now, PassActions& out) {
        pass.on_reserved(std::move(answer), now, out);
      });
}

void Worker::Impl::run(PassId id, const RecordAction& action) {
  submit_for<Status>(
      id, Lane::kStore, "record",
      [store = parts_.store, lease = machine_->pass(id)->lease(), action] {
        return store->record_in_flight(lease, action.sent, action.answered);
      },
      [](Pass& pass, const Status& answer, MonoTime now, PassActions& out) { pass.on_recorded(answer, now, out); });
}

void Worker::Impl::run(PassId id, const EmbedAction& action) {
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

void Worker::Impl::run(PassId id, const PersistAction& action) {
  submit_write(
      id, "persist",
      [persister = parts_.persister, context = machine_->pass(id)->context(), action] {
        return persist(*persister, context, *action.plan, *action.chunk);
      },
      &Pass::on_persisted);
}

void Worker::Impl::run(PassId id, const ProgressAction& action) {
  submit_for<Status>(
      id, Lane::kStore, "progress",
      [store = parts_.store, lease = machine_->pass(id)->lease(), progress = action.progress] {
        return store->progress(lease, progress);
      },
      [](Pass& pass, const Status& answer, MonoTime now, PassActions& out) {
        pass.on_progress_written(answer, now, out);
      });
}

void Worker::Impl::run(PassId id, const ComputeAction& action) {
  const Pass& pass = *machine_->pass(id);
  HostCompute compute{.computer = parts_.computer,
                      .persister = parts_.persister,
                      .document = action.document,
                      .context = pass.context(),
                      .batch_size = static_cast<std::size_t>(settings_.options.batch_size),
                      .stop = pass.stop_token()};
  compute.on_progress = [weak = weak_from_this(), id](std::int64_t done, std::int64_t total) {
    deliver_to_pass(weak, id,
                    [=](Pass& told, MonoTime now, PassActions& out) { told.on_host_progress(done, total, now, out); });
  };
  compute.on_persisted = [weak = weak_from_this(), id](std::int64_t operations) {
    deliver_to_pass(weak, id,
                    [=](Pass& told, MonoTime now, PassActions& out) { told.on_host_persisted(operations, now, out); });
  };
  submit_for<Result<Manifest>>(
      id, Lane::kCompute, "compute", [compute = std::move(compute)] { return compute.run(); },
      [](Pass& told, Result<Manifest> answer, MonoTime now, PassActions& out) {
        told.on_computed(std::move(answer), now, out);
      });
}

void Worker::Impl::deliver_to_pass(const std::weak_ptr<Impl>& weak, PassId id,
                                   std::function<void(Pass&, MonoTime, PassActions&)> tell) {
  if (const auto self = weak.lock()) {
    self->post([id, tell = std::move(tell)](Impl& impl) {
      impl.drive([&](WorkerMachine& machine, MonoTime now, WorkerActions& out) {
        machine.on_pass(id, now, out, [&](Pass& pass, PassActions& actions) { tell(pass, now, actions); });
      });
    });
  }
}

void Worker::Impl::run(PassId id, const FinalizeAction& action) {
  submit_write(
      id, "finalize",
      [persister = parts_.persister, context = machine_->pass(id)->context(), manifest = action.manifest] {
        return persister->finalize(context, *manifest);
      },
      &Pass::on_finalized);
}

void Worker::Impl::run(PassId id, const SettleAction& action) {
  Outcome outcome = action.outcome;
  outcome.jitter = jitter();
  submit_for<Result<JobStatus>>(
      id, Lane::kStore, "settle",
      [store = parts_.store, lease = machine_->pass(id)->lease(), outcome = std::move(outcome)] {
        return store->settle(lease, outcome);
      },
      [](Pass& pass, Result<JobStatus> answer, MonoTime now, PassActions& out) { pass.on_settled(answer, now, out); });
}

void Worker::Impl::run(PassId, const EmitAction&) {}  // the machine has made it an EventAction

}  // namespace embedjobs
