// Lanes that a host's thread serves.
#include <catch2/catch.hpp>

#include <thread>

#include "core/runtime/hosted_runtime.hpp"
#include "support/engine_scene.hpp"

using namespace embedjobs;
using namespace embedjobs::test;
using namespace std::chrono_literals;

namespace {

std::shared_ptr<core::HostedRuntime> make_hosted() {
  core::HostedLanes lanes{};
  lanes[static_cast<std::size_t>(Lane::kProvider)] = true;
  return std::make_shared<core::HostedRuntime>(make_system_runtime({}), lanes);
}

}  // namespace

TEST_CASE("a hosted lane's tasks run on the thread that serves, in order") {
  const auto runtime = make_hosted();
  std::vector<int> order;
  std::thread::id thread;
  for (int i = 0; i < 3; ++i) {
    runtime->submit({.lane = Lane::kProvider,
                     .name = "task",
                     .run =
                         [&, i] {
                           order.push_back(i);
                           thread = std::this_thread::get_id();
                         },
                     .finish = [](const Status&) {}});
  }
  CHECK(order.empty());
  CHECK(runtime->serve(std::nullopt, [&] { return order.size() == 3; }));
  CHECK(order == std::vector<int>{0, 1, 2});
  CHECK(thread == std::this_thread::get_id());
}

TEST_CASE("serving ends by its time, by its condition, and by a wake") {
  const auto runtime = make_hosted();
  CHECK_FALSE(runtime->serve(runtime->now() + 1ms, [] { return false; }));
  std::atomic<bool> enough = false;
  std::thread waker([&] {
    enough = true;
    runtime->wake();
  });
  CHECK(runtime->serve(std::nullopt, [&] { return enough.load(); }));
  waker.join();
}

TEST_CASE("what waits in a hosted lane is dropped when it is closed") {
  const auto runtime = make_hosted();
  const auto held = std::make_shared<int>(1);
  const auto task = [&] {
    return Task{.lane = Lane::kProvider,
                .name = "task",
                .run = [held] { FAIL("it must not run"); },
                .finish = [](const Status&) {}};
  };
  runtime->submit(task());
  CHECK(held.use_count() == 2);
  runtime->close();
  runtime->submit(task());
  CHECK(held.use_count() == 1);
  CHECK_FALSE(runtime->serve(runtime->now(), [] { return false; }));
}

TEST_CASE("run does the work of start on the calling thread, and one of them excludes the other") {
  EngineScene scene;
  REQUIRE(scene->put(kKey, spec_with(40, "users")).ok());
  const auto report = scene->run({.until_idle = true});
  INFO(report.status().to_string());
  REQUIRE(report.ok());
  CHECK(report->idle);
  CHECK(scene.provider->seen().texts == 40);
  CHECK(scene->start().code() == Code::kRefused);
  CHECK(scene->run({.time_limit = Duration(0)}).status().code() == Code::kTimeout);
  CHECK(scene->request_stop().ok());
  CHECK(scene->run({}).ok());
  EngineScene threads;
  REQUIRE(threads->start().ok());
  CHECK(threads->run({.until_idle = true}).status().code() == Code::kRefused);
}

TEST_CASE("stop does what is left when nobody is in run") {
  EngineScene scene;
  REQUIRE(scene->put(kKey, spec_with(4000, "users")).ok());
  CHECK(scene->run({.time_limit = Duration(0)}).status().code() == Code::kTimeout);
  CHECK(scene->stop(1h));
  CHECK(scene->store().counts()->running == 0);
}
