// A runtime that knows whether blocking work is under way: so that the engine can say truly that everything has ended.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "embedjobs/sys/runtime.hpp"

namespace embedjobs::core {

/// Passes everything on. A task counts from submit() until its `run` has returned, or was dropped.
class TrackedRuntime final : public Runtime {
 public:
  explicit TrackedRuntime(std::shared_ptr<Runtime> inner) : inner_(std::move(inner)) {}

  MonoTime now() override { return inner_->now(); }
  WallTime wall_now() override { return inner_->wall_now(); }
  Duration boot_time() override { return inner_->boot_time(); }
  std::string boot_id() override { return inner_->boot_id(); }
  void submit(Task task) override {
    task.run = [run = std::move(task.run), under_way = std::make_shared<UnderWay>(count_)] { run(); };
    inner_->submit(std::move(task));
  }
  void post(std::function<void()> callback) override { inner_->post(std::move(callback)); }
  TimerId set_timer(MonoTime when, std::function<void()> callback) override {
    return inner_->set_timer(when, std::move(callback));
  }
  void cancel_timer(TimerId timer) override { inner_->cancel_timer(timer); }
  std::uint64_t random() override { return inner_->random(); }

  /// Waits until no task is under way. False: `end`, by `clock`, came first.
  bool wait_for_tasks(Clock& clock, std::optional<MonoTime> end) {
    std::unique_lock lock(count_->mutex);
    while (count_->tasks > 0) {
      if (!end) {
        count_->none.wait(lock);
      } else if (const Duration left = *end - clock.now(); left <= Duration(0)) {
        return false;
      } else {
        count_->none.wait_for(lock, left);
      }
    }
    return true;
  }

 private:
  struct Count {
    std::mutex mutex;
    std::condition_variable none;
    std::size_t tasks = 0;
  };
  /// One task.
  class UnderWay {
   public:
    explicit UnderWay(std::shared_ptr<Count> count) : count_(std::move(count)) {
      const std::lock_guard lock(count_->mutex);
      ++count_->tasks;
    }
    ~UnderWay() {
      const std::lock_guard lock(count_->mutex);
      if (--count_->tasks == 0) {
        count_->none.notify_all();
      }
    }
    UnderWay(const UnderWay&) = delete;
    UnderWay& operator=(const UnderWay&) = delete;

   private:
    std::shared_ptr<Count> count_;
  };

  std::shared_ptr<Runtime> inner_;
  std::shared_ptr<Count> count_ = std::make_shared<Count>();
};

}  // namespace embedjobs::core
