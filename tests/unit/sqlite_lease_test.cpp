// Leases of processes: whose they are, and when they end before their time.
#include <sys/wait.h>
#include <unistd.h>

#include <set>

#include "conformance/scene.hpp"
#include "embedjobs/sqlite.hpp"
#include "sqlite/process_identity.hpp"
#include "support/raw_sqlite.hpp"
#include "support/temp_folder.hpp"

using namespace embedjobs;
using namespace embedjobs::test;

namespace {

const std::string kSpaceId = kSpace.id();

/// The clock of a process that can't tell which boot it runs in.
class NamelessBoot final : public Clock {
 public:
  explicit NamelessBoot(std::shared_ptr<Clock> clock) : clock_(std::move(clock)) {}
  MonoTime now() override { return clock_->now(); }
  WallTime wall_now() override { return clock_->wall_now(); }
  Duration boot_time() override { return clock_->boot_time(); }
  std::string boot_id() override { return {}; }

 private:
  std::shared_ptr<Clock> clock_;
};

/// The same boot, by a clock that is far behind.
class EarlierBoot final : public Clock {
 public:
  explicit EarlierBoot(std::shared_ptr<Clock> clock) : clock_(std::move(clock)) {}
  MonoTime now() override { return clock_->now(); }
  WallTime wall_now() override { return clock_->wall_now(); }
  Duration boot_time() override { return clock_->boot_time() - std::chrono::hours(6); }
  std::string boot_id() override { return clock_->boot_id(); }

 private:
  std::shared_ptr<Clock> clock_;
};

/// Several "processes" on one file, of which a test says who lives.
struct Machine {
  TempFolder folder;
  std::shared_ptr<ManualClock> clock = std::make_shared<ManualClock>();
  std::set<std::string> dead;
  std::uint64_t nonce = 1;

  Backend process(const std::string& name, std::shared_ptr<Clock> its_clock = nullptr) {
    SqliteOptions options;
    options.store.lease_duration = kLease;
    options.holder_identity = name;
    options.holder_alive = [this](const std::string& identity) { return !dead.contains(identity); };
    return get(open_sqlite(folder.file("x.db"), options, its_clock ? its_clock : clock));
  }
  ClaimResult claim(const Backend& backend) {
    return get(backend.store->claim({.worker_id = "w", .max_jobs = 10, .nonce = nonce++, .space_id = kSpaceId}));
  }
};

}  // namespace

TEST_CASE("the lease of a dead process is taken at once, and counts as a crash") {
  Machine machine;
  const Backend first = machine.process("first");
  const Backend second = machine.process("second");
  get(first.catalog->put(kKey, "content", kSpaceId));
  const Lease lease = machine.claim(first).leases.at(0);
  CHECK(machine.claim(second).leases.empty());
  CHECK(get(second.store->peek(kSpaceId)).next_due == kLease);
  machine.dead.insert("first");
  CHECK(get(second.store->peek(kSpaceId)).next_due == Duration(0));
  const ClaimResult taken = machine.claim(second);
  CHECK(taken.expired == 1);
  REQUIRE(taken.leases.size() == 1);
  CHECK(taken.leases[0].state.crashes == 1);
  lost(first.store->settle(ref(lease), {}).status());
}

TEST_CASE(
    "a lease of a boot that can't be told is live while it changes, and ends when it was unchanged for its length") {
  Machine machine;
  const auto nameless = std::make_shared<NamelessBoot>(machine.clock);
  const bool holder_knows = GENERATE(true, false);
  const bool observer_knows = GENERATE(true, false);
  if (holder_knows && observer_knows) {
    return;
  }
  const Backend first = machine.process("first", holder_knows ? nullptr : nameless);
  const Backend second = machine.process("second", observer_knows ? nullptr : nameless);
  get(first.catalog->put(kKey, "content", kSpaceId));
  const Lease lease = machine.claim(first).leases.at(0);
  for (int renewal = 0; renewal < 10; ++renewal) {
    CHECK(machine.claim(second).leases.empty());
    machine.clock->advance(kLease / 3);
    CHECK(machine.claim(second).leases.empty());
    CHECK(get(first.store->renew(std::vector{ref(lease)}, 0s, 1s)) == std::vector{true});
  }
  // The holder is gone, and the machine boots anew: no clock can make the lease longer.
  machine.clock->reboot();
  CHECK(get(second.store->peek(kSpaceId)).next_due == kLease);
  machine.clock->advance(kLease - 1s);
  CHECK(machine.claim(second).leases.empty());
  CHECK(get(second.store->peek(kSpaceId)).next_due == 1s);
  machine.clock->advance(1s);
  const ClaimResult taken = machine.claim(second);
  CHECK(taken.expired == 1);
  CHECK(taken.leases.size() == 1);
}

TEST_CASE("a lease never lasts longer than its length, whatever the clock of the boot says") {
  Machine machine;
  const Backend first = machine.process("first");
  get(first.catalog->put(kKey, "content", kSpaceId));
  machine.claim(first);
  const auto earlier = std::make_shared<EarlierBoot>(machine.clock);
  CHECK(get(machine.process("second", earlier).store->peek(kSpaceId)).next_due == kLease);
}

TEST_CASE("an expired lease that nobody took may be renewed") {
  Machine machine;
  const Backend first = machine.process("first");
  get(first.catalog->put(kKey, "content", kSpaceId));
  const Lease lease = machine.claim(first).leases.at(0);
  machine.clock->advance(kLease * 2);
  CHECK(get(first.store->renew(std::vector{ref(lease)}, 0s, 1s)) == std::vector{true});
  CHECK(machine.claim(machine.process("second")).leases.empty());
}

TEST_CASE("this process is alive, and is known by more than its number") {
  const std::string boot = "boot-id";
  const std::string self = sqlite::this_process(boot);
  REQUIRE_FALSE(self.empty());
  CHECK(sqlite::process_alive(self, boot));
  CHECK_FALSE(sqlite::process_alive(self + "0", boot));  // another start time: the number was given again
  CHECK(sqlite::process_alive(self, "another boot"));    // can't be told; the lease's boot id decides
  for (const char* odd : {"", "x", "boot-id/1/2", "boot-id/1/2/3", "boot-id//1/1", "boot-id/1/x/1", "////"}) {
    CHECK(sqlite::process_alive(odd, boot));
  }
}

TEST_CASE("a process that ended is known to be dead, even before its parent has collected it") {
  int pipe_ends[2];
  REQUIRE(::pipe(pipe_ends) == 0);
  const pid_t child = ::fork();
  if (child == 0) {
    const std::string self = sqlite::this_process("boot");
    const auto written = ::write(pipe_ends[1], self.data(), self.size());
    ::_exit(written == static_cast<ssize_t>(self.size()) ? 0 : 1);
  }
  REQUIRE(child > 0);
  ::close(pipe_ends[1]);
  char buffer[200];
  const ssize_t size = ::read(pipe_ends[0], buffer, sizeof buffer);
  REQUIRE(size > 0);
  const std::string identity(buffer, static_cast<std::size_t>(size));
  CHECK(::read(pipe_ends[0], buffer, 1) == 0);  // its end: the child has ended, or is about to
  ::close(pipe_ends[0]);
  siginfo_t info{};
  REQUIRE(::waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOWAIT) == 0);
  CHECK_FALSE(sqlite::process_alive(identity, "boot"));
  REQUIRE(::waitpid(child, nullptr, 0) == child);
  CHECK_FALSE(sqlite::process_alive(identity, "boot"));
}

TEST_CASE("a renewal waits for no writer of another process longer than its limit") {
  Machine machine;
  const Backend backend = machine.process("first");
  get(backend.catalog->put(kKey, "content", kSpaceId));
  const Lease lease = machine.claim(backend).leases.at(0);
  sqlite3* other = nullptr;
  REQUIRE(sqlite3_open(machine.folder.file("x.db").c_str(), &other) == SQLITE_OK);
  REQUIRE(sqlite3_exec(other, "BEGIN IMMEDIATE", nullptr, nullptr, nullptr) == SQLITE_OK);
  const auto begin = std::chrono::steady_clock::now();
  CHECK(backend.store->renew(std::vector{ref(lease)}, 0s, 50ms).status().code() == Code::kRetry);
  CHECK(std::chrono::steady_clock::now() - begin < 5s);  // far below the busy timeout of a write
  REQUIRE(sqlite3_exec(other, "ROLLBACK", nullptr, nullptr, nullptr) == SQLITE_OK);
  sqlite3_close(other);
  CHECK(get(backend.store->renew(std::vector{ref(lease)}, 0s, 50ms)) == std::vector{true});
}
