#include "call.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "error.hpp"

namespace embedjobs::capi {

thread_local const Frame* Frame::top_ = nullptr;

Status outcome(std::string_view who, std::int32_t code, std::size_t done, std::size_t expected,
               const embedjobs_call& call) {
  if (code == EMBEDJOBS_OK) {
    if (done == EMBEDJOBS_NOT_DONE) {
      return {Code::kInternal, fmt::format("{} answered ok, but did not set *done: it must have died half-way", who)};
    }
    if (done != expected) {
      return {Code::kInternal, fmt::format("{} answered ok, but *done is {} and not {}", who, done, expected)};
    }
    return {};
  }
  const auto known = static_cast<Code>(code);
  if (code_name(known) == "unknown") {
    return {Code::kInternal, fmt::format("{} answered {}, which is no code", who, code)};
  }
  const std::string message = call.message.empty() ? fmt::format("{} answered '{}'", who, code_name(known))
                                                   : fmt::format("{}: {}", who, call.message);
  return known == Code::kPaused ? Status::paused(call.retry_after, message) : Status(known, message);
}

}  // namespace embedjobs::capi

extern "C" {

void embedjobs_call_set_error(embedjobs_call* call, const char* message, std::size_t size) {
  if (call != nullptr && message != nullptr) {
    embedjobs::capi::quiet_boundary([&] { call->message = embedjobs::capi::clean_line({message, size}); });
  }
}

void embedjobs_call_set_retry_after_ms(embedjobs_call* call, std::int64_t retry_after_ms) {
  if (call != nullptr) {
    const std::int64_t most = std::chrono::milliseconds(std::chrono::hours(1)).count();
    call->retry_after = std::chrono::milliseconds(std::clamp<std::int64_t>(retry_after_ms, 0, most));
  }
}

std::int32_t embedjobs_call_is_cancelled(const embedjobs_call* call) {
  if (call == nullptr) {
    return 0;
  }
  const bool stopping = !call->began_stopped && call->state.stopping.load(std::memory_order_relaxed);
  return stopping || call->stop.stop_requested() ? 1 : 0;
}

std::int64_t embedjobs_call_remaining_ms(const embedjobs_call* call) {
  if (call == nullptr || !call->deadline) {
    return -1;
  }
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(*call->deadline - std::chrono::steady_clock::now());
  return std::max<std::int64_t>(left.count(), 0);
}

}  // extern "C"
