// A runtime of one thread on virtual time: nothing happens until a test lets it.
#pragma once

#include <algorithm>
#include <deque>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "embedjobs/sys/runtime.hpp"
#include "support/manual_clock.hpp"

namespace embedjobs::test {

/// Tasks are done in the order in which they were submitted, each at once, unless their name is held. Not thread-safe.
class ManualRuntime final : public Runtime {
 public:
  MonoTime now() override { return clock_.now(); }
  WallTime wall_now() override { return clock_.wall_now(); }
  Duration boot_time() override { return clock_.boot_time(); }
  std::string boot_id() override { return clock_.boot_id(); }

  void submit(Task task) override {
    submitted_.emplace_back(task.name);
    tasks_.push_back(std::move(task));
  }
  void post(std::function<void()> callback) override { posted_.push_back(std::move(callback)); }
  TimerId set_timer(MonoTime when, std::function<void()> callback) override {
    timers_.emplace(std::pair(when, ++last_timer_), std::move(callback));
    return last_timer_;
  }
  void cancel_timer(TimerId timer) override {
    std::erase_if(timers_, [timer](const auto& entry) { return entry.first.second == timer; });
  }
  std::uint64_t random() override { return ++last_random_ * 0x9e3779b97f4a7c15ULL; }

  /// Does everything that is due now, until nothing is left but held tasks.
  void settle() {
    while (step()) {
    }
  }
  /// Time passes, timers and tasks in their order.
  void run_for(Duration time) {
    const MonoTime end = now() + time;
    settle();
    while (!timers_.empty() && timers_.begin()->first.first <= end) {
      clock_.advance(timers_.begin()->first.first - now());
      settle();
    }
    clock_.advance(end - now());
    settle();
  }

  /// Tasks of this name stay under way until release().
  void hold(std::string name) { held_ = std::move(name); }
  void release() { held_.clear(); }
  /// The next task of this name is answered with `fault` and not done.
  void fail_next(std::string name, Status fault) { faults_.emplace_back(std::move(name), std::move(fault)); }

  /// Forgets what waits. A backend whose clock this is may be held by it.
  void close() {
    posted_.clear();
    tasks_.clear();
    timers_.clear();
  }

  /// How many tasks of this name were ever submitted; how many wait.
  [[nodiscard]] std::size_t submitted(std::string_view name) const {
    return static_cast<std::size_t>(std::count(submitted_.begin(), submitted_.end(), name));
  }
  [[nodiscard]] std::size_t waiting(std::string_view name) const {
    return static_cast<std::size_t>(
        std::count_if(tasks_.begin(), tasks_.end(), [&](const Task& task) { return task.name == name; }));
  }
  [[nodiscard]] std::size_t timers() const { return timers_.size(); }

 private:
  bool step() {
    if (!posted_.empty()) {
      const auto callback = std::move(posted_.front());
      posted_.pop_front();
      callback();
      return true;
    }
    if (!timers_.empty() && timers_.begin()->first.first <= now()) {
      const auto callback = std::move(timers_.begin()->second);
      timers_.erase(timers_.begin());
      callback();
      return true;
    }
    const auto next = std::find_if(tasks_.begin(), tasks_.end(), [&](const Task& task) { return task.name != held_; });
    if (next == tasks_.end()) {
      return false;
    }
    const Task task = std::move(*next);
    tasks_.erase(next);
    do_task(task);
    return true;
  }

  void do_task(const Task& task) {
    const auto fault =
        std::find_if(faults_.begin(), faults_.end(), [&](const auto& entry) { return entry.first == task.name; });
    if (fault != faults_.end()) {
      const Status status = fault->second;
      faults_.erase(fault);
      task.finish(status);
      return;
    }
    task.run();
    task.finish(Status());
  }

  ManualClock clock_;
  std::deque<std::function<void()>> posted_;
  std::deque<Task> tasks_;
  std::map<std::pair<MonoTime, TimerId>, std::function<void()>> timers_;
  TimerId last_timer_ = 0;
  std::uint64_t last_random_ = 0;
  std::string held_;
  std::vector<std::pair<std::string, Status>> faults_;
  std::vector<std::string> submitted_;
};

}  // namespace embedjobs::test
