// What a chunk of 32 texts costs through the C embedder callback, beyond a C++ embedder that does the same. Other
// languages' embedders are measured beside it.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "../../capi/src/hosts.hpp"
#include "embedjobs/embedder.hpp"

using namespace embedjobs;

namespace {

constexpr std::size_t kTexts = 32;
constexpr std::size_t kDimension = 384;
constexpr int kRounds = 60;
constexpr int kCalls = 5'000;
const Space kSpace{"bench", kDimension, ""};

/// Both embedders do this: enough that the vectors depend on the texts, little enough not to hide the call.
void fill(const char* text, float* values) {
  values[0] = static_cast<float>(*text);
}

class NativeEmbedder final : public Embedder {
 public:
  Result<Space> space(const CallContext&) override { return kSpace; }
  Result<Embeddings> embed(std::span<const std::string_view> texts, const CallContext&) override {
    Embeddings answer{.vectors = Matrix(texts.size(), kDimension)};
    for (std::size_t i = 0; i < texts.size(); ++i) {
      fill(texts[i].data(), answer.vectors.row(i).data());
    }
    return answer;
  }
};

std::int32_t c_embed(void*, embedjobs_call*, const embedjobs_texts* texts, embedjobs_vectors* out, std::size_t* done) {
  for (std::size_t i = 0; i < texts->count; ++i) {
    fill(texts->bytes + texts->offsets[i], out->values + i * out->dimension);
  }
  *done = texts->count;
  return EMBEDJOBS_OK;
}

double microseconds_a_call(Embedder& embedder, std::span<const std::string_view> texts) {
  const CallContext context{.time_limit = std::chrono::minutes(5)};
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < kCalls; ++i) {
    if (!embedder.embed(texts, context).ok()) {
      fmt::print(stderr, "an embedder failed\n");
      std::exit(1);
    }
  }
  return std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - start).count() / kCalls;
}

}  // namespace

int main() {
  std::vector<std::string> owned;
  for (std::size_t i = 0; i < kTexts; ++i) {
    owned.push_back(
        fmt::format("{} returns one widget of the catalog by its identifier /v1/widgets/{{id}} widgets", i));
  }
  const std::vector<std::string_view> texts(owned.begin(), owned.end());
  embedjobs_embedder table{};
  table.struct_size = sizeof(table);
  table.embed = c_embed;
  table.model = "bench";
  table.dimension = kDimension;
  NativeEmbedder native;
  const auto host = capi::make_host_embedder(
      std::make_shared<capi::OwnedTable<embedjobs_embedder>>(table, std::make_shared<capi::HostState>()));
  if (!host.ok()) {
    fmt::print(stderr, "{}\n", host.status().to_string());
    return 1;
  }
  // Alternating, so that both meet the same neighbours; the quietest round of each counts.
  std::vector<double> in_cpp;
  std::vector<double> in_c;
  for (int round = 0; round < kRounds; ++round) {
    in_cpp.push_back(microseconds_a_call(native, texts));
    in_c.push_back(microseconds_a_call(**host, texts));
  }
  const double cpp = *std::min_element(in_cpp.begin(), in_cpp.end());
  const double c = *std::min_element(in_c.begin(), in_c.end());
  fmt::print("a chunk of {} texts, dimension {}: C++ {:.3f} us, C {:.3f} us, the callback costs {:.3f} us (goal 0.3)\n",
             kTexts, kDimension, cpp, c, c - cpp);
  return 0;
}
