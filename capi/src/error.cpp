#include "error.hpp"

#include <algorithm>
#include <chrono>

#include "core/values/guard.hpp"
#include "core/values/utf8.hpp"

struct embedjobs_error {
  embedjobs::Code code;
  std::string message;
  std::int64_t retry_after_ms;
};

namespace embedjobs::capi {
namespace {

std::int32_t make_error(Code code, std::string_view message, Duration retry_after, embedjobs_error** error) noexcept {
  if (error != nullptr) {
    try {
      *error = new embedjobs_error{code, clean_line(message),
                                   std::chrono::ceil<std::chrono::milliseconds>(retry_after).count()};
    } catch (const std::bad_alloc&) {
      *error = nullptr;
    }
  }
  return static_cast<std::int32_t>(code);
}

}  // namespace

std::string clean_line(std::string_view message) {
  constexpr std::size_t kMostBytes = 1000;
  std::string line = core::one_line(core::cut_utf8(message, kMostBytes));
  if (!core::is_valid_utf8(line)) {
    std::replace_if(
        line.begin(), line.end(), [](char c) { return static_cast<unsigned char>(c) >= 0x80; }, '?');
  }
  return line;
}

std::int32_t report(const Status& status, embedjobs_error** error) noexcept {
  if (!status.ok()) {
    return make_error(status.code(), status.message(), status.retry_after(), error);
  }
  if (error != nullptr) {
    *error = nullptr;
  }
  return EMBEDJOBS_OK;
}

std::int32_t report_defect(const char* message, embedjobs_error** error) noexcept {
  return make_error(Code::kInternal, message, Duration(0), error);
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
