#include "work.hpp"

#include <unistd.h>

#include <condition_variable>
#include <cstdio>
#include <mutex>

#include <fmt/format.h>

#include "commands.hpp"
#include "embedjobs/duration.hpp"
#include "json.hpp"
#include "text.hpp"

namespace embedjobs::command {
namespace {

// Calls are cancelled within a second; the rest is for writes that are under way.
constexpr Duration kStopDeadline = std::chrono::seconds(10);

void wait_for(const std::stop_token& stop) {
  std::mutex mutex;
  std::condition_variable_any wake;
  std::unique_lock lock(mutex);
  wake.wait(lock, stop, [] { return false; });
}

int run_work(const Session& session, const WorkFlags& flags, bool until_idle) {
  const SignalStop signals;
  Progress progress(until_idle ? Progress::Style::kBarOrLines : Progress::Style::kOutcomesOnly);
  const Result<std::unique_ptr<Engine>> engine =
      open_engine(session, {.spec = session.embedder, .embedder = nullptr}, &progress, flags.options());
  if (!engine.ok()) {
    return fail(engine.status());
  }
  const WorkEnd end = work(**engine, progress, signals, until_idle, flags.max_wait);
  if (!end.status.ok()) {
    return fail(end.status);
  }
  const WorkTotals totals = progress.totals();
  const bool left = until_idle && end.report_what_is_left(flags.max_wait);
  if (session.json) {
    print_line(JsonObject()
                   .integer("jobs_succeeded", totals.succeeded)
                   .integer("jobs_failed", totals.failed)
                   .integer("jobs_retried", totals.retried)
                   .integer("operations_embedded", totals.embedded)
                   .integer("operations_reused", totals.reused)
                   .boolean("work_left", left)
                   .str());
  } else {
    print_line(fmt::format("{} succeeded, {} failed; {} embedded, {} reused", counted(totals.succeeded, "job"),
                           totals.failed, counted(totals.embedded, "operation"), totals.reused));
  }
  if (!until_idle) {
    return kSuccess;  // it was asked to stop, and did
  }
  return totals.failed > 0 ? kFailed : left ? kWorkLeft : kSuccess;
}

}  // namespace

WorkerOptions WorkFlags::options() const {
  WorkerOptions options;
  options.slots = slots.value_or(options.slots);
  options.batch_size = batch_size.value_or(options.batch_size);
  options.provider_concurrency = provider_concurrency.value_or(options.provider_concurrency);
  options.requests_per_minute = requests_per_minute.value_or(options.requests_per_minute);
  options.tokens_per_minute = tokens_per_minute.value_or(options.tokens_per_minute);
  options.daily_token_budget = daily_token_budget.value_or(options.daily_token_budget);
  options.lease_duration = lease_duration.value_or(options.lease_duration);
  options.embed_timeout = embed_timeout.value_or(options.embed_timeout);
  return options;
}

void add_duration(CLI::App& command, const std::string& name, std::function<void(Duration)> set,
                  const std::string& help) {
  command
      .add_option_function<std::string>(
          name,
          [name, set = std::move(set)](const std::string& text) {
            const Result<Duration> duration = parse_duration(text);
            if (!duration.ok()) {
              throw CLI::ValidationError(name, duration.status().message());
            }
            set(*duration);
          },
          help)
      ->type_name("DURATION");
}

void add_work_flags(CLI::App& command, WorkFlags& flags) {
  add_duration(
      command, "--max-wait", [&flags](Duration value) { flags.max_wait = value; },
      "Idle is when nothing is due within this time [60s]");
  command.add_option("--slots", flags.slots, "Jobs at a time in this process [1]");
  command.add_option("--batch-size", flags.batch_size, "Texts a provider call, at most [32]");
  add_duration(
      command, "--lease-duration", [&flags](Duration value) { flags.lease_duration = value; },
      "How long a job stays with a worker that died or froze [work: 10m, index: 1m]");
  add_duration(
      command, "--embed-timeout", [&flags](Duration value) { flags.embed_timeout = value; },
      "Limit of one provider call; on a timeout the batch is halved [work: 5m, index: 30s]");
  command.add_option("--provider-concurrency", flags.provider_concurrency,
                     "Provider calls in flight, over all jobs [what the embedder allows]");
  command.add_option("--requests-per-minute", flags.requests_per_minute,
                     "Provider calls a minute of this process [no limit]");
  command.add_option("--tokens-per-minute", flags.tokens_per_minute,
                     "Prompt tokens a minute of this process [no limit]");
  command.add_option("--daily-token-budget", flags.daily_token_budget,
                     "Prompt tokens of a UTC day, of all processes; then work waits until midnight [no budget]");
}

bool WorkEnd::report_what_is_left(Duration max_wait) const {
  if (interrupted) {
    std::fputs("embedjobs: stopped before everything was done; run it again to go on\n", stderr);
  }
  if (idle.next_due && !idle.provider) {
    std::fputs(
        fmt::format("embedjobs: work is left: the next job is due in {}, later than --max-wait {}\n",
                    format_duration(std::chrono::ceil<std::chrono::seconds>(*idle.next_due)), format_duration(max_wait))
            .c_str(),
        stderr);
  }
  if (idle.other_space) {
    std::fputs(
        "embedjobs: work is left: jobs of catalogs with another target space need a worker with their --embedder\n",
        stderr);
  }
  if (idle.provider) {
    const ProviderPause& pause = *idle.provider;
    const bool known = pause.left > max_wait;
    const std::string time =
        format_duration(std::chrono::ceil<std::chrono::seconds>(known ? pause.left : pause.lasted));
    std::fputs(fmt::format("embedjobs: work is left: it waits for the provider ({} {}): {}\n", time,
                           known ? "to go" : "so far", printable(pause.reason))
                   .c_str(),
               stderr);
  }
  return interrupted || idle.next_due || idle.other_space || idle.provider;
}

WorkEnd work(Engine& engine, Progress& progress, const SignalStop& signals, bool until_idle, Duration max_wait) {
  WorkEnd end;
  for (const std::string& warning : engine.warnings()) {
    progress.warn(warning);
  }
  {
    // A provider that does not answer may hold start() for a while: a signal ends that too.
    const std::stop_callback on_signal(signals.token(), [&engine] { (void)engine.stop(Duration(0)); });
    end.status = engine.start();
  }
  if (!end.status.ok()) {
    end.interrupted = signals.token().stop_requested();
    end.status = end.interrupted ? Status() : end.status;
    return end;
  }
  if (until_idle) {
    const Result<IdleReport> idle = engine.wait_idle(max_wait, signals.token());
    if (idle.ok()) {
      end.idle = *idle;
    } else if (idle.status().code() != Code::kCancelled) {
      end.status = idle.status();
    }
  } else {
    wait_for(signals.token());
  }
  end.interrupted = signals.token().stop_requested();
  const bool stopped = engine.stop(kStopDeadline);
  progress.finish();
  if (!stopped) {
    // The engine's destructor would wait for the call that does not return. Leases are released already.
    fail("a provider call does not return; what was done is kept, and the job is free for another worker");
    std::fflush(nullptr);
    ::_exit(kWorkLeft);
  }
  return end;
}

void add_work(CLI::App& app, Session& session) {
  auto flags = std::make_shared<WorkFlags>();
  auto until_idle = std::make_shared<bool>(false);
  CLI::App* command =
      app.add_subcommand("work", "Run jobs until SIGINT or SIGTERM, or with --until-idle until none is left");
  command->add_flag("--until-idle", *until_idle,
                    "End when nothing is runnable, running anywhere, or due within --max-wait, or the provider keeps "
                    "work waiting that long");
  add_work_flags(*command, *flags);
  command->footer(
      "Any number of 'work' processes may share one database file. The first signal stops cleanly: what is done is "
      "kept and the jobs are\n"
      "released; a second one stops at once, which loses at most the provider calls in flight.\n"
      "Examples:\n"
      "  embedjobs work --until-idle\n"
      "  embedjobs work --slots 2 --lease-duration 2m --embed-timeout 1m");
  command->callback([&session, flags, until_idle] {
    session.action = [&session, flags, until_idle] { return run_work(session, *flags, *until_idle); };
  });
}

}  // namespace embedjobs::command
