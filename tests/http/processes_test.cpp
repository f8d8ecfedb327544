// 10,000 texts, a tenth of the answers faulty, three processes on one file.
#include <catch2/catch.hpp>

#include <spawn.h>
#include <sys/wait.h>

#include "http/engine_scene.hpp"

using namespace embedjobs;
using namespace embedjobs::test;

namespace {

pid_t start_worker(const std::string& dsn, const std::string& embedder) {
  std::string program = PROCESSES_WORKER, first = dsn, second = embedder;
  char* const arguments[] = {program.data(), first.data(), second.data(), nullptr};
  pid_t pid = 0;
  REQUIRE(posix_spawn(&pid, program.c_str(), nullptr, nullptr, arguments, environ) == 0);
  return pid;
}

}  // namespace

TEST_CASE(
    "10,000 texts with a tenth of the answers faulty, over three processes: every row is right, few texts are sent "
    "twice") {
  constexpr std::size_t kSpecs = 40, kOperations = 250;
  ProviderServer server({.play = Play::kOpenAi, .faulty = 0.1, .seed = 20240501});
  TempFolder folder;
  const std::string dsn = "sqlite:" + folder.file("test.db");
  const std::string embedder = "openai:test-model@" + server.url() + "?dimension=8&concurrency=2";
  EngineOptions options;
  options.dsn = dsn;
  options.embedder = embedder;
  auto engine = Engine::open(options);
  REQUIRE(engine.ok());
  for (std::size_t spec = 0; spec < kSpecs; ++spec) {
    REQUIRE(
        (*engine)
            ->put({"catalog", "spec-" + std::to_string(spec)}, spec_with(kOperations, "spec " + std::to_string(spec)))
            .ok());
  }
  std::vector<pid_t> workers;
  for (int i = 0; i < 3; ++i) {
    workers.push_back(start_worker(dsn, embedder));
  }
  for (const pid_t worker : workers) {
    int status = 0;
    REQUIRE(waitpid(worker, &status, 0) == worker);
    CHECK(status == 0);
  }
  std::size_t rows = 0, wrong = 0;
  for (std::size_t spec = 0; spec < kSpecs; ++spec) {
    const auto space = (*engine)->rows({"catalog", "spec-" + std::to_string(spec)}, true, [&](const StoredRow& row) {
      const std::string number = row.operation_id.substr(3);
      const std::vector<float> expected =
          vector_of("spec " + std::to_string(spec) + " number " + number + " /p" + number, 8);
      ++rows;
      wrong += row.vector == expected ? 0U : 1U;
      return true;
    });
    CHECK(space.ok());
  }
  CHECK(rows == kSpecs * kOperations);
  CHECK(wrong == 0);
  const Seen seen = server.seen();
  INFO(seen.texts << " texts sent in " << seen.calls << " calls");
  CHECK(seen.texts <= rows * 5 / 4);
  CHECK(seen.calls > 0);
}
