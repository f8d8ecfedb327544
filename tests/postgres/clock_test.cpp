// Machines whose clocks are a day off: leases, due times and stamps are the server's, so nobody notices.
#include <catch2/catch.hpp>

#include <cstdlib>
#include <fstream>

#include "embedjobs/engine.hpp"
#include "embedjobs/jobs.hpp"
#include "http/provider_server.hpp"
#include "postgres/command_process.hpp"
#include "support/raw_postgres.hpp"
#include "support/results.hpp"
#include "support/spec.hpp"
#include "support/temp_folder.hpp"
#include "support/wait_until.hpp"

using namespace embedjobs;
using namespace embedjobs::test;
using namespace std::chrono_literals;

namespace {

/// The library that the program faketime puts before others. The program itself would be a process of its own, which a
/// kill hits alone.
std::string faketime_library() {
  const TempFolder folder;
  const std::string file = folder.file("preload");
  REQUIRE(std::system(("faketime -m -f +0 printenv LD_PRELOAD > " + file).c_str()) ==
          0);  // Debian: apt-get install faketime
  std::string library;
  std::getline(std::ifstream(file) >> std::ws, library);
  return library;
}

/// What runs a process with a clock that is so far off; "" is right. Its monotonic clock goes on as ever.
Words with_clock(const std::string& offset) {
  if (offset.empty()) {
    return {};
  }
  static const std::string library = faketime_library();
  return {"env", "LD_PRELOAD=" + library, "FAKETIME=" + offset, "FAKETIME_DONT_FAKE_MONOTONIC=1"};
}

struct Clocks {
  std::string holder, other;
};

struct Scene {
  TempSchema schema;
  TempFolder folder;
  ProviderServer provider{{.play = Play::kOpenAi}};
  const std::string embedder = "openai:test-model@" + provider.url() + "?dimension=8";
  std::unique_ptr<Engine> engine;
  RawPostgres server;

  Scene() {
    EngineOptions options;
    options.dsn = schema.dsn();
    options.embedder = embedder;
    engine = test::get(Engine::open(options));
  }
  CommandProcess work(const std::string& clock) {
    return CommandProcess(work_words(schema.dsn(), embedder, {"--lease-duration", "6s"}), "key", with_clock(clock));
  }
  /// By a process of its own.
  void put(const std::string& spec, const std::string& clock) {
    const std::string file = folder.file(spec + ".json");
    std::ofstream(file) << spec_with(5, spec);
    CommandProcess process({"put", "catalog", spec, file, "--db", schema.dsn(), "--embedder", embedder}, "key",
                           with_clock(clock));
    REQUIRE(process.wait() == 0);
  }
  Job job(const std::string& spec) {
    const auto jobs = test::get(engine->jobs({.catalog_id = "catalog", .spec_name = spec, .limit = 1}));
    REQUIRE(jobs.size() == 1);
    return jobs[0];
  }
  /// Within a minute of the server's clock.
  bool is_now(WallTime time) {
    const auto now = std::stoll(server.ask("SELECT (extract(epoch FROM clock_timestamp()) * 1000000000)::bigint"));
    return std::abs(time.time_since_epoch().count() - now) < std::chrono::nanoseconds(1min).count();
  }
};

void check_clocks(const Clocks& clocks) {
  INFO("holder " << clocks.holder << ", other " << clocks.other);
  Scene scene;
  scene.provider.script({Trouble::kSilent});  // the holder's call
  scene.put("held", clocks.other);
  CommandProcess holder = scene.work(clocks.holder);
  scene.provider.wait_for_calls(1);
  const Job held = scene.job("held");
  CHECK(scene.is_now(held.created_at));
  CHECK(scene.is_now(held.started_at));
  CHECK(scene.is_now(held.lease_expires_at));

  scene.put("due", clocks.holder);  // due at once, by whichever clock it was put
  CommandProcess other = scene.work(clocks.other);
  wait_until([&] { return scene.job("due").status == JobStatus::kSucceeded; });
  for (const WallTime stamp :
       {scene.job("due").created_at, scene.job("due").started_at, scene.job("due").completed_at}) {
    CHECK(scene.is_now(stamp));
  }

  // The other one has looked for leases that ended; then the holder renews, and both know how long that lasts.
  wait_until([&] { return scene.job("held").lease_expires_at > held.lease_expires_at; });
  scene.put("due later", clocks.other);
  wait_until([&] { return scene.job("due later").status == JobStatus::kSucceeded; });
  const Job still = scene.job("held");
  CHECK(still.status == JobStatus::kRunning);
  CHECK(still.fence == held.fence);
  CHECK(still.worker_id == held.worker_id);
  CHECK(scene.is_now(still.lease_expires_at));

  // And when the holder dies, its job goes to the other one after a lease's time.
  holder.kill();
  wait_until([&] { return scene.job("held").status == JobStatus::kSucceeded; });
  CHECK(scene.job("held").fence.counter == held.fence.counter + 1);
}

}  // namespace

TEST_CASE("the clock of a process that runs under faketime is off") {
  const TempFolder folder;
  const std::string file = folder.file("now");
  std::string command;
  for (const std::string& word : with_clock("+24h")) {
    command += "'" + word + "' ";
  }
  REQUIRE(std::system((command + "date +%s > " + file).c_str()) == 0);
  long long seconds = 0;
  std::ifstream(file) >> seconds;
  CHECK(seconds - std::chrono::system_clock::to_time_t(std::chrono::system_clock::now()) > 23 * 3600);
}

TEST_CASE("a machine whose clock is a day off") {
  check_clocks(GENERATE(Clocks{"", "+24h"}, Clocks{"-24h", ""}));
}

TEST_CASE("a machine whose clock is a day off the other way", "[.full]") {
  check_clocks(GENERATE(Clocks{"", "-24h"}, Clocks{"+24h", ""}));
}
