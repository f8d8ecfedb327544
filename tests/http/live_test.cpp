// Against servers of others: EMBEDJOBS_LIVE_OLLAMA_URL, EMBEDJOBS_LIVE_OPENAI_URL, EMBEDJOBS_LIVE_TEI_URL name them,
// and EMBEDJOBS_LIVE_{OLLAMA,OPENAI,TEI}_MODEL their models. Skipped, visibly, where none is named.
#include <catch2/catch.hpp>

#include <cmath>
#include <cstdlib>
#include <iostream>

#include "http/scene.hpp"

using namespace embedjobs;
using namespace embedjobs::test;

namespace {

struct Live {
  ProviderKind kind;
  std::string name, default_model;
};
const std::vector<Live> kLive{{ProviderKind::kOllama, "OLLAMA", "nomic-embed-text"},
                              {ProviderKind::kOpenAi, "OPENAI", "text-embedding-3-small"},
                              {ProviderKind::kTei, "TEI", ""}};

std::string variable(const std::string& name) {
  const char* const value = std::getenv(name.c_str());
  return value != nullptr ? value : "";
}

double cosine(std::span<const float> a, std::span<const float> b) {
  double dot = 0, aa = 0, bb = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    dot += static_cast<double>(a[i]) * b[i];
    aa += static_cast<double>(a[i]) * a[i];
    bb += static_cast<double>(b[i]) * b[i];
  }
  return dot / std::sqrt(aa * bb);
}

}  // namespace

TEST_CASE("a live server's vectors are stable, whatever stands beside a text") {
  bool some = false;
  for (const Live& live : kLive) {
    const std::string url = variable("EMBEDJOBS_LIVE_" + live.name + "_URL");
    if (url.empty()) {
      continue;
    }
    some = true;
    INFO(live.name << " at " << url);
    HttpEmbedderOptions options;
    options.kind = live.kind;
    options.url = url;
    const std::string model = variable("EMBEDJOBS_LIVE_" + live.name + "_MODEL");
    options.model = model.empty() ? live.default_model : model;
    const auto embedder = made(options);
    const ProviderHealth health = std::dynamic_pointer_cast<HealthCheck>(embedder)->check({});
    INFO(health.detail << "; " << health.advice);
    REQUIRE(health.state == HealthState::kOk);
    const std::vector<std::string> texts{"List all users", "Delete a user", "The weather in Paris",
                                         "\"quotes\" and \n lines 🐎"};
    const auto all = embed(*embedder, texts);
    INFO(all.status().to_string());
    REQUIRE(all.ok());
    REQUIRE(all->vectors.rows() == texts.size());
    CHECK((*embedder->space({})).dimension == all->vectors.dimension());
    for (std::size_t i = 0; i < texts.size(); ++i) {
      const auto alone = embed(*embedder, {texts[i]});
      REQUIRE(alone.ok());
      CHECK(cosine(alone->vectors.row(0), all->vectors.row(i)) > 0.99);
    }
  }
  if (!some) {
    std::cout << "SKIPPED: no EMBEDJOBS_LIVE_..._URL names a server\n";
  }
}
