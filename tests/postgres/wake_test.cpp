// Wake-up by the server: enqueues of other processes, and of hosts.
#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include <condition_variable>
#include <mutex>

#include "conformance/scene.hpp"
#include "embedjobs/postgres.hpp"
#include "embedjobs/postgres_enqueue.hpp"
#include "postgres/listener.hpp"
#include "support/raw_postgres.hpp"

using namespace embedjobs;
using namespace embedjobs::test;

namespace {

/// Counts wake-ups, and waits for them.
class Bell {
 public:
  void ring() {
    {
      const std::lock_guard lock(mutex_);
      ++count_;
    }
    changed_.notify_all();
  }
  int count() {
    const std::lock_guard lock(mutex_);
    return count_;
  }
  /// False: not within half a minute.
  bool wait_beyond(int count) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, 30s, [&] { return count_ > count; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int count_ = 0;
};

struct Listening {
  TempSchema schema;
  Bell bell;
  Backend backend = get(open_postgres(schema.dsn(), {}, nullptr));

  Listening() {
    backend.store->set_wake([this] { bell.ring(); });
    REQUIRE(bell.wait_beyond(0));  // listening began
  }
  ~Listening() { backend.store->set_wake({}); }
};

}  // namespace

TEST_CASE("an enqueue by another process wakes") {
  Listening here;
  const Backend there = get(open_postgres(here.schema.dsn(), {}, nullptr));
  for (int i = 0; i < 3; ++i) {
    const int before = here.bell.count();
    get(there.store->enqueue(kKey, JobKind::kSpecWrite));
    CHECK(here.bell.wait_beyond(before));
  }
  const int before = here.bell.count();
  RawPostgres().ask("SELECT " + here.schema.name() + ".put_spec('catalog', 'spec', 'x'::text)");
  CHECK(here.bell.wait_beyond(before));
}

TEST_CASE("the commit of a host that enqueued on its own connection wakes") {
  Listening here;
  RawPostgres host;
  const int before = here.bell.count();
  host.ask("BEGIN");
  get(enqueue_on(host.handle(), here.schema.name(), kKey, JobKind::kSpecWrite));
  host.ask("COMMIT");
  CHECK(here.bell.wait_beyond(before));
}

TEST_CASE("a job that is released wakes other processes") {
  Listening here;
  const Backend there = get(open_postgres(here.schema.dsn(), {}, nullptr));
  get(there.store->enqueue(kKey, JobKind::kSpecWrite));
  const Lease lease =
      get(there.store->claim({.worker_id = "w", .max_jobs = 1, .nonce = 7, .space_id = kSpace.id()})).leases.at(0);
  const int before = here.bell.count();
  get(there.store->settle(ref(lease), {.kind = OutcomeKind::kRelease}));
  CHECK(here.bell.wait_beyond(before));
}

TEST_CASE("a listener whose connection was cut listens again, and wakes for what it may have missed") {
  Listening here;
  const int before = here.bell.count();
  RawPostgres server;
  REQUIRE(server.ask("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND pid <> "
                     "pg_backend_pid()") == "t");
  CHECK(here.bell.wait_beyond(before));
  const int again = here.bell.count();
  server.ask("SELECT " + here.schema.name() + ".enqueue('catalog', 'spec')");
  CHECK(here.bell.wait_beyond(again));
}

TEST_CASE("a listener ends while a server that does not answer lets it wait") {
  // The kernel accepts; nobody ever answers what libpq says then.
  const int server = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  REQUIRE(::bind(server, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  REQUIRE(::listen(server, 1) == 0);
  socklen_t size = sizeof address;
  REQUIRE(::getsockname(server, reinterpret_cast<sockaddr*>(&address), &size) == 0);
  const postgres::Dsn dsn = get(
      postgres::parse_dsn("postgresql://127.0.0.1:" + std::to_string(ntohs(address.sin_port)) + "/x?sslmode=disable",
                          {.connect_timeout = 24h}));
  core::WakeSignal wake;
  int connection = -1;
  {
    const postgres::Listener listener(dsn.parameters, dsn.options, wake);
    connection = ::accept(server, nullptr, nullptr);
    REQUIRE(connection >= 0);
  }
  ::close(connection);
  ::close(server);
}

TEST_CASE("with poll_only nobody listens, and workers are told to poll") {
  TempSchema schema;
  const Backend backend = get(open_postgres(schema.dsn("&poll_only=on"), {}, nullptr));
  CHECK(backend.store->poll_interval() > 0s);
  Bell bell;
  backend.store->set_wake([&] { bell.ring(); });
  get(backend.store->enqueue(kKey, JobKind::kSpecWrite));
  CHECK(bell.count() == 1);
  CHECK(RawPostgres().ask("SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'LISTEN \"embedjobs_" +
                          schema.name() + "%'") == "0");
  backend.store->set_wake({});
}
