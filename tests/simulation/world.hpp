// Virtual time, one seed: everything that happens in a history is an event here, and its moment is drawn from the seed.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <queue>
#include <random>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "embedjobs/sys/runtime.hpp"

namespace embedjobs::sim {

/// How often what goes wrong, a task.
struct Odds {
  double error = 0;         ///< Answered with an error, never done.
  double lost_answer = 0;   ///< Done, and answered with an error.
  double crash_before = 0;  ///< The process dies before it is done.
  double crash_after = 0;   ///< The process dies when it is done, before the answer.
  double slow = 0;          ///< Takes up to `slow_by` longer.
  Duration slow_by{0};
};

/// Thrown by nothing and caught by nobody: a violated invariant is written down, and ends the history.
class World {
 public:
  explicit World(std::uint64_t seed) : random_(seed) {}

  // --- randomness ---
  std::uint64_t draw() { return random_(); }
  /// In [0, n).
  std::uint64_t below(std::uint64_t n) { return random_() % n; }
  bool chance(double p) { return static_cast<double>(random_() >> 11) * 0x1.0p-53 < p; }
  Duration between(Duration from, Duration to) {
    return from + Duration(static_cast<std::int64_t>(below(static_cast<std::uint64_t>((to - from).count()) + 1)));
  }

  // --- time ---
  [[nodiscard]] Duration elapsed() const { return elapsed_; }
  /// Runs `event` after `delay`; events of one moment in the order of these calls.
  void after(Duration delay, std::function<void()> event);
  /// Runs the next event. False: there is none.
  bool step();
  Duration wall_offset{0};  ///< Somebody set the wall clock.

  // --- faults ---
  Odds odds;

  // --- what happened ---
  bool print_trace = false;
  void trace(const std::string& line);
  [[nodiscard]] std::uint64_t trace_hash() const { return trace_hash_; }
  void violation(const std::string& what);
  [[nodiscard]] const std::vector<std::string>& violations() const { return violations_; }

 private:
  struct Entry {
    Duration at;
    std::uint64_t order;
    std::function<void()> event;
    bool operator>(const Entry& other) const { return at != other.at ? at > other.at : order > other.order; }
  };

  std::mt19937_64 random_;
  Duration elapsed_{0};
  std::uint64_t last_order_ = 0;
  std::priority_queue<Entry, std::vector<Entry>, std::greater<>> events_;
  std::uint64_t trace_hash_ = 1469598103934665603ULL;
  std::vector<std::string> violations_;
};

/// The clocks of the simulated machine.
class WorldClock : public Clock {
 public:
  explicit WorldClock(World& world) : world_(world) {}
  MonoTime now() override { return MonoTime(std::chrono::hours(1) + world_.elapsed()); }
  WallTime wall_now() override {
    return WallTime(std::chrono::hours(24 * 365 * 50) + world_.elapsed() + world_.wall_offset);
  }
  Duration boot_time() override { return std::chrono::hours(2) + world_.elapsed(); }
  std::string boot_id() override { return "simulated-boot"; }

 private:
  World& world_;
};

/// One simulated process: a Runtime whose tasks are done at moments that the seed chooses, with faults between doing
/// and answering.
class ProcessRuntime final : public Runtime, public std::enable_shared_from_this<ProcessRuntime> {
 public:
  ProcessRuntime(World& world, std::string name) : world_(world), clock_(world), name_(std::move(name)) {}

  MonoTime now() override { return clock_.now(); }
  WallTime wall_now() override { return clock_.wall_now(); }
  Duration boot_time() override { return clock_.boot_time(); }
  std::string boot_id() override { return clock_.boot_id(); }
  void submit(Task task) override;
  void post(std::function<void()> callback) override;
  TimerId set_timer(MonoTime when, std::function<void()> callback) override;
  void cancel_timer(TimerId timer) override { timers_.erase(timer); }
  std::uint64_t random() override { return world_.draw(); }

  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] bool alive() const { return alive_; }
  /// The process dies: nothing of it runs any more, `on_crash` is told.
  void crash(const char* why);
  std::function<void()> on_crash;
  std::function<void(std::string_view task)> on_lost_answer;
  /// Asks for death at the end of the task that is being done (from inside of it).
  void crash_soon() { crash_soon_ = true; }
  [[nodiscard]] bool crashing() const { return crash_soon_; }
  /// SIGSTOP, and SIGCONT after `time`.
  void freeze(Duration time) { frozen_until_ = world_.elapsed() + time; }
  /// A clean end: nothing of it runs any more.
  void end() { alive_ = false; }

 private:
  void do_task(const std::shared_ptr<Task>& task);
  void answer(const std::shared_ptr<Task>& task, Status fault);
  /// Runs on the logical thread after `delay`, unless the process is dead by then; later while it is frozen.
  void later(Duration delay, std::function<void()> callback);

  World& world_;
  WorldClock clock_;
  std::string name_;
  bool alive_ = true;
  bool crash_soon_ = false;
  Duration frozen_until_{0};
  std::set<TimerId> timers_;
  TimerId last_timer_ = 0;
};

}  // namespace embedjobs::sim
