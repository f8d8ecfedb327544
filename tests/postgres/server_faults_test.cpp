// The server stops and comes back, sessions are ended, workers are killed: all work completes, and nothing is done
// twice.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>
#include <catch2/catch.hpp>

#include <random>
#include <thread>

#include "embedjobs/postgres.hpp"
#include "postgres/load.hpp"
#include "support/postgres_cluster.hpp"
#include "support/raw_postgres.hpp"

using namespace embedjobs;
using namespace embedjobs::test;

TEST_CASE("workers go on over a server that stops and starts, by whichever mode") {
  const std::string mode = GENERATE("fast", "immediate");
  TempSchema schema;
  const Backend backend = get(open_postgres(schema.dsn(), {}, nullptr));
  enqueue_all(backend);
  int stops = 0;
  work_through(backend, kSpecs, [&] {
    cluster("stop " + mode);
    cluster("start");
    ++stops;
  });
  CHECK(stops >= 3);
  everything_is_right(backend);
}

TEST_CASE("workers go on while all sessions are ended again and again") {
  TempSchema schema;
  const Backend backend = get(open_postgres(schema.dsn(), {}, nullptr));
  enqueue_all(backend);
  int ended = 0;
  work_through(backend, 3, [&] {
    ended += std::stoi(RawPostgres().ask(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND"
        " application_name = 'embedjobs'"));
  });
  CHECK(ended >= kSpecs);
  everything_is_right(backend);
}

TEST_CASE("processes that are killed at random moments leave work that others finish") {
  TempSchema schema;
  const std::string dsn = schema.dsn("&poll_only=on");
  // Crashes count as tries without progress: with these rules none of them fails a job.
  PostgresOptions options;
  options.store = {.lease_duration = 1s, .max_attempts = 1000};
  {
    const Backend backend = get(open_postgres(dsn, options, nullptr));
    enqueue_all(backend);
  }
  const auto spawn = [&](std::uint64_t seed) {
    const pid_t child = ::fork();
    if (child == 0) {
      const auto backend = open_postgres(dsn, options, nullptr);
      if (backend.ok()) {
        Steps steps;
        work(*backend, seed, steps);
      }
      ::_exit(0);
    }
    return child;
  };
  std::mt19937_64 random(4);
  std::uint64_t seed = 1;
  std::vector<pid_t> children;
  for (int i = 0; i < 4; ++i) {
    children.push_back(spawn(seed++));
  }
  for (int kills = 0; kills < 20; ++kills) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5 + random() % 40));
    pid_t& victim = children[random() % children.size()];
    ::kill(victim, SIGKILL);
    ::waitpid(victim, nullptr, 0);
    victim = spawn(seed++);
  }
  for (const pid_t child : children) {
    ::waitpid(child, nullptr, 0);
  }
  everything_is_right(get(open_postgres(dsn, options, nullptr)));
}
