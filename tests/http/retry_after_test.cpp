#include <catch2/catch.hpp>

#include "http/retry_after.hpp"

using namespace embedjobs;
using namespace embedjobs::http;
using namespace std::chrono_literals;

namespace {

// 2024-05-01 12:00:00 UTC
const WallTime kNow{std::chrono::seconds(1714564800)};

}  // namespace

TEST_CASE("Retry-After is seconds or a date") {
  CHECK(parse_retry_after("120", kNow) == 120s);
  CHECK(parse_retry_after(" 0 ", kNow) == 0s);
  CHECK(parse_retry_after("1.5", kNow) == 1500ms);
  CHECK(parse_retry_after("Wed, 01 May 2024 12:00:30 GMT", kNow) == 30s);
  CHECK(parse_retry_after("Wed, 01 May 2024 11:00:00 GMT", kNow) == 0s);       // it is over
  CHECK(parse_retry_after("Wednesday, 01-May-24 12:00:30 GMT", kNow) == 30s);  // RFC 850
  CHECK(parse_retry_after("Wed May  1 12:00:30 2024", kNow) == 30s);           // asctime
}

TEST_CASE("nobody is waited for longer than an hour, and nonsense is no time at all") {
  CHECK(parse_retry_after("3601", kNow) == 1h);
  CHECK(parse_retry_after("99999999999999999999999999", kNow) == 1h);
  CHECK(parse_retry_after("Fri, 01 Jan 2100 00:00:00 GMT", kNow) == 1h);
  for (const char* text :
       {"", " ", "-1", "+5", "1e9", "nan", "inf", "0x10", "5s", "soon", "1 2", "1..2", ".", "Wed", "\x01", "12:00"}) {
    INFO(text);
    CHECK_FALSE(parse_retry_after(text, kNow));
  }
  CHECK_FALSE(parse_retry_after(std::string(5000, 'W'), kNow));
  CHECK(parse_retry_after(std::string(5000, '9'), kNow).value_or(1h) == 1h);
}

TEST_CASE("milliseconds are bounded as well") {
  CHECK(parse_milliseconds("250") == 250ms);
  CHECK(parse_milliseconds("99999999999") == 1h);
  CHECK_FALSE(parse_milliseconds("-1"));
  CHECK_FALSE(parse_milliseconds("a"));
}

TEST_CASE("resets of rate limits come in Go's durations") {
  CHECK(parse_reset("1s") == 1s);
  CHECK(parse_reset("6m0s") == 6min);
  CHECK(parse_reset("20ms") == 20ms);
  CHECK(parse_reset("1m2.5s") == 62500ms);
  CHECK(parse_reset("2h") == 1h);
  CHECK(parse_reset("1d") == 1h);
  CHECK(parse_reset("3") == 3s);
  for (const char* text : {"", "-1", "s", "1x", "1m2", "ms", "1 s"}) {
    INFO(text);
    CHECK_FALSE(parse_reset(text));
  }
}

TEST_CASE("the limit that is used up says how long, and what is asked outright says it before") {
  AnswerHeaders headers;
  CHECK(wait_of(headers, kNow) == 0s);
  headers.reset_requests = "30s";
  headers.reset_tokens = "10s";
  CHECK(wait_of(headers, kNow) == 10s);
  headers.remaining_requests = "0";
  CHECK(wait_of(headers, kNow) == 30s);
  headers.remaining_requests = "-1";  // Azure: not known
  headers.remaining_tokens = "0";
  CHECK(wait_of(headers, kNow) == 10s);
  headers.retry_after = "5";
  CHECK(wait_of(headers, kNow) == 5s);
  headers.retry_after_ms = "100";
  CHECK(wait_of(headers, kNow) == 100ms);
  headers.retry_after_ms = "nonsense";
  CHECK(wait_of(headers, kNow) == 5s);
}
