// A transaction elsewhere that keeps its snapshot, while jobs come and go: nothing that ends can be forgotten, and
// claims stay cheap.
#include <catch2/catch.hpp>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <mutex>
#include <thread>

#include "conformance/scene.hpp"
#include "embedjobs/postgres.hpp"
#include "postgres/claim_plan.hpp"
#include "support/raw_postgres.hpp"

using namespace embedjobs;
using namespace embedjobs::test;

namespace {

using SteadyClock = std::chrono::steady_clock;

constexpr int kKeys = 5000;
constexpr int kBatch = 50;
constexpr double kJobsPerSecond = 2000;
constexpr int kEnqueuers = 2, kWorkers = 3;

/// Enqueues at a pace; claims in batches and completes each job.
class Traffic {
 public:
  explicit Traffic(const Backend& backend) : store_(*backend.store), begun_(SteadyClock::now()) {
    for (int i = 0; i < kEnqueuers; ++i) {
      threads_.emplace_back([this, i] { enqueue(i); });
    }
    for (int i = 0; i < kWorkers; ++i) {
      threads_.emplace_back([this, i] { work(static_cast<std::uint64_t>(i + 1)); });
    }
  }
  ~Traffic() {
    stopped_ = true;
    for (std::thread& thread : threads_) {
      thread.join();
    }
  }
  Traffic(const Traffic&) = delete;
  Traffic& operator=(const Traffic&) = delete;

  struct Period {
    double p50_ms = 0;
    double jobs_per_second = 0;
    std::size_t claims = 0;
  };
  /// What happened in this time from now on.
  Period measure(std::chrono::seconds time) {
    const auto [first, completed] = mark();
    std::this_thread::sleep_for(time);
    const std::lock_guard lock(mutex_);
    std::vector<double> claims(claims_ms_.begin() + static_cast<std::ptrdiff_t>(first), claims_ms_.end());
    REQUIRE(!claims.empty());
    std::nth_element(claims.begin(), claims.begin() + static_cast<std::ptrdiff_t>(claims.size() / 2), claims.end());
    return {claims[claims.size() / 2], (completed_ - completed) / std::chrono::duration<double>(time).count(),
            claims.size()};
  }

 private:
  std::pair<std::size_t, int> mark() {
    const std::lock_guard lock(mutex_);
    return {claims_ms_.size(), completed_};
  }
  void enqueue(int thread) {
    for (int i = thread; !stopped_; i += kEnqueuers) {
      std::this_thread::sleep_until(begun_ + std::chrono::duration_cast<SteadyClock::duration>(
                                                 std::chrono::duration<double>(i / kJobsPerSecond)));
      (void)store_.enqueue({"catalog", std::to_string(i % kKeys)}, JobKind::kSpecWrite);
    }
  }
  void work(std::uint64_t thread) {
    for (std::uint64_t nonce = thread << 32; !stopped_;) {
      const auto begun = SteadyClock::now();
      const auto claimed =
          store_.claim({.worker_id = "w", .max_jobs = kBatch, .nonce = ++nonce, .space_id = kSpace.id()});
      const std::chrono::duration<double, std::milli> took = SteadyClock::now() - begun;
      if (!claimed.ok() || claimed->leases.empty()) {
        std::this_thread::sleep_for(1ms);  // nothing to measure
        continue;
      }
      for (const Lease& lease : claimed->leases) {
        (void)store_.settle(ref(lease), {});
      }
      const std::lock_guard lock(mutex_);
      claims_ms_.push_back(took.count());
      completed_ += static_cast<int>(claimed->leases.size());
    }
  }

  Store& store_;
  const SteadyClock::time_point begun_;
  std::atomic<bool> stopped_ = false;
  std::mutex mutex_;
  std::vector<double> claims_ms_;
  int completed_ = 0;
  std::vector<std::thread> threads_;
};

}  // namespace

TEST_CASE("claims stay cheap while a snapshot is held for a minute", "[.full]") {
  TempSchema schema;
  const Backend backend = test::get(open_postgres(schema.dsn("&poll_only=on&max_connections=8"), {}, nullptr));
  RawPostgres server;
  RawPostgres holder;
  Traffic traffic(backend);
  (void)traffic.measure(5s);  // the pool is warm, statements are prepared
  const Traffic::Period before = traffic.measure(15s);
  holder.ask("BEGIN ISOLATION LEVEL REPEATABLE READ");
  holder.ask("SELECT count(*) FROM " + schema.name() + ".jobs");
  Traffic::Period during;
  double entries = 0;
  for (int quarter = 0; quarter < 4; ++quarter) {
    const long long entries_before = due_entries_read(server, schema.name());
    during = traffic.measure(15s);
    entries = static_cast<double>(due_entries_read(server, schema.name()) - entries_before) /
              static_cast<double>(during.claims);
    std::printf(
        "snapshot held for %d s: claim of up to %d jobs p50 %.2f ms (before %.2f ms), %.0f jobs/s (before %.0f), %.0f "
        "index entries\n",
        15 * (quarter + 1), kBatch, during.p50_ms, before.p50_ms, during.jobs_per_second, before.jobs_per_second,
        entries);
    std::fflush(stdout);
  }
  std::printf("claim p50 while a snapshot is held: before x %.2f\n", during.p50_ms / before.p50_ms);
  // Each claim would walk over what the jobs of the last minute have left: 100,000 entries and more.
  CHECK(entries < 10'000);
  holder.ask("COMMIT");
}
