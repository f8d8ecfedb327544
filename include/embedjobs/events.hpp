// What the library tells its host while it works: log lines for people, typed events for programs.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "embedjobs/jobs.hpp"
#include "embedjobs/types.hpp"

namespace embedjobs {

enum class LogLevel : std::int32_t { kDebug = 0, kInfo = 1, kWarning = 2, kError = 3 };
std::string_view to_string(LogLevel level) noexcept;

/// Receives log lines, one call a line, without newline. Called from library threads, one at a time for one Engine, no
/// lock held.
using LogSink = std::function<void(LogLevel level, std::string_view message)>;

enum class EventKind : std::int32_t {
  kJobClaimed = 0,
  kJobProgress = 1,   ///< `progress` is filled.
  kJobSucceeded = 2,  ///< The spec's new vectors are visible: reload what depends on them.
  kJobRetried = 3,
  kJobFailed = 4,
  kJobReleased = 5,
  kLeaseLost = 6,
  kLeaseRenewed = 7,    ///< One event for each lease, whenever leases are renewed.
  kProviderPaused = 8,  ///< `delay` says for how long; `key` is empty.
  kProviderResumed = 9,
  kBatchResized = 10,    ///< `count` is the new batch size.
  kChunkPersisted = 11,  ///< `count` operations are durable.
  kLeaseExpired = 12,    ///< `count` leases of dead workers were put back; `key` is empty.
  kStoreUnusable = 13,   ///< No job can be claimed, or no outcome recorded. `message` says why.
};
std::string_view to_string(EventKind kind) noexcept;

struct Event {
  EventKind kind = EventKind::kJobClaimed;
  SpecKey key;
  JobId job_id = 0;
  std::int64_t attempt = 0;
  std::string message;  ///< The error, where there is one.
  Progress progress;
  Duration delay{0};
  std::int64_t count = 0;
};

/// Receives events on the worker's logical thread, in order, no lock held. It must return quickly and may not call
/// stop() or destroy the engine. An exception that leaves it is dropped with a log line.
using EventSink = std::function<void(const Event&)>;

}  // namespace embedjobs
