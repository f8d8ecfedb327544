// Errors as values. A code says what the caller should do next; a message says to a person what happened.
//
// No call of this library lets an exception out, prints, or ends the process. A call that can fail returns Status, or
// Result<T> where it also has something to give back.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>

namespace embedjobs {

/// A span of time. Every duration in this library is in nanoseconds; parameters say so by their type.
using Duration = std::chrono::nanoseconds;

/// What to do about an error. Numbers are stable: they cross the C ABI and stand in logs.
enum class Code : std::int32_t {
  kOk = 0,
  kRetry = 1,             ///< A passing fault. The same call may succeed later; costs an attempt when it ends a pass.
  kPaused = 2,            ///< The provider limits, loads or can't be reached. Wait retry_after(). Costs no attempt.
  kTimeout = 3,           ///< The call outlasted its limit. A smaller batch may succeed.
  kBatchTooLarge = 4,     ///< The batch as a whole is too large: split it, do not cut its texts.
  kInputTooLarge = 5,     ///< One text is too long for the model: cut it, on a code-point boundary.
  kInputRejected = 6,     ///< One text of the batch can't be embedded. Split until it stands alone, then set it aside.
  kFailed = 7,            ///< Trying again will not help: the job fails.
  kLeaseLost = 8,         ///< The caller no longer holds the lease. Stop; nothing was changed.
  kGone = 9,              ///< The document does not exist any more.
  kCancelled = 10,        ///< The caller asked for an end, by a stop or a deadline.
  kInvalidArgument = 11,  ///< The call itself is wrong: an empty name, a malformed DSN, an option out of range.
  kInvalidDocument = 12,  ///< The document can't be read. The message names the place.
  kNotFound = 13,         ///< What was asked for does not exist.
  kRefused = 14,          ///< Not allowed in this state: another target space, a forked process, a call after stop.
  kIncomplete = 15,       ///< A manifest names texts whose vectors are not stored.
  kUnusable = 16,         ///< The database can't be used as it is: not ours, newer, damaged, read-only.
  kInternal = 17,         ///< A defect, here or in a plug-in (an exception that crossed a call, a broken promise).
};

/// The stable lower-case name of a code, for example "lease_lost". "unknown" for a number that is not a code.
std::string_view code_name(Code code) noexcept;

/// The outcome of a call that gives nothing back. Copyable; not thread-safe for concurrent writes, as any value.
class [[nodiscard]] Status {
 public:
  /// Success.
  Status() noexcept = default;
  /// An error. `code` should not be kOk; `message` is one line for a person, without a trailing period or newline.
  Status(Code code, std::string message) : code_(code), message_(std::move(message)) {}
  /// The provider asks for a pause of `retry_after` (non-negative; zero means "soon, you choose").
  static Status paused(Duration retry_after, std::string message);

  [[nodiscard]] bool ok() const noexcept { return code_ == Code::kOk; }
  [[nodiscard]] Code code() const noexcept { return code_; }
  /// Empty for success.
  [[nodiscard]] const std::string& message() const noexcept { return message_; }
  /// How long the provider asked to be left alone (kPaused); zero when it did not say.
  [[nodiscard]] Duration retry_after() const noexcept { return retry_after_; }
  /// The same error with `context` and ": " before its message. Success stays success.
  [[nodiscard]] Status with_context(std::string_view context) const;
  /// "ok", or "name: message".
  [[nodiscard]] std::string to_string() const;

 private:
  Code code_ = Code::kOk;
  std::string message_;
  Duration retry_after_{0};
};

/// A value or the Status that says why there is none. value() and * are for the successful case only; check ok() first.
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}       // NOLINT(google-explicit-constructor)
  Result(Status error) : state_(std::in_place_index<1>, std::move(error)) {}  // NOLINT(google-explicit-constructor)
  Result(Code code, std::string message) : Result(Status(code, std::move(message))) {}

  [[nodiscard]] bool ok() const noexcept { return state_.index() == 0; }
  explicit operator bool() const noexcept { return ok(); }
  [[nodiscard]] T& value() & { return std::get<0>(state_); }
  [[nodiscard]] const T& value() const& { return std::get<0>(state_); }
  [[nodiscard]] T&& value() && { return std::get<0>(std::move(state_)); }
  [[nodiscard]] T& operator*() & { return value(); }
  [[nodiscard]] const T& operator*() const& { return value(); }
  [[nodiscard]] T&& operator*() && { return std::move(*this).value(); }
  [[nodiscard]] T* operator->() { return &value(); }
  [[nodiscard]] const T* operator->() const { return &value(); }
  /// Success when there is a value.
  [[nodiscard]] Status status() const { return ok() ? Status() : std::get<1>(state_); }

 private:
  std::variant<T, Status> state_;
};

}  // namespace embedjobs
