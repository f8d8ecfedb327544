// Lanes of threads of the library's own.
#include <pthread.h>
#include <catch2/catch.hpp>

#include <future>

#include "embedjobs/sys/runtime.hpp"

using namespace embedjobs;

TEST_CASE("what waits for a lane's only thread runs on another when a plug-in ends that one") {
  const auto runtime = make_system_runtime({.provider = 1});
  std::promise<void> queued;
  std::promise<Status> ended, waited;
  runtime->submit({.lane = Lane::kProvider,
                   .name = "ended",
                   .run =
                       [&] {
                         queued.get_future().wait();
                         pthread_exit(nullptr);
                       },
                   .finish = [&](const Status& fault) { ended.set_value(fault); }});
  runtime->submit({.lane = Lane::kProvider,
                   .name = "waits",
                   .run = [] {},
                   .finish = [&](const Status& fault) { waited.set_value(fault); }});
  queued.set_value();
  CHECK(ended.get_future().get().code() == Code::kInternal);
  CHECK(waited.get_future().get().ok());
}
