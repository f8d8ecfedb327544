// Calls that must succeed.
#pragma once

#include <utility>

#include "embedjobs/status.hpp"
#include "embedjobs/types.hpp"
#include "support/catch.hpp"

/// What a failed check prints is read by people.
template <>
struct Catch::StringMaker<embedjobs::Code> {
  static std::string convert(embedjobs::Code code) { return std::string(embedjobs::code_name(code)); }
};
template <>
struct Catch::StringMaker<embedjobs::JobStatus> {
  static std::string convert(embedjobs::JobStatus status) { return std::string(embedjobs::to_string(status)); }
};

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
