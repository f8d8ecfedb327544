// How long a provider asks us to wait, in the forms that are in use.
#pragma once

#include <optional>
#include <string_view>

#include "embedjobs/types.hpp"
#include "http/transport.hpp"

namespace embedjobs::http {

/// Nobody is waited for longer: a header is not trusted.
inline constexpr Duration kLongestWait = std::chrono::hours(1);

/// "Retry-After": seconds, also with a fraction, or an HTTP date. Nothing for what is neither, or negative; at most
/// kLongestWait.
std::optional<Duration> parse_retry_after(std::string_view text, WallTime now);
/// "retry-after-ms".
std::optional<Duration> parse_milliseconds(std::string_view text);
/// "x-ratelimit-reset-...": "1s", "6m0s", "20ms", "1h2m3.5s", or bare seconds.
std::optional<Duration> parse_reset(std::string_view text);

/// What the headers say together: retry-after-ms, else retry-after, else the reset of the limit that is used up. Zero:
/// nothing.
Duration wait_of(const AnswerHeaders& headers, WallTime now);

}  // namespace embedjobs::http
