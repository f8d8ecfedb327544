// pipeline_bench: does the provider ever wait for us? An embedder that needs 20 ms a call, 4 calls in flight, 2,000
// calls, SQLite behind. Prints the wall time as a ratio of the embedder's own time (calls x 20 ms / 4, as measured
// inside the calls). Goal: <= 1.05.
#include <fmt/format.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <thread>

#include "embedjobs/embedjobs.hpp"

namespace {

using namespace embedjobs;
using Steady = std::chrono::steady_clock;

constexpr int kCalls = 2000;
constexpr int kInFlight = 4;
constexpr int kBatch = 8;

class SlowEmbedder final : public Embedder {
 public:
  Result<Space> space(const CallContext&) override { return Space{"slow", 384, ""}; }
  Result<Embeddings> embed(std::span<const std::string_view> texts, const CallContext&) override {
    const auto began = Steady::now();
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    Embeddings answer{.vectors = Matrix(texts.size(), 384)};
    for (std::size_t row = 0; row < texts.size(); ++row) {
      answer.vectors.row(row)[row % 384] = 1.0F;
    }
    own_time_ += std::chrono::duration_cast<std::chrono::nanoseconds>(Steady::now() - began).count();
    ++calls_;
    return answer;
  }
  [[nodiscard]] EmbedderLimits limits() const override { return {.concurrent_calls = kInFlight}; }

  std::atomic<long long> own_time_ = 0;
  std::atomic<int> calls_ = 0;
};

class LineSplitter final : public Splitter {
 public:
  Result<OperationList> split(std::string_view content) const override {
    OperationList operations;
    for (std::size_t begin = 0; begin < content.size();) {
      const std::size_t end = std::min(content.find('\n', begin), content.size());
      operations.add(content.substr(begin, end - begin), content.substr(begin, end - begin));
      begin = end + 1;
    }
    return operations;
  }
  [[nodiscard]] std::string version() const override { return "lines/1"; }
};

int run(const std::filesystem::path& folder) {
  const auto embedder = std::make_shared<SlowEmbedder>();
  auto engine = Engine::open({.dsn = "sqlite:" + (folder / "bench.db").string(),
                              .worker = {.batch_size = kBatch, .provider_concurrency = kInFlight}},
                             {.splitter = std::make_shared<LineSplitter>(), .embedder = embedder});
  if (!engine.ok()) {
    fmt::print(stderr, "{}\n", engine.status().to_string());
    return 1;
  }
  std::string document;
  for (int i = 0; i < kCalls * kBatch; ++i) {
    document += fmt::format("operation {} of the benchmark\n", i);
  }
  if (const auto put = (*engine)->put({"bench", "lines"}, document); !put.ok()) {
    fmt::print(stderr, "{}\n", put.status().to_string());
    return 1;
  }
  const auto began = Steady::now();
  if (const Status status = (*engine)->start(); !status.ok()) {
    fmt::print(stderr, "{}\n", status.to_string());
    return 1;
  }
  (void)(*engine)->wait_idle(std::chrono::minutes(1));
  const double wall = std::chrono::duration<double>(Steady::now() - began).count();
  const double own = static_cast<double>(embedder->own_time_) / 1e9 / kInFlight;
  fmt::print("pipeline: {} calls, wall {:.2f} s, embedder's own time {:.2f} s, ratio {:.3f} (goal <= 1.05)\n",
             embedder->calls_.load(), wall, own, wall / own);
  return embedder->calls_ == kCalls ? 0 : 1;
}

}  // namespace

int main() {
  const auto folder = std::filesystem::temp_directory_path() /
                      fmt::format("embedjobs-pipeline-{}", Steady::now().time_since_epoch().count());
  std::filesystem::create_directories(folder);
  const int result = run(folder);
  std::filesystem::remove_all(folder);
  return result;
}
