// Processes of the command whose database is away for a while: they wait without using the processor, and then all work
// completes.
#include <catch2/catch.hpp>

#include <cstdio>
#include <fstream>
#include <iterator>
#include <sstream>
#include <thread>

#include "embedjobs/engine.hpp"
#include "embedjobs/sys/store.hpp"
#include "http/provider_server.hpp"
#include "postgres/command_process.hpp"
#include "support/postgres_cluster.hpp"
#include "support/raw_postgres.hpp"
#include "support/results.hpp"
#include "support/socket_proxy.hpp"
#include "support/spec.hpp"
#include "support/wait_until.hpp"

using namespace embedjobs;
using namespace embedjobs::test;
using namespace std::chrono_literals;

namespace {

constexpr std::size_t kSpecs = 20, kOperations = 40, kBatch = 8;

/// User and system time so far.
double cpu_seconds(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string stat((std::istreambuf_iterator<char>(file)), {});
  std::istringstream fields(stat.substr(stat.rfind(')') + 1));
  std::string skipped;
  for (int field = 3; field < 14; ++field) {
    fields >> skipped;
  }
  long long user = 0, system = 0;
  REQUIRE((fields >> user >> system));
  return static_cast<double>(user + system) / static_cast<double>(::sysconf(_SC_CLK_TCK));
}

/// `begin` and `end` an outage that lasts `time`, in the middle of the work of two processes that reach the server by
/// `server`.
template <typename Begin, typename End>
void survive(const TempSchema& schema, const std::string& dsn, std::chrono::seconds time, const Begin& begin,
             const End& end) {
  ProviderServer provider({.play = Play::kOpenAi, .delay_per_text = 5ms});
  const std::string embedder = "openai:test-model@" + provider.url() + "?dimension=8";
  EngineOptions options;
  options.dsn = schema.dsn("&poll_only=on");
  options.embedder = embedder;
  const auto engine = test::get(Engine::open(options));
  for (std::size_t spec = 0; spec < kSpecs; ++spec) {
    const std::string name = "spec-" + std::to_string(spec);
    test::get(engine->put({"catalog", name}, spec_with(kOperations, name)));
  }
  std::vector<CommandProcess> workers;
  for (int i = 0; i < 2; ++i) {
    workers.emplace_back(
        work_words(dsn, embedder, {"--batch-size", std::to_string(kBatch), "--provider-concurrency", "2"}));
  }
  wait_until([&] { return provider.seen().texts >= kSpecs * kOperations / 4; });
  begin();
  const double before = cpu_seconds(workers[0].pid()) + cpu_seconds(workers[1].pid());
  CHECK(before > 0);
  std::this_thread::sleep_for(time);  // the outage, not a wait for something
  const double cpu = cpu_seconds(workers[0].pid()) + cpu_seconds(workers[1].pid()) - before;
  end();
  const auto ended = std::chrono::steady_clock::now();
  wait_until([&] {
    const auto counts = engine->store().counts();
    return counts.ok() && counts->pending + counts->running == 0;
  });
  std::printf("database away for %lld s: %.2f s of processor time in two processes; all done %.1f s later\n",
              static_cast<long long>(time.count()), cpu,
              std::chrono::duration<double>(std::chrono::steady_clock::now() - ended).count());
  CHECK(cpu < 0.25 * static_cast<double>(time.count()));  // a busy loop would take all of it, twice
  CHECK(test::get(engine->store().counts()).succeeded == static_cast<std::int64_t>(kSpecs));
  for (const VerifyReport& report : test::get(engine->verify("catalog", std::nullopt))) {
    INFO(report.key.spec_name << ": " << report.difference);
    CHECK(report.equal);
  }
  // At most what was in flight, or waited to be stored, was sent again: the document that each of the two was at.
  CHECK(provider.seen().texts <= kSpecs * kOperations + 2 * kOperations);
}

}  // namespace

TEST_CASE("the server is stopped at once, and back after three seconds") {
  TempSchema schema;
  survive(
      schema, schema.dsn(), 3s, [&] { cluster("stop immediate"); }, [&] { cluster("start"); });
}

TEST_CASE("a network that swallows everything for half a minute", "[.full]") {
  TempSchema schema;
  SocketProxy proxy(cluster_folder() + "/.s.PGSQL.5432");
  const std::string dsn =
      "postgresql://embedjobs@127.0.0.1:" + std::to_string(proxy.port()) + "/postgres?schema=" + schema.name();
  survive(
      schema, dsn, 30s, [&] { proxy.set_dark(true); }, [&] { proxy.set_dark(false); });
}
