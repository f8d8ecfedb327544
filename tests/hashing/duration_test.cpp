#include "embedjobs/duration.hpp"

#include <catch2/catch.hpp>

using namespace embedjobs;

using namespace std::chrono_literals;

TEST_CASE("durations are a whole number and a unit") {
  CHECK(*parse_duration("500ms") == 500ms);
  CHECK(*parse_duration("2s") == 2s);
  CHECK(*parse_duration("10m") == 10min);
  CHECK(*parse_duration("1h") == 1h);
  CHECK(*parse_duration("0s") == 0s);
  CHECK(*parse_duration("10000h") == 10000h);
}

TEST_CASE("anything else is refused") {
  for (const char* text : {"", "5", "ms", "-1s", "+1s", "1.5s", "1 s", "1d", "1h30m", "1S", " 1s", "1s ", "10001h",
                           "99999999999999999999h", "9223372036854775807ms", "0x1s"}) {
    INFO(text);
    CHECK(parse_duration(text).status().code() == Code::kInvalidArgument);
  }
}

TEST_CASE("a duration is written in the largest unit that loses nothing") {
  CHECK(format_duration(500ms) == "500ms");
  CHECK(format_duration(1500ms) == "1500ms");
  CHECK(format_duration(90s) == "90s");
  CHECK(format_duration(10min) == "10m");
  CHECK(format_duration(24h) == "24h");
  CHECK(format_duration(0s) == "0s");
  CHECK(format_duration(1ns) == "0s");
  CHECK(format_duration(1600us) == "2ms");
  CHECK(format_duration(-5s) == "-5s");
}

TEST_CASE("what is written is read again") {
  for (const Duration duration : {Duration(1ms), Duration(999ms), Duration(59s), Duration(61min), Duration(10000h)}) {
    CHECK(*parse_duration(format_duration(duration)) == duration);
  }
}
