// The documents and the provider of the simulated world.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "embedjobs/embedder.hpp"
#include "embedjobs/manifest.hpp"
#include "embedjobs/splitter.hpp"
#include "simulation/world.hpp"

namespace embedjobs::sim {

/// A document is a line an operation: id, tab, text. One that starts with '!' is broken.
class LineSplitter final : public Splitter {
 public:
  Result<OperationList> split(std::string_view content) const override;
  [[nodiscard]] std::string version() const override { return "lines/1"; }
};

/// What the provider does wrong, a call.
struct ProviderOdds {
  double error = 0, pause = 0, timeout = 0, wrong_count = 0, bad_vector = 0, too_large = 0;
  double refuse = 0;  ///< It begins to refuse every text, for some seconds.
};

/// What goes wrong with a call, where a part of `trouble` of everything does.
ProviderOdds provider_odds(double trouble);

/// One provider, whoever calls. A text with "poison" in it is refused, one with "killer" kills the caller, one longer
/// than kLongest bytes is too long.
class Provider {
 public:
  static constexpr std::size_t kLongest = 300;
  static constexpr std::uint64_t kTokensAText = 3;
  static constexpr const char* kName = "http://sim model";

  explicit Provider(World& world) : world_(world) {}
  Result<Embeddings> embed(std::span<const std::string_view> texts, const Space& space, ProcessRuntime& caller,
                           const CallContext& context);

  ProviderOdds odds;
  bool killers_kill = true;
  /// Called for each text that is sent.
  std::function<void(std::string_view text, const Space& space)> on_text;
  std::uint64_t texts_sent = 0;

 private:
  bool refuses();

  World& world_;
  Duration refuses_until_{0};
};

class SimEmbedder final : public Embedder {
 public:
  SimEmbedder(Provider& provider, Space space, std::shared_ptr<ProcessRuntime> process, std::size_t concurrent_calls)
      : provider_(provider),
        space_(std::move(space)),
        process_(std::move(process)),
        concurrent_calls_(concurrent_calls) {}
  Result<Space> space(const CallContext& /*context*/) override { return space_; }
  Result<Embeddings> embed(std::span<const std::string_view> texts, const CallContext& context) override {
    return provider_.embed(texts, space_, *process_, context);
  }
  [[nodiscard]] EmbedderLimits limits() const override { return {.concurrent_calls = concurrent_calls_}; }
  [[nodiscard]] std::string provider() const override { return Provider::kName; }

 private:
  Provider& provider_;
  Space space_;
  std::shared_ptr<ProcessRuntime> process_;
  std::size_t concurrent_calls_;
};

}  // namespace embedjobs::sim
