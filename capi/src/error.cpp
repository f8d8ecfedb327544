#include "error.hpp"

#include <chrono>
#include <string>

#include "core/guard.hpp"

struct embedjobs_error {
  embedjobs::Code code;
  std::string message;
  std::int64_t retry_after_ms;
};

namespace embedjobs::capi {

std::int32_t report(const Status& status, embedjobs_error** error) noexcept {
  if (error != nullptr) {
    *error = nullptr;
    if (!status.ok()) {
      try {
        const auto wait = std::chrono::ceil<std::chrono::milliseconds>(status.retry_after());
        *error = new embedjobs_error{status.code(), core::one_line(status.message()), wait.count()};
      } catch (const std::bad_alloc&) {
        *error = nullptr;
      }
    }
  }
  return static_cast<std::int32_t>(status.code());
}

}  // namespace embedjobs::capi

extern "C" {

std::int32_t embedjobs_error_code(const embedjobs_error* error) {
  return error == nullptr ? EMBEDJOBS_OK : static_cast<std::int32_t>(error->code);
}
const char* embedjobs_error_message(const embedjobs_error* error) {
  return error == nullptr ? "" : error->message.c_str();
}
std::int64_t embedjobs_error_retry_after_ms(const embedjobs_error* error) {
  return error == nullptr ? 0 : error->retry_after_ms;
}
void embedjobs_error_destroy(embedjobs_error* error) {
  delete error;
}

}  // extern "C"
