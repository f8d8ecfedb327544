// Many threads on one catalog: every job is run once, every call is answered. race_test.cpp has those of the queue.
#include <atomic>
#include <barrier>
#include <functional>
#include <map>
#include <mutex>
#include <thread>

#include "conformance/scene.hpp"

using namespace embedjobs;
using namespace embedjobs::test;

namespace {

constexpr int kThreads = 4;
constexpr int kJobs = 60;

/// Claims and settles until nothing is left; counts who was claimed. Catch's assertions are for one thread, so errors
/// are counted.
class Crew {
 public:
  explicit Crew(Scene& scene) : scene_(scene) {}

  /// kThreads of them, until nothing is left; `meanwhile` on this thread. All start at the same moment.
  void work(const std::function<void()>& meanwhile) {
    std::barrier start(kThreads + 1);
    std::vector<std::thread> threads;
    for (int i = 0; i < kThreads; ++i) {
      threads.emplace_back([this, &start, i] {
        start.arrive_and_wait();
        work(i);
      });
    }
    start.arrive_and_wait();
    meanwhile();
    for (std::thread& thread : threads) {
      thread.join();
    }
  }

  std::map<JobId, int> claimed() {
    const std::lock_guard lock(mutex_);
    return claimed_;
  }
  std::atomic<int> errors = 0;

 private:
  void work(int thread) {
    for (std::uint64_t turn = 1;; ++turn) {
      const auto nonce = (static_cast<std::uint64_t>(thread) + 1) << 32 | turn;
      const auto result =
          scene_.store.claim({.worker_id = "worker", .max_jobs = 2, .nonce = nonce, .space_id = kSpace.id()});
      if (!result.ok()) {
        if (result.status().code() != Code::kRetry) {
          ++errors;
          return;
        }
        continue;
      }
      if (result->leases.empty()) {
        return;
      }
      for (const Lease& lease : result->leases) {
        run(lease);
      }
    }
  }

  template <typename Call>
  bool try_until_answered(const Call& call) {
    Status status = call();
    for (int i = 0; i < 100 && status.code() == Code::kRetry; ++i) {
      status = call();
    }
    return status.ok();
  }

  void run(const Lease& lease) {
    {
      const std::lock_guard lock(mutex_);
      ++claimed_[lease.job.id];
    }
    const PassContext context{.key = lease.job.key,
                              .job_id = lease.job.id,
                              .fence = lease.job.fence,
                              .space = kSpace,
                              .epoch = lease.state.epoch,
                              .content_version = "v"};
    const Ops ops{{"own", lease.job.key.spec_name}, {"shared", "shared"}};
    const auto persist = [&] { return scene_.catalog.persist_batch(context, Rows(ops, kSpace).all()); };
    const auto finalize = [&] { return scene_.catalog.finalize(context, manifest_of(ops)); };
    const bool fine =
        try_until_answered(persist) &&
        try_until_answered([&] { return scene_.store.renew(std::vector{ref(lease)}, 0s, 10s).status(); }) &&
        try_until_answered(finalize) &&
        try_until_answered([&] { return scene_.store.settle(ref(lease), {}).status(); });
    errors += fine ? 0 : 1;
  }

  Scene& scene_;
  std::mutex mutex_;
  std::map<JobId, int> claimed_;
};

}  // namespace

TEST_CASE("threads that claim at the same time share the jobs: each is claimed once", "[catalog][history][wake]") {
  Scene scene;
  std::atomic<int> woken = 0;
  scene.store.set_wake([&] { ++woken; });
  for (int i = 0; i < kJobs; ++i) {
    scene.put({"catalog", std::to_string(i)}, "content");
  }
  Crew crew(scene);
  crew.work([&] {
    for (int i = 0; i < 20; ++i) {  // readers, and a wake function that comes and goes, beside them
      (void)scene.store.counts();
      (void)scene.catalog.specs("catalog", nullptr, 100);
      (void)scene.catalog.search("catalog", kSpace, vector_of("shared", kSpace), 5);
      scene.store.set_wake([&] { ++woken; });
    }
  });
  scene.store.set_wake({});
  CHECK(crew.errors == 0);
  CHECK(crew.claimed().size() == kJobs);
  for (const auto& [id, times] : crew.claimed()) {
    CHECK(times == 1);
  }
  CHECK(get(scene.store.counts()).succeeded == kJobs);
  CHECK(woken >= kJobs);
  for (int i = 0; i < kJobs; ++i) {
    CHECK(scene.rows({"catalog", std::to_string(i)}).size() == 2);
  }
}
