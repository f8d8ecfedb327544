// memory_bench [OPERATIONS]: the peak memory of indexing a generated JSON document of 200,000 operations into SQLite,
// above that of a process that only holds the document and simdjson's parse of it. Goal: <= 64 MiB. Then the same
// document again, unchanged: what it reads and writes.
#include <fmt/format.h>
#include <simdjson.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>

#include "embedjobs/embedjobs.hpp"

namespace {

using namespace embedjobs;

std::string make_document(int operations) {
  std::string document = R"({"openapi":"3.0.3","info":{"title":"generated","version":"1"},"paths":{)";
  for (int i = 0; i < operations; ++i) {
    document += fmt::format(
        R"({}"/v1/things/{}/parts/{{id}}":{{"get":{{"operationId":"getThing{}","summary":"Get part {} of a thing",)"
        R"("description":"Returns the part with number {} and what belongs to it.",)"
        R"("responses":{{"200":{{"description":"ok"}}}}}}}})",
        i == 0 ? "" : ",", i, i, i, i);
  }
  return document + "}}";
}

long peak_kib() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmHWM:")) {
      return std::strtol(line.c_str() + 6, nullptr, 10);
    }
  }
  return -1;
}

/// The peak of a process of its own that runs `body`, or -1.
long peak_of(const std::function<bool()>& body) {
  int pipe_ends[2];
  if (pipe(pipe_ends) != 0) {
    return -1;
  }
  const pid_t child = fork();
  if (child == 0) {
    const long peak = body() ? peak_kib() : -1;
    const ssize_t written = write(pipe_ends[1], &peak, sizeof peak);
    std::fflush(stdout);
    _exit(written == sizeof peak ? 0 : 1);
  }
  close(pipe_ends[1]);
  long peak = -1;
  if (read(pipe_ends[0], &peak, sizeof peak) != sizeof peak) {
    peak = -1;
  }
  close(pipe_ends[0]);
  waitpid(child, nullptr, 0);
  return peak;
}

bool hold_and_parse(int operations) {
  const std::string document = make_document(operations);
  simdjson::dom::parser parser;
  return parser.parse(document.data(), document.size(), true).error() == simdjson::SUCCESS;
}

bool index(const std::string& dsn, int operations) {
  WorkerMetrics totals;
  auto engine = Engine::open({.dsn = dsn, .embedder = "hashing:64", .worker = {.batch_size = 512}});
  if (!engine.ok()) {
    return false;
  }
  {
    const std::string document = make_document(operations);
    if (!(*engine)->put({"bench", "generated"}, document).ok()) {
      return false;
    }
  }
  if (!(*engine)->start().ok() || !(*engine)->wait_idle(std::chrono::minutes(1)).ok()) {
    return false;
  }
  totals = (*engine)->metrics()->worker;
  fmt::print("  {} operations embedded, {} reused, {} provider calls\n", totals.operations_embedded,
             totals.operations_reused, totals.provider_calls);
  return totals.jobs_succeeded == 1;
}

}  // namespace

int main(int argc, char** argv) {
  const int operations = argc > 1 ? std::atoi(argv[1]) : 200'000;
  const auto folder = std::filesystem::temp_directory_path() /
                      fmt::format("embedjobs-memory-{}", std::chrono::steady_clock::now().time_since_epoch().count());
  std::filesystem::create_directories(folder);
  const std::string dsn = "sqlite:" + (folder / "bench.db").string();
  const long bare = peak_of([&] { return hold_and_parse(operations); });
  const long first = peak_of([&] { return index(dsn, operations); });
  const long again = peak_of([&] { return index(dsn, operations); });
  std::filesystem::remove_all(folder);
  fmt::print(
      "document and parse {} MiB; indexing it {} MiB, {} MiB above (goal <= 64); again, unchanged, {} MiB, {} MiB "
      "above\n",
      bare / 1024, first / 1024, (first - bare) / 1024, again / 1024, (again - bare) / 1024);
  return bare > 0 && first > 0 && again > 0 ? 0 : 1;
}
