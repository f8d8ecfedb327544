// One call of a host's callback: its context, its proof of success, and who may be called from inside it.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>

#include "core/values/guard.hpp"
#include "embedjobs.h"
#include "embedjobs/status.hpp"
#include "embedjobs/sys/runtime.hpp"

namespace embedjobs::capi {

/// What an engine and its callbacks share.
struct HostState {
  std::atomic<bool> stopping = false;
};

/// While it lives, this thread is inside a callback of that engine.
class Frame {
 public:
  explicit Frame(const HostState& state) noexcept : state_(&state), outer_(top_) { top_ = this; }
  ~Frame() { top_ = outer_; }
  Frame(const Frame&) = delete;
  Frame& operator=(const Frame&) = delete;
  /// Is the calling thread inside a callback of the engine?
  static bool inside(const HostState& state) noexcept {
    for (const Frame* frame = top_; frame != nullptr; frame = frame->outer_) {
      if (frame->state_ == &state) {
        return true;
      }
    }
    return false;
  }

 private:
  static thread_local const Frame* top_;
  const HostState* state_;
  const Frame* outer_;
};

}  // namespace embedjobs::capi

namespace embedjobs::capi {

/// What makes a call: only the worker, which ends at a stop; or also somebody who reads, and an engine that was stopped
/// goes on being read.
enum class Caller { kWorker, kAnybody };

}  // namespace embedjobs::capi

struct embedjobs_call {
  embedjobs_call(const embedjobs::capi::HostState& engine, embedjobs::capi::Caller caller)
      : state(engine),
        began_stopped(caller == embedjobs::capi::Caller::kAnybody && engine.stopping.load(std::memory_order_relaxed)) {}
  const embedjobs::capi::HostState& state;
  const bool began_stopped;  ///< The stop is no reason to end it.
  std::stop_token stop;
  std::optional<embedjobs::MonoTime> deadline;
  std::string message;
  embedjobs::Duration retry_after{0};
};

namespace embedjobs::capi {

/// What a callback's answer means. `who` is the part that answered, "the host's embedder"; `expected` what *done
/// proves.
Status outcome(std::string_view who, std::int32_t code, std::size_t done, std::size_t expected,
               const embedjobs_call& call);

/// Calls `f(&call, &done)` as a callback and judges its answer.
template <typename F>
Status call_host(std::string_view who, embedjobs_call& call, std::size_t expected, F&& f) {
  const auto guarded_call = [&]() -> Status {
    std::size_t done = EMBEDJOBS_NOT_DONE;
    std::int32_t code = EMBEDJOBS_INTERNAL;
    {
      const Frame frame(call.state);
      code = std::forward<F>(f)(&call, &done);
    }
    return outcome(who, code, done, expected, call);
  };
  return core::guarded(who, guarded_call);
}

/// A host's table of callbacks. destroy(user_data) is called once, at its end.
template <typename Table>
class OwnedTable {
 public:
  OwnedTable(const Table& table, std::shared_ptr<const HostState> state) : table_(table), state_(std::move(state)) {}
  ~OwnedTable() {
    if (table_.destroy != nullptr) {
      const Frame frame(*state_);
      (void)core::guarded("destroy", [&] { table_.destroy(table_.user_data); });  // there is nobody to tell
    }
  }
  OwnedTable(const OwnedTable&) = delete;
  OwnedTable& operator=(const OwnedTable&) = delete;
  const Table* operator->() const noexcept { return &table_; }
  [[nodiscard]] const HostState& state() const noexcept { return *state_; }

 private:
  const Table table_;
  const std::shared_ptr<const HostState> state_;
};

}  // namespace embedjobs::capi
