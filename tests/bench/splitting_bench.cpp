// What splitting costs beside simdjson's bare DOM parse of the same bytes: time as a ratio of medians, interleaved in
// one run, and peak memory for a generated document.
//
//   splitting_bench [FILE]      FILE: JSON; default $EMBEDJOBS_SPEC_DIR/github.json
#include <fmt/core.h>
#include <simdjson.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <optional>
#include <string>
#include <vector>

#include "embedjobs/openapi.hpp"

namespace {

constexpr int kRounds = 31;
constexpr int kOperations = 200'000;

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string content((std::istreambuf_iterator<char>(file)), {});
  content.reserve(content.size() + simdjson::SIMDJSON_PADDING);
  return content;
}

template <typename F>
double milliseconds(F&& f) {
  const auto begin = std::chrono::steady_clock::now();
  f();
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count();
}

double median(std::vector<double> times) {
  const auto middle = times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2);
  std::nth_element(times.begin(), middle, times.end());
  return *middle;
}

bool bench_time(const std::string& path) {
  const std::string content = read_file(path);
  const auto splitter = embedjobs::make_openapi_splitter();
  simdjson::dom::parser warm;
  std::vector<double> warm_times;
  std::vector<double> fresh_times;
  std::vector<double> split_times;
  std::size_t operations = 0;
  bool ok = true;
  for (int i = 0; i < kRounds && ok; ++i) {
    warm_times.push_back(milliseconds([&] { ok &= warm.parse(content).error() == simdjson::SUCCESS; }));
    fresh_times.push_back(milliseconds([&] {
      simdjson::dom::parser fresh;
      ok &= fresh.parse(content).error() == simdjson::SUCCESS;
    }));
    split_times.push_back(milliseconds([&] {
      const auto list = splitter->split(content);
      ok &= list.ok();
      operations = list.ok() ? list->size() : 0;
    }));
  }
  if (!ok) {
    fmt::print(stderr, "{}: can't be split: {}\n", path, splitter->split(content).status().message());
    return false;
  }
  const double split = median(split_times);
  fmt::print("splitting {} bytes, {} operations, medians of {} interleaved rounds\n", content.size(), operations,
             kRounds);
  fmt::print("  bare DOM parse, parser reused  {:8.2f} ms\n", median(warm_times));
  fmt::print("  bare DOM parse, fresh parser   {:8.2f} ms\n", median(fresh_times));
  fmt::print("  split and hash                 {:8.2f} ms\n", split);
  fmt::print("  RATIO split+hash : bare parse  {:8.2f} (reused parser), {:.2f} (fresh parser); goal <= 4\n",
             split / median(warm_times), split / median(fresh_times));
  return true;
}

std::string generate() {
  std::string json = R"({"openapi":"3.1.0","info":{"title":"generated","version":"1"},"paths":{)";
  for (int i = 0; i < kOperations; ++i) {
    json +=
        fmt::format(R"({}"/v1/resources/{}/items/{{item_id}}":{{"get":{{"operationId":"getItem{}",)"
                    R"("summary":"Get item of resource {}",)"
                    R"("description":"Returns one item of the resource, with all its attributes.","tags":["items"],)"
                    R"("responses":{{"200":{{"description":"OK"}}}}}}}})",
                    i == 0 ? "" : ",", i, i, i);
  }
  json += "}}";
  return json;
}

/// Peak resident KiB of a child that does `work`; each child starts from the same small parent.
template <typename F>
std::optional<long> peak_of(F&& work) {
  std::fflush(nullptr);
  const pid_t child = fork();
  if (child == 0) {
    _exit(work() ? 0 : 1);
  }
  int status = 0;
  rusage usage{};
  if (child < 0 || wait4(child, &status, 0, &usage) != child || status != 0) {
    return std::nullopt;
  }
  return usage.ru_maxrss;
}

bool bench_memory() {
  // The document is read from a file by each child, so that its making does not count.
  const std::string path = fmt::format("/tmp/splitting_bench.{}.json", getpid());
  const auto made = peak_of([&] { return static_cast<bool>(std::ofstream(path, std::ios::binary) << generate()); });
  const auto load = [&] {
    std::ifstream file(path, std::ios::binary | std::ios::ate);
    std::string content;
    const auto size = static_cast<std::size_t>(file.tellg());
    content.reserve(size + simdjson::SIMDJSON_PADDING);
    content.resize(size);
    file.seekg(0).read(content.data(), static_cast<std::streamsize>(size));
    return content;
  };
  const auto document = peak_of([&] { return !load().empty(); });
  const auto parsed = peak_of([&] {
    const std::string content = load();
    simdjson::dom::parser parser;
    return parser.parse(content).error() == simdjson::SUCCESS;
  });
  const auto split = peak_of([&] {
    const std::string content = load();
    const auto list = embedjobs::make_openapi_splitter()->split(content);
    return list.ok() && list->size() == kOperations;
  });
  std::remove(path.c_str());
  if (!made || !document || !parsed || !split) {
    fmt::print(stderr, "the generated document can't be split\n");
    return false;
  }
  const auto mib = [](long kib) { return static_cast<double>(kib) / 1024; };
  fmt::print("a generated document of {} operations, peak memory of the process\n", kOperations);
  fmt::print("  document                       {:8.1f} MiB\n", mib(*document));
  fmt::print("  document and bare DOM parse    {:8.1f} MiB\n", mib(*parsed));
  fmt::print("  document, split and hashed     {:8.1f} MiB\n", mib(*split));
  fmt::print("  ABOVE document and parse       {:8.1f} MiB; goal <= 64\n", mib(std::max(0L, *split - *parsed)));
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  const char* folder = std::getenv("EMBEDJOBS_SPEC_DIR");
  const bool memory = bench_memory();  // first: children inherit what the parent holds
  if (argc < 2 && folder == nullptr) {
    fmt::print("splitting time: skipped, no FILE and EMBEDJOBS_SPEC_DIR is not set\n");
    return memory ? 0 : 1;
  }
  return bench_time(argc > 1 ? argv[1] : std::string(folder) + "/github.json") && memory ? 0 : 1;
}
