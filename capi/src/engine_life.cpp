// The life of an engine: open, start, run, stop, destroy.
#include <pthread.h>
#include <signal.h>

#include <chrono>
#include <limits>
#include <system_error>
#include <thread>

#include "cancel.hpp"
#include "engine_handle.hpp"
#include "options.hpp"

namespace embedjobs::capi {
namespace {

constexpr Duration kForEver = std::chrono::hours(24 * 3650);

/// Negative: for ever.
Duration to_limit(std::int64_t ms) {
  const std::int64_t most = std::chrono::duration_cast<std::chrono::milliseconds>(kForEver).count();
  return ms < 0 || ms > most ? kForEver : std::chrono::milliseconds(ms);
}
std::optional<Duration> to_optional_limit(std::int64_t ms) {
  return ms < 0 ? std::nullopt : std::optional(to_limit(ms));
}
Duration to_wait(std::int64_t ms) {
  return ms < 0 ? Duration(0) : to_limit(ms);
}

std::int64_t to_ms(Duration time) {
  return std::chrono::ceil<std::chrono::milliseconds>(time).count();
}

Status write_report(embedjobs_idle_report* out, const Result<IdleReport>& report) {
  if (report.ok()) {
    embedjobs_idle_report view{};
    view.next_due_ms = report->next_due ? to_ms(*report->next_due) : -1;
    view.provider_left_ms = report->provider ? to_ms(report->provider->left) : 0;
    view.idle = report->idle ? 1 : 0;
    view.other_space = report->other_space ? 1 : 0;
    view.provider_waiting = report->provider ? 1 : 0;
    write_struct(out, view);
  }
  return report.status();
}

/// From inside a callback nobody may wait for the engine: a thread of its own ends it. Where no thread can be had, the
/// engine stops and is left as it is: to end it here would wait for the callback that is here.
void end_elsewhere(const std::shared_ptr<OpenEngine>& open) {
  auto* const kept = new std::shared_ptr<OpenEngine>(open);
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  const auto end = [kept] {
    (void)(*kept)->engine->stop(kForEver);
    delete kept;
  };
  try {
    std::thread(end).detach();
  } catch (const std::system_error&) {
    // Nobody is left to tell.
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

}  // namespace
}  // namespace embedjobs::capi

using namespace embedjobs;  // NOLINT(google-build-using-namespace)
using capi::engine_call;
using capi::FromCallback;

extern "C" {

std::int32_t embedjobs_engine_open(const embedjobs_options* options, embedjobs_engine** out, embedjobs_error** error) {
  const auto open_engine = [&]() -> Status {
    if (out != nullptr) {
      *out = nullptr;
    }
    auto open = std::make_shared<capi::OpenEngine>();
    open->state = std::make_shared<capi::HostState>();
    // Read first, so that what is given is destroyed whatever is wrong.
    Result<capi::OpenOptions> read = capi::read_options(options, open->state);
    if (!read.ok()) {
      return read.status();
    }
    if (out == nullptr) {
      return {Code::kInvalidArgument, "embedjobs_engine_open: out is NULL"};
    }
    Result<std::unique_ptr<Engine>> engine = Engine::open(std::move(read->options), std::move(read->parts));
    if (!engine.ok()) {
      return engine.status();
    }
    open->engine = *std::move(engine);
    *out = new embedjobs_engine{std::move(open)};
    return {};
  };
  return capi::boundary(error, open_engine);
}

void embedjobs_engine_destroy(embedjobs_engine* engine) {
  if (engine == nullptr || engine->open->pid != ::getpid()) {
    return;
  }
  const auto end_engine = [&] {
    std::shared_ptr<capi::OpenEngine> open = std::move(engine->open);
    delete engine;
    open->state->stopping = true;
    if (capi::Frame::inside(*open->state)) {
      (void)open->engine->stop(Duration(0));
      capi::end_elsewhere(open);
    }
  };
  capi::quiet_boundary(end_engine);
}

std::int32_t embedjobs_engine_start(embedjobs_engine* engine, embedjobs_error** error) {
  return engine_call(engine, FromCallback::kRefused, __func__, error, [](Engine& core) { return core.start(); });
}

std::int32_t embedjobs_engine_stop(embedjobs_engine* engine, std::int64_t deadline_ms, embedjobs_error** error) {
  const auto stop = [&](Engine& core) -> Status {
    if (engine->open->pid != ::getpid()) {
      return core.request_stop();  // says that it is a forked child
    }
    engine->open->state->stopping = true;
    if (core.stop(capi::to_limit(deadline_ms))) {
      return {};
    }
    return {Code::kTimeout, "not stopped: a callback has not returned before the deadline"};
  };
  return engine_call(engine, FromCallback::kRefused, __func__, error, stop);
}

std::int32_t embedjobs_engine_request_stop(embedjobs_engine* engine, embedjobs_error** error) {
  const auto request = [&](Engine& core) {
    Status status = core.request_stop();
    if (status.ok()) {
      engine->open->state->stopping = true;
    }
    return status;
  };
  return engine_call(engine, FromCallback::kAllowed, __func__, error, request);
}

std::int32_t embedjobs_engine_wait_idle(embedjobs_engine* engine, std::int64_t max_wait_ms, std::int64_t time_limit_ms,
                                        embedjobs_cancel* cancel, embedjobs_idle_report* report,
                                        embedjobs_error** error) {
  const auto wait = [&](Engine& core) {
    const Status status = capi::check_output(report);
    return !status.ok() ? status
                        : capi::write_report(report, core.wait_idle(capi::to_wait(max_wait_ms), capi::token_of(cancel),
                                                                    capi::to_optional_limit(time_limit_ms)));
  };
  return engine_call(engine, FromCallback::kRefused, __func__, error, wait);
}

std::int32_t embedjobs_engine_worker_run(embedjobs_engine* engine, std::int32_t until, std::int64_t max_wait_ms,
                                         std::int64_t time_limit_ms, embedjobs_cancel* cancel,
                                         embedjobs_idle_report* report, embedjobs_error** error) {
  const auto run_worker = [&](Engine& core) -> Status {
    if (until != EMBEDJOBS_RUN_UNTIL_STOPPED && until != EMBEDJOBS_RUN_UNTIL_IDLE) {
      return {Code::kInvalidArgument, "until is not an embedjobs_run_until"};
    }
    if (Status status = capi::check_output(report); !status.ok()) {
      return status;
    }
    RunOptions run;
    run.until_idle = until == EMBEDJOBS_RUN_UNTIL_IDLE;
    run.max_wait = capi::to_wait(max_wait_ms);
    run.time_limit = capi::to_optional_limit(time_limit_ms);
    return capi::write_report(report, core.run(run, capi::token_of(cancel)));
  };
  return engine_call(engine, FromCallback::kRefused, __func__, error, run_worker);
}

}  // extern "C"
