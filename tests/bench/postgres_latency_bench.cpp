// How soon work starts: from an enqueue until an idle worker has the job (LISTEN), claims with a long history behind
// them, and counts of it.
//
//   EMBEDJOBS_CLUSTER_FOLDER=/var/tmp tests/support/postgres_cluster.sh run
//   build/bench/tests/bench/postgres_latency_bench [ROWS]
//
// ROWS (10,000,000) of history take about 3 GB: the variable puts the server on a disk.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "embedjobs/backend.hpp"
#include "embedjobs/engine.hpp"
#include "embedjobs/events.hpp"
#include "embedjobs/postgres.hpp"
#include "embedjobs/sys/store.hpp"
#include "support/long_history.hpp"
#include "support/raw_postgres.hpp"

using namespace embedjobs;
using namespace embedjobs::test;

namespace {

using SteadyClock = std::chrono::steady_clock;

constexpr std::size_t kStarts = 500;
constexpr std::size_t kClaims = 400;
constexpr std::size_t kClaimed = 10;
constexpr const char* kDocument = R"({"openapi":"3.0.3","info":{"title":"t","version":"1"},)"
                                  R"("paths":{"/a":{"get":{"operationId":"a","summary":"one"}}}})";

template <typename T>
T must(Result<T> result) {
  if (!result.ok()) {
    fmt::print(stderr, "{}\n", result.status().to_string());
    std::exit(1);
  }
  return std::move(result).value();
}

double milliseconds_since(SteadyClock::time_point begun) {
  return std::chrono::duration<double, std::milli>(SteadyClock::now() - begun).count();
}

double percentile(std::vector<double> values, double part) {
  std::sort(values.begin(), values.end());
  return values[static_cast<std::size_t>(part * static_cast<double>(values.size() - 1))];
}

/// Wakes who waits for the events of an idle worker.
class Starts {
 public:
  void note(const Event& event) {
    const std::lock_guard lock(mutex_);
    if (event.kind == EventKind::kJobClaimed) {
      started_ = SteadyClock::now();
      ++begun_;
    }
    ended_ += event.kind == EventKind::kJobSucceeded ? 1 : 0;
    changed_.notify_all();
  }
  /// When the job that was enqueued as the `count`-th began; returns when it has ended too.
  SteadyClock::time_point wait(std::size_t count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return begun_ >= count && ended_ >= count; });
    return started_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  SteadyClock::time_point started_;
  std::size_t begun_ = 0, ended_ = 0;
};

/// The enqueue comes over another connection, as from another process.
void measure_starts() {
  TempSchema schema;
  Starts starts;
  EngineOptions options;
  options.dsn = schema.dsn();
  options.embedder = "hashing:16";
  options.events = [&](const Event& event) { starts.note(event); };
  const auto engine = must(Engine::open(options));
  if (const Status started = engine->start(); !started.ok()) {
    fmt::print(stderr, "{}\n", started.to_string());
    std::exit(1);
  }
  RawPostgres host;
  std::vector<double> times;
  for (std::size_t i = 1; i <= kStarts; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));  // the worker waits again
    const auto begun = SteadyClock::now();
    host.ask("SELECT " + schema.name() + ".put_spec('catalog', 'spec', '" + kDocument + "'::text)");
    times.push_back(std::chrono::duration<double, std::milli>(starts.wait(i) - begun).count());
  }
  fmt::print(
      "enqueue to start, idle worker, LISTEN, {} times: p50 {:.2f} ms, p99 {:.2f} ms, worst {:.2f} ms (goal: p99 <= "
      "5)\n",
      kStarts, percentile(times, 0.5), percentile(times, 0.99), percentile(times, 1));
  engine->stop(std::chrono::seconds(30));
}

/// The p50 of claims of a few jobs each, and of counts().
struct Looks {
  double claim_ms = 0;
  double counts_ms = 0;
};

Looks measure_claims(Store& store) {
  std::vector<double> claims, counts;
  for (std::uint64_t i = 1; i <= kClaims; ++i) {
    for (std::size_t spec = 0; spec < kClaimed; ++spec) {
      must(store.enqueue({"catalog", std::to_string(spec)}, JobKind::kSpecWrite));
    }
    static std::uint64_t nonce = 0;
    const auto begun = SteadyClock::now();
    const ClaimResult claimed =
        must(store.claim({.worker_id = "w", .max_jobs = kClaimed, .nonce = ++nonce, .space_id = "16/hashing"}));
    claims.push_back(milliseconds_since(begun));
    for (const Lease& lease : claimed.leases) {
      must(store.settle({lease.job.id, lease.job.key, lease.job.fence}, {}));
    }
    const auto counting = SteadyClock::now();
    must(store.counts());
    counts.push_back(milliseconds_since(counting));
  }
  return {percentile(claims, 0.5), percentile(counts, 0.5)};
}

void fill(RawPostgres& server, const std::string& schema, long long rows) {
  const auto begun = SteadyClock::now();
  fill_history(server, schema, rows, 100'000);
  fmt::print(
      "filled {} rows of history in {:.0f} s; {} on disk\n", rows, milliseconds_since(begun) / 1000,
      server.ask("SELECT pg_size_pretty(sum(pg_total_relation_size(inhrelid))) FROM pg_inherits WHERE inhparent = '" +
                 schema + ".history'::regclass"));
}

void measure_history(long long rows) {
  TempSchema schema;
  const Backend backend = must(open_postgres(schema.dsn("&poll_only=on"), {}, nullptr));
  RawPostgres server;
  (void)measure_claims(*backend.store);  // everything is prepared and warm
  fill(server, schema.name(), 1000);
  const Looks few = measure_claims(*backend.store);
  fill(server, schema.name(), rows);
  const Looks many = measure_claims(*backend.store);
  fmt::print(
      "claim of {} jobs, p50: {:.3f} ms with 1,000 rows of history, {:.3f} ms with {}: x {:.2f} (goal: <= 1.3)\n",
      kClaimed, few.claim_ms, many.claim_ms, rows, many.claim_ms / few.claim_ms);
  fmt::print("counts(), p50: {:.3f} ms and {:.3f} ms\n", few.counts_ms, many.counts_ms);
  const auto timed = [](const char* what, const auto& look) {
    const auto begun = SteadyClock::now();
    const std::size_t found = must(look()).size();
    fmt::print("{}: {} found, {:.1f} ms\n", what, found, milliseconds_since(begun));
  };
  timed("the 100 newest jobs", [&] { return backend.store->list({.limit = 100}); });
  timed("the 100 newest failed jobs",
        [&] { return backend.store->list({.status = JobStatus::kFailed, .limit = 100}); });
  timed("the 100 newest jobs of a catalog",
        [&] { return backend.store->list({.catalog_id = "catalog", .limit = 100}); });
  timed("the 100 newest jobs of a spec",
        [&] { return backend.store->list({.catalog_id = "catalog", .spec_name = "filled 5", .limit = 100}); });
  std::vector<SpecKey> keys;
  for (int i = 0; i < 100; ++i) {
    keys.push_back({"catalog", "filled " + std::to_string(i)});
  }
  timed("the last jobs of 100 specs, as a status shows them", [&] { return backend.store->last_jobs(keys); });
}

}  // namespace

int main(int argc, char** argv) {
  measure_starts();
  std::fflush(stdout);
  measure_history(argc > 1 ? std::atoll(argv[1]) : 10'000'000);
  return 0;
}
