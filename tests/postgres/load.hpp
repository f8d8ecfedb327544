// A load of passes against a database that fails now and then, and what must be true afterwards.
#pragma once

#include <atomic>
#include <catch2/catch.hpp>
#include <chrono>
#include <functional>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "conformance/scene.hpp"
#include "embedjobs/backend.hpp"
#include "embedjobs/jobs.hpp"
#include "embedjobs/persister.hpp"
#include "embedjobs/postgres.hpp"
#include "embedjobs/search.hpp"
#include "embedjobs/sys/catalog.hpp"
#include "embedjobs/sys/store.hpp"

namespace embedjobs::test {

inline constexpr int kSpecs = 40;
/// Only so that a test that is stuck ends.
inline constexpr auto kDeadline = 5min;

/// Counts what passes write, and lets a fault happen after every so many of them: by whoever wrote the last, while the
/// others go on. Never by the clock: a slow machine would have no time between two faults, and a fast one be done
/// before the first.
class Steps {
 public:
  explicit Steps(int every = 1, std::function<void()> fault = nullptr) : every_(every), fault_(std::move(fault)) {}
  void add() {
    if (++count_ % every_ == 0 && fault_) {
      const std::lock_guard lock(mutex_);
      fault_();
    }
  }

 private:
  const int every_;
  const std::function<void()> fault_;
  std::mutex mutex_;
  std::atomic<int> count_ = 0;
};

/// The same call until it is answered for good.
template <typename Call>
auto until_answered(const Call& call) {
  const auto deadline = std::chrono::steady_clock::now() + kDeadline;
  auto answer = call();
  const auto passing = [](const auto& result) {
    if constexpr (std::is_same_v<std::decay_t<decltype(result)>, Status>) {
      return result.code() == Code::kRetry;
    } else {
      return result.status().code() == Code::kRetry;
    }
  };
  while (passing(answer) && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::sleep_for(10ms);  // the pause between tries, as a worker has one
    answer = call();
  }
  return answer;
}

inline Ops ops_of(const std::string& name) {
  return {{"own", "text of " + name}, {"shared", "shared"}, {"third", "third of " + name}};
}

/// One pass; false when the lease was lost on the way.
inline bool run_pass(const Backend& backend, const Lease& lease, Steps& steps) {
  const PassContext context{.key = lease.job.key,
                            .job_id = lease.job.id,
                            .fence = lease.job.fence,
                            .space = kSpace,
                            .epoch = lease.state.epoch,
                            .content_version = "v"};
  const Ops ops = ops_of(lease.job.key.spec_name);
  const auto written = [&](const auto& call) {
    const bool done = until_answered(call).ok();
    steps.add();
    return done;
  };
  return written([&] { return backend.catalog->persist_batch(context, Rows(ops, kSpace).all()); }) &&
         written([&] { return backend.catalog->finalize(context, manifest_of(ops)); }) &&
         written([&] { return backend.store->settle(ref(lease), {}); });
}

/// Claims and runs until nothing is open any more.
inline void work(const Backend& backend, std::uint64_t seed, Steps& steps) {
  std::mt19937_64 random(seed);
  const auto deadline = std::chrono::steady_clock::now() + kDeadline;
  while (std::chrono::steady_clock::now() < deadline) {
    const ClaimRequest request{.worker_id = "w", .max_jobs = 2, .nonce = random() | 1, .space_id = kSpace.id()};
    const auto claimed = until_answered([&] { return backend.store->claim(request); });
    if (!claimed.ok()) {
      return;
    }
    for (const Lease& lease : claimed->leases) {
      (void)run_pass(backend, lease, steps);
    }
    const auto counts = until_answered([&] { return backend.store->counts(); });
    if (!counts.ok() || counts->pending + counts->running == 0) {
      return;
    }
    if (claimed->leases.empty()) {
      std::this_thread::sleep_for(20ms);  // what is left is leased by others
    }
  }
}

/// Several workers, until nothing is open any more; `fault` happens after every so many writes.
inline void work_through(const Backend& backend, int every, std::function<void()> fault) {
  Steps steps(every, std::move(fault));
  std::vector<std::thread> workers;
  for (std::uint64_t i = 1; i <= 3; ++i) {
    workers.emplace_back([&, i] { work(backend, i, steps); });
  }
  for (std::thread& worker : workers) {
    worker.join();
  }
}

inline void enqueue_all(const Backend& backend) {
  for (int i = 0; i < kSpecs; ++i) {
    get(backend.catalog->put({"catalog", std::to_string(i)}, "document", kSpace.id()));
  }
}

inline void everything_is_right(const Backend& backend) {
  const StoreCounts counts = get(backend.store->counts());
  CHECK(counts.pending == 0);
  CHECK(counts.running == 0);
  CHECK(counts.failed == 0);
  CHECK(counts.succeeded == kSpecs);
  for (int i = 0; i < kSpecs; ++i) {
    const std::string name = std::to_string(i);
    Seen rows;
    get(backend.catalog->rows({"catalog", name}, true, [&](const StoredRow& row) {
      rows.emplace_back(row.operation_id, to_hex(row.text_hash));
      CHECK(row.vector.size() == kSpace.dimension);
      return true;
    }));
    CHECK(rows == seen(ops_of(name)));
  }
}

}  // namespace embedjobs::test
