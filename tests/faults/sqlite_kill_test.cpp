// kill -9 at any moment: what was acknowledged is there, the file is whole, and the next process goes on at once.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "conformance/scene.hpp"
#include "embedjobs/sqlite.hpp"
#include "support/raw_sqlite.hpp"
#include "support/temp_folder.hpp"

using namespace embedjobs;
using namespace embedjobs::test;

namespace {

SpecKey key_of(int number) {
  return {"catalog", "spec " + std::to_string(number)};
}

Result<Backend> open(const std::string& path) {
  return open_sqlite(path, {}, system_clock());
}

/// Puts and indexes one document after the other, and writes its number when it is acknowledged. Never returns.
[[noreturn]] void work(const std::string& path, int first, int acknowledge) {
  const Backend backend = get(open(path));
  std::uint64_t nonce = static_cast<std::uint64_t>(::getpid()) << 32;
  for (int number = first;; ++number) {
    get(backend.catalog->put(key_of(number), "content", kSpace.id()));
    const ClaimResult claimed =
        get(backend.store->claim({.worker_id = "w", .max_jobs = 10, .nonce = ++nonce, .space_id = kSpace.id()}));
    for (const Lease& lease : claimed.leases) {
      const Ops ops{{"a", "text " + lease.job.key.spec_name}, {"b", "shared"}};
      PassContext context{.key = lease.job.key,
                          .job_id = lease.job.id,
                          .fence = lease.job.fence,
                          .space = kSpace,
                          .epoch = lease.state.epoch};
      ok(backend.catalog->persist_batch(context, Rows(ops, kSpace).all()));
      ok(backend.catalog->finalize(context, manifest_of(ops)));
      get(backend.store->settle(ref(lease), {}));
    }
    if (::write(acknowledge, &number, sizeof number) != sizeof number) {
      ::_exit(1);
    }
  }
}

/// Lets a child work until it has acknowledged `count` documents, then kills it. The last number that it acknowledged.
int work_and_kill(const std::string& path, int first, int count, useconds_t longer) {
  int pipe_ends[2];
  REQUIRE(::pipe(pipe_ends) == 0);
  const pid_t child = ::fork();
  if (child == 0) {
    ::close(pipe_ends[0]);
    work(path, first, pipe_ends[1]);
  }
  REQUIRE(child > 0);
  ::close(pipe_ends[1]);
  int last = first - 1;
  for (int i = 0; i < count; ++i) {
    REQUIRE(::read(pipe_ends[0], &last, sizeof last) == sizeof last);
  }
  ::usleep(
      longer);  // some moment within the next steps: it decides where the kill falls, not whether the test is right
  ::kill(child, SIGKILL);
  REQUIRE(::waitpid(child, nullptr, 0) == child);
  int more = 0;
  while (::read(pipe_ends[0], &more, sizeof more) == sizeof more) {
    last = more;
  }
  ::close(pipe_ends[0]);
  return last;
}

}  // namespace

TEST_CASE("a process killed at any moment loses nothing that it acknowledged, and the next one goes on at once") {
  const TempFolder folder;
  const std::string path = folder.file("x.db");
  int next = 0;
  for (int round = 0; round < 25; ++round) {
    CAPTURE(round);
    const int last = work_and_kill(path, next, 1 + round % 3, static_cast<useconds_t>(round * 977 % 20'000));
    check_consistent(path);
    const Backend backend = get(open(path));
    for (int number = next; number <= last; ++number) {
      CAPTURE(number);
      CHECK(get(backend.catalog->resolve(key_of(number))).content == "content");
      CHECK(get(backend.store->last_jobs(std::vector{key_of(number)}))[0]->status == JobStatus::kSucceeded);
      CHECK(get(backend.catalog->rows(key_of(number), true, [](const StoredRow&) { return true; })) == kSpace);
    }
    // Whatever it held is free: nothing is left running once somebody claims.
    const ClaimRequest request{
        .worker_id = "next", .max_jobs = 100, .nonce = static_cast<std::uint64_t>(round) + 1, .space_id = kSpace.id()};
    for (const Lease& lease : get(backend.store->claim(request)).leases) {
      get(backend.store->settle(ref(lease), {.kind = OutcomeKind::kFail, .error = "left over"}));
    }
    CHECK(get(backend.store->counts()).running == 0);
    CHECK(get(backend.store->counts()).pending == 0);
    next = last + 2;
  }
}
