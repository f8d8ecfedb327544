#include "embedjobs/status.hpp"

#include <algorithm>

namespace embedjobs {

std::string_view code_name(Code code) noexcept {
  switch (code) {
    case Code::kOk: return "ok";
    case Code::kRetry: return "retry";
    case Code::kPaused: return "paused";
    case Code::kTimeout: return "timeout";
    case Code::kBatchTooLarge: return "batch_too_large";
    case Code::kInputTooLarge: return "input_too_large";
    case Code::kInputRejected: return "input_rejected";
    case Code::kFailed: return "failed";
    case Code::kLeaseLost: return "lease_lost";
    case Code::kGone: return "gone";
    case Code::kCancelled: return "cancelled";
    case Code::kInvalidArgument: return "invalid_argument";
    case Code::kInvalidDocument: return "invalid_document";
    case Code::kNotFound: return "not_found";
    case Code::kRefused: return "refused";
    case Code::kIncomplete: return "incomplete";
    case Code::kUnusable: return "unusable";
    case Code::kInternal: return "internal";
  }
  return "unknown";
}

Status Status::paused(Duration retry_after, std::string message) {
  Status status(Code::kPaused, std::move(message));
  status.retry_after_ = std::max(retry_after, Duration(0));
  return status;
}

Status Status::with_context(std::string_view context) const {
  if (ok()) {
    return *this;
  }
  Status status = *this;
  status.message_ = std::string(context) + ": " + message_;
  return status;
}

std::string Status::to_string() const {
  if (ok()) {
    return "ok";
  }
  return std::string(code_name(code_)) + ": " + message_;
}

}  // namespace embedjobs
