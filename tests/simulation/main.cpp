// simulation [--seeds N] [--first N] [--seed N] [--backend memory|sqlite] [--trace] [--expect-violation]
//
// Runs N histories and checks the invariants on each. A failing seed prints how to replay it.
#include <fmt/format.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>

#include "simulation/history.hpp"

namespace {

struct Arguments {
  std::uint64_t first = 1;
  std::uint64_t seeds = 200;
  bool sqlite = false;
  bool trace = false;
  bool expect_violation = false;
};

[[noreturn]] void usage() {
  std::fputs(
      "usage: simulation [--seeds N] [--first N] [--seed N] [--backend memory|sqlite] [--trace] [--expect-violation]\n",
      stderr);
  std::exit(2);
}

std::uint64_t number(const char* text) {
  char* end = nullptr;
  const unsigned long long value = std::strtoull(text, &end, 10);
  if (text[0] == '\0' || *end != '\0') {
    usage();
  }
  return value;
}

Arguments parse(int argc, char** argv) {
  Arguments arguments;
  for (int i = 1; i < argc; ++i) {
    const std::string name = argv[i];
    if (name == "--trace") {
      arguments.trace = true;
    } else if (name == "--expect-violation") {
      arguments.expect_violation = true;
    } else if (i + 1 == argc) {
      usage();
    } else if (name == "--seeds") {
      arguments.seeds = number(argv[++i]);
    } else if (name == "--first") {
      arguments.first = number(argv[++i]);
    } else if (name == "--seed") {
      arguments.first = number(argv[++i]);
      arguments.seeds = 1;
    } else if (name == "--backend") {
      arguments.sqlite = std::strcmp(argv[++i], "sqlite") == 0;
    } else {
      usage();
    }
  }
  return arguments;
}

/// Memory if there is some: these files are made by the thousand, and nothing here tests the disk.
std::filesystem::path simulation_folder() {
  std::error_code error;
  return std::filesystem::is_directory("/dev/shm", error) ? "/dev/shm" : std::filesystem::temp_directory_path();
}

}  // namespace

int main(int argc, char** argv) {
  const Arguments arguments = parse(argc, argv);
  const std::string folder =
      simulation_folder() /
      fmt::format("embedjobs-simulation-{}", std::chrono::steady_clock::now().time_since_epoch().count());
  std::filesystem::create_directories(folder);
  double simulated = 0;
  std::uint64_t texts = 0;
  std::uint64_t failed = 0;
  const std::uint64_t end = arguments.first + arguments.seeds;
  for (std::uint64_t seed = arguments.first; seed < end; ++seed) {
    const embedjobs::sim::HistoryOptions options{
        .seed = seed, .sqlite = arguments.sqlite, .print_trace = arguments.trace, .folder = folder};
    const auto result = embedjobs::sim::run_history(options);
    simulated += result.simulated_seconds;
    texts += result.texts_sent;
    bool repeatable = true;
    if (seed % 50 == 0) {
      repeatable =
          embedjobs::sim::run_history({.seed = seed, .sqlite = arguments.sqlite, .folder = folder}).trace_hash ==
          result.trace_hash;
    }
    if (!result.violations.empty() || !repeatable) {
      ++failed;
      fmt::print("seed {}: {}\n", seed, repeatable ? result.violations.front() : "two runs gave two traces");
      fmt::print("  replay: {} --backend {} --seed {} --trace\n", argv[0], arguments.sqlite ? "sqlite" : "memory",
                 seed);
      if (arguments.expect_violation || failed >= 10) {
        break;
      }
    }
  }
  std::filesystem::remove_all(folder);
  fmt::print("{} histories on {}, {:.1f} simulated hours, {} texts sent, {} failed\n", arguments.seeds,
             arguments.sqlite ? "sqlite" : "memory", simulated / 3600, texts, failed);
  return (failed != 0) == arguments.expect_violation ? 0 : 1;
}
