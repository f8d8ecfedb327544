// Any bytes may stand in the headers that say how long to wait: a time from zero to an hour, or none.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "http/retry_after.hpp"

namespace {

using namespace embedjobs;

void require(const std::optional<Duration>& wait) {
  if (wait && (*wait < Duration(0) || *wait > http::kLongestWait)) {
    std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  const WallTime now{std::chrono::seconds(1714564800)};
  require(http::parse_retry_after(text, now));
  require(http::parse_milliseconds(text));
  require(http::parse_reset(text));
  http::AnswerHeaders headers;
  headers.retry_after = text.substr(0, size / 3);
  headers.reset_requests = text.substr(size / 3, size / 3);
  headers.remaining_tokens = text.substr(0, 1);
  headers.reset_tokens = text.substr(size / 2);
  require(http::wait_of(headers, now));
  return 0;
}
