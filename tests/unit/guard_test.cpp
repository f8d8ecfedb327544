#include "core/values/guard.hpp"

#include <catch2/catch.hpp>

#include <stdexcept>

using namespace embedjobs;
using core::guarded;

TEST_CASE("what a plug-in answers passes through") {
  CHECK(guarded("it", [] { return Result<int>(7); }).value() == 7);
  CHECK(guarded("it", []() -> Result<int> { return {Code::kPaused, "later"}; }).status().code() == Code::kPaused);
  CHECK(guarded("it", [] { return Status(Code::kGone, "away"); }).code() == Code::kGone);
  bool called = false;
  CHECK(guarded("it", [&] { called = true; }).ok());
  CHECK(called);
}

TEST_CASE("an exception becomes an internal error that names who threw it, on one line") {
  const auto result = guarded("the resolver", []() -> Result<int> { throw std::runtime_error("no\nluck\x7f"); });
  CHECK(result.status().code() == Code::kInternal);
  CHECK(result.status().message() == "the resolver threw: no luck ");
  CHECK(guarded("the sink", [] { throw 5; }).message() == "the sink threw an exception of an unknown type");
}

TEST_CASE("what an exception says is bounded") {
  const Status status = guarded("it", [] { throw std::runtime_error(std::string(1'000'000, 'x')); });
  CHECK(status.message().size() < 1100);
}
