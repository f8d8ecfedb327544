// Real threads and clocks behind the Runtime interface: one loop thread, and a small pool a lane.
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <condition_variable>
#include <deque>
#include <exception>
#include <limits>
#include <map>
#include <mutex>
#include <random>
#include <thread>
#include <vector>

#include "embedjobs/sys/runtime.hpp"

namespace embedjobs {
namespace {

Duration read_boot_time() {
  timespec time{};
  clock_gettime(CLOCK_BOOTTIME, &time);
  return std::chrono::seconds(time.tv_sec) + Duration(time.tv_nsec);
}

/// Empty where it can't be read, as in a unit with ProcSubset=pid, a chroot, or a process without a free descriptor.
std::string read_boot_id() {
  std::array<char, 64> buffer{};
  const int file = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
  if (file < 0) {
    return {};
  }
  const ssize_t size = read(file, buffer.data(), buffer.size());
  close(file);
  std::string id(buffer.data(), size > 0 ? static_cast<std::size_t>(size) : 0);
  std::erase_if(id, [](char c) { return c == '\n'; });
  return id;
}

/// A new thread inherits the mask of its maker: signals stay with the host's threads.
class SignalsBlocked {
 public:
  SignalsBlocked() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;

 private:
  sigset_t before_{};
};

std::thread make_thread(std::function<void()> body) {
  const SignalsBlocked blocked;
  return std::thread(std::move(body));
}

MonoTime steady_now() {
  return std::chrono::time_point_cast<Duration>(std::chrono::steady_clock::now());
}
WallTime system_now() {
  return std::chrono::time_point_cast<Duration>(std::chrono::system_clock::now());
}

class SystemClock final : public Clock {
 public:
  MonoTime now() override { return steady_now(); }
  WallTime wall_now() override { return system_now(); }
  Duration boot_time() override { return read_boot_time(); }
  std::string boot_id() override { return boot_id_; }

 private:
  const std::string boot_id_ = read_boot_id();
};

Status thread_ended() {
  return {Code::kInternal, "the thread was ended inside the call"};
}

/// The threads of one lane. They take tasks in order and give each task's finish to `deliver`.
class LanePool {
 public:
  using Deliver = std::function<void(std::function<void()>)>;

  LanePool(int size, Deliver deliver)
      : size_(static_cast<std::size_t>(std::max(size, 1))), deliver_(std::move(deliver)) {}

  void submit(Task task) {
    const std::lock_guard lock(mutex_);
    if (closing_) {
      return;
    }
    tasks_.push_back(std::move(task));
    grow();
    ready_.notify_one();
  }

  void close() {
    std::deque<Task> dropped;
    {
      const std::lock_guard lock(mutex_);
      closing_ = true;
      dropped.swap(tasks_);
      ready_.notify_all();
    }
    for (std::thread& thread : threads_) {
      thread.join();
    }
  }

 private:
  /// Under mutex_: one thread more, if that is of use.
  void grow() {
    if (idle_ < tasks_.size() && threads_.size() < size_ + ended_) {
      threads_.push_back(make_thread([this] { serve(); }));
    }
  }

  void serve() {
    std::unique_lock lock(mutex_);
    for (;;) {
      ++idle_;
      ready_.wait(lock, [this] { return closing_ || !tasks_.empty(); });
      --idle_;
      if (closing_) {
        return;
      }
      Task task = std::move(tasks_.front());
      tasks_.pop_front();
      lock.unlock();
      run(std::move(task));
      lock.lock();
    }
  }

  /// Another thread takes the place of one that a plug-in has ended inside its call, for tasks that wait already too.
  void replace_ended() noexcept {
    const std::lock_guard lock(mutex_);
    ++ended_;
    try {
      if (!closing_) {
        grow();
      }
    } catch (const std::exception&) {
      // No thread can be had now: the next task asks for one again.
    }
  }

  /// A thread that a plug-in ends inside its call leaves an answer, once another thread may serve.
  void run(Task task) {
    struct Ended {
      LanePool& self;
      Task& task;
      bool returned = false;
      ~Ended() {
        if (!returned) {
          self.replace_ended();
          self.deliver_([finish = std::move(task.finish)] { finish(thread_ended()); });
        }
      }
    } ended{*this, task};
    task.run();
    ended.returned = true;
    task.run = nullptr;  // what it holds ends here, not on the logical thread
    deliver_([finish = std::move(task.finish)] { finish(Status()); });
  }

  const std::size_t size_;
  const Deliver deliver_;
  std::mutex mutex_;
  std::condition_variable ready_;
  std::deque<Task> tasks_;
  std::size_t idle_ = 0;
  std::size_t ended_ = 0;  ///< Of threads_: they serve no more.
  bool closing_ = false;
  std::vector<std::thread> threads_;  // grows under mutex_ until closing_
};

class SystemRuntime final : public Runtime {
 public:
  explicit SystemRuntime(const LaneSizes& sizes) {
    const std::array<int, kLaneCount> counts{sizes.store,    sizes.persist, sizes.heartbeat,
                                             sizes.provider, sizes.compute, sizes.maintenance};
    for (const int count : counts) {
      lanes_.push_back(
          std::make_unique<LanePool>(count, [this](std::function<void()> callback) { post(std::move(callback)); }));
    }
    loop_ = make_thread([this] { run_loop(); });
  }

  ~SystemRuntime() override {
    {
      const std::lock_guard lock(mutex_);
      closing_ = true;
      changed_.notify_all();
    }
    loop_.join();
    for (const auto& lane : lanes_) {
      lane->close();
    }
  }

  MonoTime now() override { return steady_now(); }
  WallTime wall_now() override { return system_now(); }
  Duration boot_time() override { return read_boot_time(); }
  std::string boot_id() override { return clock_.boot_id(); }

  void submit(Task task) override {
    const auto lane = static_cast<std::size_t>(task.lane);
    lanes_[lane]->submit(std::move(task));
  }

  void post(std::function<void()> callback) override {
    const std::lock_guard lock(mutex_);
    posted_.push_back(std::move(callback));
    changed_.notify_one();
  }

  TimerId set_timer(MonoTime when, std::function<void()> callback) override {
    const TimerId id = ++last_timer_;
    timers_.emplace(std::pair(when, id), std::move(callback));
    due_by_id_.emplace(id, when);
    return id;
  }

  void cancel_timer(TimerId timer) override {
    const auto due = due_by_id_.find(timer);
    if (due != due_by_id_.end()) {
      timers_.erase({due->second, timer});
      due_by_id_.erase(due);
    }
  }

  std::uint64_t random() override { return random_(); }

 private:
  void run_loop() {
    for (;;) {
      std::deque<std::function<void()>> batch;
      {
        std::unique_lock lock(mutex_);
        const auto ready = [this] { return closing_ || !posted_.empty(); };
        if (timers_.empty()) {
          changed_.wait(lock, ready);
        } else {
          changed_.wait_until(lock, timers_.begin()->first.first, ready);
        }
        if (closing_) {
          return;
        }
        batch.swap(posted_);
      }
      for (auto& callback : batch) {
        callback();
        callback = nullptr;
      }
      run_due_timers();
    }
  }

  void run_due_timers() {
    const MonoTime now = steady_now();
    // Only as many as are due now: a timer that a callback sets in the past must not keep posted answers waiting for
    // ever.
    auto due = std::distance(timers_.begin(), timers_.upper_bound({now, std::numeric_limits<TimerId>::max()}));
    for (; due > 0 && !timers_.empty() && timers_.begin()->first.first <= now; --due) {
      auto node = timers_.extract(timers_.begin());
      due_by_id_.erase(node.key().second);
      node.mapped()();
    }
  }

  static std::mt19937_64 seeded() {
    std::random_device device;
    std::seed_seq seed{device(), device(), device(), device()};
    return std::mt19937_64(seed);
  }

  SystemClock clock_;
  std::vector<std::unique_ptr<LanePool>> lanes_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> posted_;
  bool closing_ = false;
  // The logical thread's own.
  std::map<std::pair<MonoTime, TimerId>, std::function<void()>> timers_;
  std::map<TimerId, MonoTime> due_by_id_;
  TimerId last_timer_ = 0;
  std::mt19937_64 random_ = seeded();
  std::thread loop_;
};

}  // namespace

std::unique_ptr<Runtime> make_system_runtime(const LaneSizes& lanes) {
  return std::make_unique<SystemRuntime>(lanes);
}

std::shared_ptr<Clock> system_clock() {
  return std::make_shared<SystemClock>();
}

}  // namespace embedjobs
