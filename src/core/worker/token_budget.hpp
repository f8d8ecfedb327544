// Tokens of a UTC day, against the day's budget.
#pragma once

#include <cstdint>
#include <optional>

#include "core/rules/provider_notes.hpp"
#include "embedjobs/sys/runtime.hpp"

namespace embedjobs::core {

/// The store counts for all processes; it is asked now and then, and what this process spends is added in between. So a
/// day may go over its budget by the calls in flight and by what other processes spend between two looks.
class TokenBudget {
 public:
  /// 0: no budget.
  explicit TokenBudget(std::uint64_t a_day) : a_day_(a_day) {}

  [[nodiscard]] std::uint64_t a_day() const { return a_day_; }
  [[nodiscard]] std::uint64_t used() const { return used_; }
  /// When the store should be asked again; none: there is no budget, or the question is on its way.
  [[nodiscard]] std::optional<MonoTime> ask_at() const {
    return a_day_ == 0 || asked_ ? std::nullopt : std::optional(ask_at_);
  }
  void asked() {
    asked_ = true;
    spent_since_ = 0;
  }
  /// `state` null: there was no answer.
  void on_state(const ProviderState* state, MonoTime now) {
    asked_ = false;
    ask_at_ = now + std::chrono::seconds(10);
    if (state != nullptr) {
      used_ = state->tokens_today + spent_since_;
      midnight_ = now + (next_utc_midnight(state->read_at) - state->read_at);
    }
  }
  void spent(std::uint64_t tokens) {
    used_ += tokens;
    spent_since_ += tokens;
  }
  /// Used up until then, the next UTC midnight.
  [[nodiscard]] std::optional<MonoTime> used_up_until(MonoTime now) {
    if (midnight_ && now >= *midnight_) {
      midnight_ = *midnight_ + std::chrono::hours(24);
      used_ = spent_since_ = 0;
    }
    return a_day_ > 0 && used_ >= a_day_ ? midnight_ : std::nullopt;
  }

 private:
  std::uint64_t a_day_;
  std::uint64_t used_ = 0;
  std::uint64_t spent_since_ = 0;
  bool asked_ = false;
  MonoTime ask_at_{};
  std::optional<MonoTime> midnight_;
};

}  // namespace embedjobs::core
