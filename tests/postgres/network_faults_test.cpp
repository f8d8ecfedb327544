// The network between workers and server is cut before a COMMIT, after one, or swallows everything: all work completes,
// nothing is done twice, and nobody waits longer than told.
#include <sys/resource.h>

#include "postgres/load.hpp"
#include "support/postgres_cluster.hpp"
#include "support/raw_postgres.hpp"
#include "support/socket_proxy.hpp"

using namespace embedjobs;
using namespace embedjobs::test;

namespace {

using Fault = SocketProxy::Fault;

struct Network {
  TempSchema schema;
  SocketProxy proxy{cluster_folder() + "/.s.PGSQL.5432"};

  [[nodiscard]] std::string dsn(const std::string& more) const {
    return "postgresql://embedjobs@127.0.0.1:" + std::to_string(proxy.port()) + "/postgres?schema=" + schema.name() +
           more;
  }
};

double cpu_seconds() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

}  // namespace

TEST_CASE("workers go on over a network that is cut at commits") {
  const Fault fault = GENERATE(Fault::kCutBeforeCommit, Fault::kCutAfterCommit);
  // With prepared statements the commit travels with what the transaction wrote.
  const std::string statements = GENERATE("&prepared_statements=off", "");
  Network network;
  const Backend backend = get(open_postgres(network.dsn("&poll_only=on" + statements), {}, nullptr));
  enqueue_all(backend);
  int faults = 0;
  work_through(backend, 8, [&] {
    if (network.proxy.happened()) {
      network.proxy.inject(fault);
      ++faults;
    }
  });
  network.proxy.inject(Fault::kNone);
  CHECK(faults >= 10);
  everything_is_right(backend);
}

TEST_CASE("a network that swallows everything costs a call its time limit and no more, and no processor time") {
  Network network;
  PostgresOptions options;
  options.call_timeout = 1500ms;
  const Backend backend = get(open_postgres(network.dsn("&poll_only=on"), options, nullptr));
  get(backend.store->enqueue(kKey, JobKind::kSpecWrite));
  const Lease lease =
      get(backend.store->claim({.worker_id = "w", .max_jobs = 1, .nonce = 7, .space_id = kSpace.id()})).leases.at(0);
  CHECK(get(backend.store->renew(std::vector{ref(lease)}, 0s, 5s)) == std::vector{true});
  network.proxy.inject(Fault::kBlackHole);
  const double cpu = cpu_seconds();
  const auto begun = std::chrono::steady_clock::now();
  CHECK(backend.store->counts().status().code() == Code::kRetry);
  const auto waited = std::chrono::steady_clock::now() - begun;
  CHECK(waited >= 1s);
  CHECK(waited < 30s);
  CHECK(cpu_seconds() - cpu < 0.5);
  CHECK(get(backend.store->counts()).running == 1);  // on another connection
  network.proxy.inject(Fault::kBlackHole);
  CHECK(backend.store->renew(std::vector{ref(lease)}, 0s, 500ms).status().code() == Code::kRetry);
  CHECK(get(backend.store->renew(std::vector{ref(lease)}, 0s, 5s)) == std::vector{true});
  CHECK(get(backend.store->settle(ref(lease), {})) == JobStatus::kSucceeded);
}
