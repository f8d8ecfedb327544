// Working until there is nothing left to do, or until a signal: what index and work share.
#pragma once

#include <CLI/CLI.hpp>
#include <optional>

#include "session.hpp"
#include "signals.hpp"

namespace embedjobs::command {

/// The knobs of a worker as they stand on the command line; those left out are none.
struct WorkFlags {
  std::optional<int> slots, batch_size, provider_concurrency;
  std::optional<long long> requests_per_minute, tokens_per_minute, daily_token_budget;
  std::optional<Duration> lease_duration, embed_timeout;
  Duration max_wait = std::chrono::seconds(60);

  [[nodiscard]] WorkerOptions options() const;
};
void add_work_flags(CLI::App& command, WorkFlags& flags);
/// An option that reads a duration.
void add_duration(CLI::App& command, const std::string& name, std::function<void(Duration)> set,
                  const std::string& help);

/// How the work ended.
struct WorkEnd {
  Status status;  ///< What kept it from working: refused, a database that fails.
  IdleReport idle;
  bool interrupted = false;  ///< By a signal.
  /// Says on stderr what is left, if anything. True when work is left.
  bool report_what_is_left(Duration max_wait) const;
};
/// Starts, works until idle or (without `until_idle`) until a signal, stops; the progress's bar has ended then.
WorkEnd work(Engine& engine, Progress& progress, const SignalStop& signals, bool until_idle, Duration max_wait);

}  // namespace embedjobs::command
