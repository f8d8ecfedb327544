#include "simulation/world.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>

namespace embedjobs::sim {

using std::chrono::microseconds;
using std::chrono::milliseconds;

void World::after(Duration delay, std::function<void()> event) {
  events_.push({elapsed_ + std::max(delay, Duration(0)), ++last_order_, std::move(event)});
}

bool World::step() {
  if (events_.empty()) {
    return false;
  }
  Entry entry = events_.top();
  events_.pop();
  elapsed_ = entry.at;
  entry.event();
  return true;
}

void World::trace(const std::string& line) {
  for (const char c : line) {
    trace_hash_ = (trace_hash_ ^ static_cast<unsigned char>(c)) * 1099511628211ULL;
  }
  if (print_trace) {
    std::printf("%10.3f ms  %s\n", static_cast<double>(elapsed_.count()) / 1e6, line.c_str());
  }
}

void World::violation(const std::string& what) {
  trace("VIOLATION: " + what);
  violations_.push_back(what);
}

void ProcessRuntime::later(Duration delay, std::function<void()> callback) {
  world_.after(delay, [weak = weak_from_this(), callback = std::move(callback)] {
    const auto self = weak.lock();
    if (!self || !self->alive_) {
      return;
    }
    if (self->frozen_until_ > self->world_.elapsed()) {
      self->later(self->frozen_until_ - self->world_.elapsed(), callback);
      return;
    }
    callback();
  });
}

void ProcessRuntime::submit(Task task) {
  const auto shared = std::make_shared<Task>(std::move(task));
  Duration delay = shared->lane == Lane::kProvider ? world_.between(milliseconds(2), milliseconds(200))
                                                   : world_.between(microseconds(50), milliseconds(5));
  if (world_.chance(world_.odds.slow)) {
    delay += world_.between(Duration(0), world_.odds.slow_by);
  }
  later(delay, [this, shared] { do_task(shared); });
}

void ProcessRuntime::do_task(const std::shared_ptr<Task>& task) {
  const Odds& odds = world_.odds;
  if (world_.chance(odds.crash_before)) {
    crash(task->name);
    return;
  }
  if (world_.chance(odds.error)) {
    world_.trace(fmt::format("{} {}: not done, answered with an error", name_, task->name));
    answer(task, Status(Code::kRetry, "simulated error"));
    return;
  }
  world_.trace(fmt::format("{} {}", name_, task->name));
  task->run();
  if (crash_soon_ || world_.chance(odds.crash_after)) {
    crash(task->name);
    return;
  }
  // A provider's answer that is lost is a provider's error, which the simulated embedder draws itself.
  if (task->lane != Lane::kProvider && world_.chance(odds.lost_answer)) {
    world_.trace(fmt::format("{} {}: done, its answer is lost", name_, task->name));
    if (on_lost_answer) {
      on_lost_answer(task->name);
    }
    answer(task, Status(Code::kRetry, "simulated lost answer"));
    return;
  }
  answer(task, Status());
}

void ProcessRuntime::answer(const std::shared_ptr<Task>& task, Status fault) {
  Duration delay = world_.between(microseconds(10), milliseconds(1));
  if (world_.chance(world_.odds.slow)) {
    delay += world_.between(Duration(0), world_.odds.slow_by);
  }
  later(delay, [task, fault = std::move(fault)] { task->finish(fault); });
}

void ProcessRuntime::post(std::function<void()> callback) {
  later(microseconds(1), std::move(callback));
}

TimerId ProcessRuntime::set_timer(MonoTime when, std::function<void()> callback) {
  const TimerId id = ++last_timer_;
  timers_.insert(id);
  later(when - now(), [this, id, callback = std::move(callback)] {
    if (timers_.erase(id) != 0) {
      callback();
    }
  });
  return id;
}

void ProcessRuntime::crash(const char* why) {
  if (!alive_) {
    return;
  }
  alive_ = false;
  world_.trace(fmt::format("{} dies at {}", name_, why));
  if (on_crash) {
    on_crash();
  }
}

}  // namespace embedjobs::sim
