// Jobs a second and WAL bytes a job: enqueue + claim + complete through the Store, and through statements of a bare queue on the same
// server.
//
//   tests/support/postgres_cluster.sh run build/bench/tests/bench/postgres_queue_bench [JOBS] [BATCH] [THREADS]
#include <fmt/format.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <string>
#include <thread>
#include <vector>

#include "embedjobs/postgres.hpp"
#include "support/raw_postgres.hpp"

using namespace embedjobs;
using namespace embedjobs::test;

namespace {

struct Load {
  int jobs = 2000;
  int batch = 100;
  int threads = 1;
};

double seconds_since(std::chrono::steady_clock::time_point begun) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
}

/// Runs `body(thread)` in all threads; its seconds.
template <typename Body>
double timed(int threads, const Body& body) {
  const auto begun = std::chrono::steady_clock::now();
  std::vector<std::thread> workers;
  for (int i = 0; i < threads; ++i) {
    workers.emplace_back([&, i] { body(i); });
  }
  for (std::thread& worker : workers) {
    worker.join();
  }
  return seconds_since(begun);
}

void must(const Status& status) {
  if (!status.ok()) {
    std::fprintf(stderr, "%s\n", status.to_string().c_str());
    std::exit(1);
  }
}

long long wal_bytes(RawPostgres& server) {
  server.ask("SELECT pg_stat_force_next_flush()");
  return std::stoll(server.ask("SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint"));
}

void report(const char* what, const Load& load, double seconds, long long wal) {
  fmt::print("{:<28} {:>9.0f} jobs/s {:>7.0f} WAL bytes a job\n", what, load.jobs / seconds, static_cast<double>(wal) / load.jobs);
}

void measure_store(const Load& load) {
  TempSchema schema;
  RawPostgres server;
  auto backend = open_postgres(schema.dsn("&poll_only=on"), {}, nullptr);
  must(backend.status());
  Store& store = *backend->store;
  long long wal = wal_bytes(server);
  const double enqueued = timed(load.threads, [&](int thread) {
    for (int i = thread; i < load.jobs; i += load.threads) {
      must(store.enqueue({"catalog", std::to_string(i)}, JobKind::kSpecWrite).status());
    }
  });
  const long long wal_enqueue = wal_bytes(server) - wal;
  wal = wal_bytes(server);
  std::atomic<int> done = 0;
  const double completed = timed(load.threads, [&](int thread) {
    for (std::uint64_t nonce = (static_cast<std::uint64_t>(thread) + 1) << 32 | 1;; ++nonce) {
      auto claimed =
          store.claim({.worker_id = "w", .max_jobs = static_cast<std::size_t>(load.batch), .nonce = nonce, .space_id = "4/test"});
      must(claimed.status());
      if (claimed->leases.empty()) {
        return;
      }
      for (const Lease& lease : claimed->leases) {
        must(store.settle({lease.job.id, lease.job.key, lease.job.fence}, {}).status());
        ++done;
      }
    }
  });
  report("store: enqueue", load, enqueued, wal_enqueue);
  report("store: claim + complete", load, completed, wal_bytes(server) - wal);
  fmt::print("completed {} of {}\n", done.load(), load.jobs);
}

}  // namespace

int main(int argc, char** argv) {
  Load load;
  load.jobs = argc > 1 ? std::atoi(argv[1]) : load.jobs;
  load.batch = argc > 2 ? std::atoi(argv[2]) : load.batch;
  load.threads = argc > 3 ? std::atoi(argv[3]) : load.threads;
  measure_store(load);
  return 0;
}
