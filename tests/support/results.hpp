// Calls that must succeed.
#pragma once

#include <catch2/catch.hpp>
#include <utility>

#include "embedjobs/status.hpp"

namespace embedjobs::test {

/// The value of a call that must succeed.
template <typename T>
T get(Result<T> result) {
  INFO(result.status().to_string());
  REQUIRE(result.ok());
  return std::move(result).value();
}

inline void ok(const Status& status) {
  INFO(status.to_string());
  REQUIRE(status.ok());
}

}  // namespace embedjobs::test
