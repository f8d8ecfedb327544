#include "core/runtime/hosted_runtime.hpp"

#include <utility>

namespace embedjobs::core {

void HostedRuntime::submit(Task task) {
  if (!lanes_[static_cast<std::size_t>(task.lane)]) {
    inner_->submit(std::move(task));
    return;
  }
  const std::lock_guard lock(waker_->mutex);
  if (closed_) {
    return;
  }
  tasks_.push_back(std::move(task));
  ++waker_->changes;
  waker_->changed.notify_all();
}

void HostedWaker::wake() {
  const std::lock_guard lock(mutex);
  ++changes;
  changed.notify_all();
}

void HostedRuntime::close() {
  std::deque<Task> dropped;  // ends after the lock
  const std::lock_guard lock(waker_->mutex);
  closed_ = true;
  dropped.swap(tasks_);
}

void HostedRuntime::wait(std::unique_lock<std::mutex>& lock, std::optional<MonoTime> end, std::uint64_t seen) {
  if (!end) {
    waker_->changed.wait(lock, [&] { return waker_->changes != seen; });
  } else if (const Duration left = *end - inner_->now(); left > Duration(0)) {
    waker_->changed.wait_for(lock, left, [&] { return waker_->changes != seen; });
  }
}

bool HostedRuntime::take_turn(std::optional<MonoTime> end, const std::function<bool()>& done) {
  for (;;) {
    std::uint64_t seen = 0;
    {
      const std::lock_guard lock(waker_->mutex);
      if (!serving_) {
        serving_ = true;
        return true;
      }
      seen = waker_->changes;
    }
    if (done() || (end && inner_->now() >= *end)) {
      return false;
    }
    std::unique_lock lock(waker_->mutex);
    wait(lock, end, seen);
  }
}

bool HostedRuntime::run_one() {
  Task task;
  {
    const std::lock_guard lock(waker_->mutex);
    if (tasks_.empty()) {
      return false;
    }
    task = std::move(tasks_.front());
    tasks_.pop_front();
  }
  // Also when the call ends this thread: nobody else would answer.
  struct Answer {
    Runtime& runtime;
    Task& task;
    Status fault{Code::kInternal, "the thread was ended inside the call"};
    ~Answer() {
      runtime.post([finish = std::move(task.finish), status = fault] { finish(status); });
    }
  } answer{*inner_, task};
  task.run();
  task.run = nullptr;  // what it holds ends here, not on the logical thread
  answer.fault = Status();
  return true;
}

bool HostedRuntime::serve(std::optional<MonoTime> end, const std::function<bool()>& done) {
  if (!take_turn(end, done)) {
    return done();
  }
  struct Turn {
    HostedRuntime& self;
    ~Turn() {
      const std::lock_guard lock(self.waker_->mutex);
      self.serving_ = false;
      ++self.waker_->changes;
      self.waker_->changed.notify_all();
    }
  } const turn_ends{*this};
  for (;;) {
    std::uint64_t seen = 0;
    {
      const std::lock_guard lock(waker_->mutex);
      seen = waker_->changes;
    }
    if (done()) {
      return true;
    }
    if (end && inner_->now() >= *end) {
      return false;
    }
    if (!run_one()) {
      std::unique_lock lock(waker_->mutex);
      wait(lock, end, seen);
    }
  }
}

}  // namespace embedjobs::core
