// A library in the place of libembedjobs_c whose engine_open measures the embedder that it is given instead of opening
// an engine, so that every language is measured through its own package, unchanged. See callbacks.sh.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "../../capi/src/error.hpp"
#include "../../capi/src/hosts.hpp"
#include "embedjobs/embedder.hpp"

using namespace embedjobs;

namespace {

constexpr std::size_t kDimension = 384;
constexpr int kRounds = 15;
constexpr int kCalls = 300;

/// Does what the embedders of the other languages do: copies vectors that are ready.
class ReadyVectors final : public Embedder {
 public:
  Result<Space> space(const CallContext&) override { return Space{"bench", kDimension, ""}; }
  Result<Embeddings> embed(std::span<const std::string_view> texts, const CallContext&) override {
    Embeddings answer{.vectors = Matrix(texts.size(), kDimension)};
    std::memcpy(answer.vectors.row(0).data(), ready_.data(), texts.size() * kDimension * sizeof(float));
    return answer;
  }

 private:
  std::vector<float> ready_ = std::vector<float>(256 * kDimension, 1.0F);
};

double microseconds_a_call(Embedder& embedder, std::span<const std::string_view> texts) {
  const CallContext context{.time_limit = std::chrono::minutes(5)};
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < kCalls; ++i) {
    if (const auto answer = embedder.embed(texts, context); !answer.ok()) {
      fmt::print(stderr, "an embedder failed: {}\n", answer.status().to_string());
      std::exit(1);
    }
  }
  return std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - start).count() / kCalls;
}

/// The quietest of rounds that alternate with C++.
double beyond_cpp(Embedder& embedder, std::size_t count) {
  std::vector<std::string> owned;
  for (std::size_t i = 0; i < count; ++i) {
    owned.push_back(
        fmt::format("{} returns one widget of the catalog by its identifier /v1/widgets/{{id}} widgets", i));
  }
  const std::vector<std::string_view> texts(owned.begin(), owned.end());
  ReadyVectors native;
  std::vector<double> in_cpp;
  std::vector<double> in_host;
  for (int round = 0; round < kRounds; ++round) {
    in_cpp.push_back(microseconds_a_call(native, texts));
    in_host.push_back(microseconds_a_call(embedder, texts));
  }
  return *std::min_element(in_host.begin(), in_host.end()) - *std::min_element(in_cpp.begin(), in_cpp.end());
}

void measure(Embedder& embedder, std::string_view thread) {
  const char* named = std::getenv("BENCH_LANGUAGE");
  const double of_32 = beyond_cpp(embedder, 32);
  const double of_256 = beyond_cpp(embedder, 256);
  fmt::print("{}, {}: a chunk of 32 costs {:.2f} us beyond C++, one of 256 {:.2f} us: {:.3f} us a text more\n",
             named == nullptr ? "host" : named, thread, of_32, of_256, (of_256 - of_32) / 224);
  std::fflush(stdout);
}

}  // namespace

extern "C" {

__attribute__((visibility("default"))) std::int32_t embedjobs_engine_open(const embedjobs_options* options,
                                                                          embedjobs_engine**, embedjobs_error** error) {
  // Copied without its destroy: the host lets go of a table whose engine did not open.
  embedjobs_embedder table = *options->host_embedder;
  table.destroy = nullptr;
  const auto host = capi::make_host_embedder(
      std::make_shared<capi::OwnedTable<embedjobs_embedder>>(table, std::make_shared<capi::HostState>()));
  if (host.ok()) {
    measure(**host, "its own thread");
    std::thread([&] { measure(**host, "a thread of the library"); }).join();
  }
  if (error != nullptr) {
    *error = nullptr;
  }
  return EMBEDJOBS_REFUSED;
}
}
