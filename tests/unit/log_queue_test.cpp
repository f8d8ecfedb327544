#include "core/runtime/log_queue.hpp"
#include "embedjobs/events.hpp"

#include <pthread.h>
#include <catch2/catch.hpp>

#include <algorithm>

#include <atomic>
#include <thread>
#include <vector>

using namespace embedjobs;

TEST_CASE("lines from many threads arrive one at a time, each once, in the order of their thread") {
  std::vector<std::string> lines;  // unguarded on purpose: the queue is what guards it
  std::atomic<int> inside = 0;
  bool alone = true;
  const LogSink sink = core::one_at_a_time([&](LogLevel, std::string_view line) {
    alone = alone && inside.fetch_add(1) == 0;
    lines.emplace_back(line);
    inside.fetch_sub(1);
  });
  std::vector<std::jthread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&sink, t] {
      for (int i = 100; i < 600; ++i) {
        sink(LogLevel::kInfo, std::to_string(t) + ":" + std::to_string(i));
      }
    });
  }
  threads.clear();
  CHECK(alone);
  CHECK(lines.size() == 2000);
  std::stable_sort(lines.begin(), lines.end(), [](const std::string& a, const std::string& b) { return a[0] < b[0]; });
  CHECK(std::is_sorted(lines.begin(), lines.end()));
}

TEST_CASE("a sink may log, and may throw") {
  std::vector<std::string> lines;
  LogSink sink;
  sink = core::one_at_a_time([&](LogLevel level, std::string_view line) {
    lines.emplace_back(line);
    if (level == LogLevel::kError) {
      sink(LogLevel::kInfo, "from inside");
      throw 1;
    }
  });
  sink(LogLevel::kError, "first");
  sink(LogLevel::kInfo, "last");
  CHECK(lines == std::vector<std::string>{"first", "from inside", "last"});
}

TEST_CASE("a sink that ends its thread silences nobody else") {
  std::vector<std::string> lines;
  const LogSink sink = core::one_at_a_time([&](LogLevel level, std::string_view line) {
    lines.emplace_back(line);
    if (level == LogLevel::kError) {
      pthread_exit(nullptr);
    }
  });
  std::thread([&] { sink(LogLevel::kError, "first"); }).join();
  sink(LogLevel::kInfo, "second");
  CHECK(lines == std::vector<std::string>{"first", "second"});
}

TEST_CASE("a sink that can't keep up is told how many lines it lost") {
  std::vector<std::string> lines;
  LogSink sink;
  sink = core::one_at_a_time([&](LogLevel level, std::string_view line) {
    if (level == LogLevel::kError) {
      for (int i = 0; i < 10'005; ++i) {
        sink(LogLevel::kInfo, "flood");
      }
    }
    lines.emplace_back(line);
  });
  sink(LogLevel::kError, "first");
  REQUIRE(lines.size() == 10'002);
  CHECK(lines.back() == "5 log lines were dropped, the sink was too slow");
}

TEST_CASE("no sink stays no sink") {
  CHECK_FALSE(core::one_at_a_time({}));
}
