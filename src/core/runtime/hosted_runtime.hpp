// A runtime some of whose lanes are served by a thread that the host lends: so that a host's parts are called on the
// host's own thread.
#pragma once

#include <array>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>

#include "embedjobs/sys/runtime.hpp"

namespace embedjobs::core {

/// Which lanes wait for the host's thread.
using HostedLanes = std::array<bool, kLaneCount>;

/// Wakes whoever serves. Callbacks of the runtime hold this and not the runtime: the last to hold that joins its
/// threads.
struct HostedWaker {
  void wake();
  std::mutex mutex;
  std::condition_variable changed;
  std::uint64_t changes = 0;
};

/// Passes everything on, but for tasks of the hosted lanes: they wait until somebody is in serve(), and are run there,
/// in order. What is left when this ends is dropped.
class HostedRuntime final : public Runtime {
 public:
  HostedRuntime(std::shared_ptr<Runtime> inner, HostedLanes lanes) : inner_(std::move(inner)), lanes_(lanes) {}

  MonoTime now() override { return inner_->now(); }
  WallTime wall_now() override { return inner_->wall_now(); }
  Duration boot_time() override { return inner_->boot_time(); }
  std::string boot_id() override { return inner_->boot_id(); }
  void submit(Task task) override;
  void post(std::function<void()> callback) override { inner_->post(std::move(callback)); }
  TimerId set_timer(MonoTime when, std::function<void()> callback) override {
    return inner_->set_timer(when, std::move(callback));
  }
  void cancel_timer(TimerId timer) override { inner_->cancel_timer(timer); }
  std::uint64_t random() override { return inner_->random(); }

  /// Runs tasks on the calling thread until `done` answers true (then true) or `end` is past (then false). One thread
  /// at a time: another waits for its turn. `done` is asked before each task and after each wake(), with no lock held.
  bool serve(std::optional<MonoTime> end, const std::function<bool()>& done);
  /// Whoever is in serve() asks `done` again.
  void wake() { waker_->wake(); }
  [[nodiscard]] std::shared_ptr<HostedWaker> waker() const { return waker_; }
  /// Drops the hosted tasks that wait, and those that come.
  void close();

 private:
  /// The right to serve, once it is free. False: `done` or `end` came first.
  bool take_turn(std::optional<MonoTime> end, const std::function<bool()>& done);
  void wait(std::unique_lock<std::mutex>& lock, std::optional<MonoTime> end, std::uint64_t seen);
  /// Runs the first task, if there is one.
  bool run_one();

  const std::shared_ptr<Runtime> inner_;
  const HostedLanes lanes_;
  const std::shared_ptr<HostedWaker> waker_ = std::make_shared<HostedWaker>();  ///< Its mutex guards what follows.
  std::deque<Task> tasks_;
  bool serving_ = false;
  bool closed_ = false;
};

}  // namespace embedjobs::core
