// Waits for what another process does.
#pragma once

#include <catch2/catch.hpp>
#include <chrono>
#include <thread>

namespace embedjobs::test {

/// Returns when it is so. After five minutes the test has failed.
template <typename Condition>
void wait_until(const Condition& condition) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::minutes(5);
  while (!condition()) {
    REQUIRE(std::chrono::steady_clock::now() < deadline);
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}

}  // namespace embedjobs::test
