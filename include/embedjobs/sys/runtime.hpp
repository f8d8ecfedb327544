// The only source of time, waiting, threads and randomness. Replace it to run the library in a simulation.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "embedjobs/status.hpp"
#include "embedjobs/types.hpp"

namespace embedjobs {

/// A moment of a clock that never goes back; only differences mean something.
using MonoTime = std::chrono::time_point<std::chrono::steady_clock, Duration>;

/// Clocks as a backend needs them. Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual MonoTime now() = 0;
  virtual WallTime wall_now() = 0;
  /// Time since this machine booted, suspended or not (CLOCK_BOOTTIME): what leases on one machine are stamped with.
  virtual Duration boot_time() = 0;
  /// Names this boot of this machine; a lease of another boot has ended. Empty where it can't be told. Then nobody can
  /// say whether two leases are of one boot.
  virtual std::string boot_id() = 0;
};

/// Where submitted work runs. Each lane has threads of its own, so that a slow one never delays another.
enum class Lane : std::int32_t {
  kStore = 0,        ///< Claims, progress, outcomes, resolving.
  kPersist = 1,      ///< Chunks and manifests.
  kHeartbeat = 2,    ///< Renewals, and nothing else.
  kProvider = 3,     ///< Calls of the embedder.
  kCompute = 4,      ///< Splitting, planning, and a host's own compute.
  kMaintenance = 5,  ///< Reaper, reconciler, retention.
};
inline constexpr int kLaneCount = 6;

/// Blocking work and what follows it. `run` is called on a thread of the lane, and keeps its answer for `finish`. Then
/// `finish` is called on the logical thread. `fault` is success: `finish` hands the answer over. `fault` is an error (a
/// simulated one): `finish` hands this error over instead. When the runtime is closed, functions that were not called
/// yet are never called.
struct Task {
  Lane lane = Lane::kStore;
  const char* name = "";  ///< A literal, for traces.
  std::function<void()> run;
  std::function<void(const Status& fault)> finish;
};

using TimerId = std::uint64_t;

/// One logical thread with timers, and lanes of blocking work. State machines live on the logical thread. So finish
/// functions, timers and posted callbacks run one at a time.
class Runtime : public Clock {
 public:
  /// Any thread.
  virtual void submit(Task task) = 0;
  /// Runs `callback` on the logical thread, after those posted before. Any thread.
  virtual void post(std::function<void()> callback) = 0;
  /// Runs `callback` on the logical thread at `when` or soon after. Logical thread only.
  virtual TimerId set_timer(MonoTime when, std::function<void()> callback) = 0;
  /// After this call the timer's callback is not called. If it has run already, nothing happens. Logical thread only.
  virtual void cancel_timer(TimerId timer) = 0;
  /// 64 random bits. Logical thread only.
  virtual std::uint64_t random() = 0;
};

/// Threads a lane of a SystemRuntime; values below 1 count as 1.
struct LaneSizes {
  int store = 2, persist = 2, heartbeat = 1, provider = 1, compute = 1, maintenance = 1;
};

/// Real threads and clocks. Threads are made when first needed, with all signals blocked. The destructor runs no
/// further callback, waits for blocking work that is under way, and must not be called from the logical thread.
std::unique_ptr<Runtime> make_system_runtime(const LaneSizes& lanes);
/// The clocks of this machine, for a backend without a Runtime.
std::shared_ptr<Clock> system_clock();

}  // namespace embedjobs
