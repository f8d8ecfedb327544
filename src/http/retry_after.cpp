#include "http/retry_after.hpp"

#include <curl/curl.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <string>

namespace embedjobs::http {
namespace {

struct Unit {
  std::string_view name;
  double seconds;
};
constexpr std::array<Unit, 5> kUnits{{{"ms", 0.001}, {"d", 86400}, {"h", 3600}, {"m", 60}, {"s", 1}}};

std::string_view trimmed(std::string_view text) {
  const auto begin = text.find_first_not_of(" \t");
  return begin == std::string_view::npos ? std::string_view()
                                         : text.substr(begin, text.find_last_not_of(" \t") - begin + 1);
}

std::optional<Duration> bounded(double seconds) {
  if (!std::isfinite(seconds) || seconds < 0) {
    return std::nullopt;
  }
  constexpr double kMost = static_cast<double>(kLongestWait / std::chrono::seconds(1));
  return std::chrono::duration_cast<Duration>(std::chrono::duration<double>(std::min(seconds, kMost)));
}

// A number at the beginning of `text`, which is taken away from it. Digits and one point, nothing else.
std::optional<double> take_number(std::string_view& text) {
  const auto digits = std::min(text.find_first_not_of("0123456789."), text.size());
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + digits, number, std::chars_format::fixed);
  if (end != text.data() + digits || digits == 0) {
    return std::nullopt;
  }
  text.remove_prefix(digits);
  return error == std::errc::result_out_of_range ? std::optional(HUGE_VAL)
         : error == std::errc()                  ? std::optional(number)
                                                 : std::nullopt;
}

std::optional<double> whole_number(std::string_view text) {
  text = trimmed(text);
  const std::optional<double> number = take_number(text);
  if (!number || !text.empty()) {
    return std::nullopt;
  }
  return std::min(*number, 1e12);
}

std::optional<Duration> until_date(std::string_view text, WallTime now) {
  constexpr std::size_t kLongestDate = 64;
  if (text.size() > kLongestDate || text.find_first_not_of("0123456789") == std::string_view::npos) {
    return std::nullopt;
  }
  const std::time_t date = curl_getdate(std::string(text).c_str(), nullptr);
  if (date < 0) {
    return std::nullopt;
  }
  const auto seconds_now = std::chrono::duration<double>(now.time_since_epoch()).count();
  return bounded(std::max(0.0, static_cast<double>(date) - seconds_now));
}

bool used_up(std::string_view remaining) {
  const std::optional<double> left = whole_number(remaining);
  return left && *left <= 0;
}

}  // namespace

std::optional<Duration> parse_retry_after(std::string_view text, WallTime now) {
  text = trimmed(text);
  if (const std::optional<double> seconds = whole_number(text)) {
    return bounded(*seconds);
  }
  // A date begins with the name of its day; what begins otherwise is a broken number.
  const bool begins_with_letter =
      !text.empty() && ((text[0] >= 'A' && text[0] <= 'Z') || (text[0] >= 'a' && text[0] <= 'z'));
  return begins_with_letter ? until_date(text, now) : std::nullopt;
}

std::optional<Duration> parse_milliseconds(std::string_view text) {
  const std::optional<double> number = whole_number(text);
  return number ? bounded(*number / 1000) : std::nullopt;
}

std::optional<Duration> parse_reset(std::string_view text) {
  text = trimmed(text);
  if (const std::optional<double> seconds = whole_number(text)) {
    return bounded(*seconds);
  }
  double sum = 0;
  while (!text.empty()) {
    const std::optional<double> number = take_number(text);
    const auto* const unit =
        std::find_if(kUnits.begin(), kUnits.end(), [&](const Unit& known) { return text.starts_with(known.name); });
    if (!number || unit == kUnits.end()) {
      return std::nullopt;
    }
    sum += std::min(*number, 1e12) * unit->seconds;
    text.remove_prefix(unit->name.size());
  }
  return sum > 0 ? bounded(sum) : std::nullopt;
}

Duration wait_of(const AnswerHeaders& headers, WallTime now) {
  if (const auto wait = parse_milliseconds(headers.retry_after_ms)) {
    return *wait;
  }
  if (const auto wait = parse_retry_after(headers.retry_after, now)) {
    return *wait;
  }
  const auto requests = parse_reset(headers.reset_requests);
  const auto tokens = parse_reset(headers.reset_tokens);
  if (requests && used_up(headers.remaining_requests)) {
    return *requests;
  }
  if (tokens && used_up(headers.remaining_tokens)) {
    return *tokens;
  }
  // Neither is said to be used up: the sooner one, for the other may be the time until everything is back.
  if (requests && tokens) {
    return std::min(*requests, *tokens);
  }
  return requests ? *requests : tokens.value_or(Duration(0));
}

}  // namespace embedjobs::http
