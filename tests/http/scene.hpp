// An embedder and the server it talks to.
#pragma once

#include <catch2/catch.hpp>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "embedjobs/embedder.hpp"
#include "embedjobs/http.hpp"
#include "embedjobs/provider_health.hpp"
#include "http/provider_server.hpp"

namespace embedjobs::test {

inline ProviderKind kind_of(Play play) {
  return play == Play::kTei                              ? ProviderKind::kTei
         : play == Play::kOpenAi || play == Play::kAzure ? ProviderKind::kOpenAi
                                                         : ProviderKind::kOllama;
}

inline HttpEmbedderOptions options_for(Play play, const std::string& url) {
  HttpEmbedderOptions options;
  options.kind = kind_of(play);
  options.model = play == Play::kTei ? "" : "test-model";
  options.url = url;
  options.azure = play == Play::kAzure;
  options.api_version = play == Play::kAzure ? "2024-02-01" : "";
  return options;
}

inline std::shared_ptr<Embedder> made(const HttpEmbedderOptions& options) {
  auto embedder = make_http_embedder(options);
  INFO(embedder.status().to_string());
  REQUIRE(embedder.ok());
  return *embedder;
}

inline std::vector<std::string_view> views(const std::vector<std::string>& texts) {
  return {texts.begin(), texts.end()};
}

inline Result<Embeddings> embed(Embedder& embedder, const std::vector<std::string>& texts,
                                const CallContext& context = {}) {
  return embedder.embed(views(texts), context);
}

/// Each row is what the server's model makes of its text.
inline void check_rows(const Result<Embeddings>& answer, const std::vector<std::string>& texts,
                       std::size_t dimension = 8) {
  INFO(answer.status().to_string());
  REQUIRE(answer.ok());
  REQUIRE(answer->vectors.rows() == texts.size());
  REQUIRE(answer->vectors.dimension() == dimension);
  for (std::size_t i = 0; i < texts.size(); ++i) {
    const std::vector<float> expected = vector_of(texts[i], dimension);
    const auto row = answer->vectors.row(i);
    INFO("row " << i << " of text '" << texts[i] << "'");
    for (std::size_t j = 0; j < dimension; ++j) {
      REQUIRE(row[j] == Approx(expected[j]).margin(1e-6));
    }
  }
}

inline std::vector<std::string> numbered(std::size_t count) {
  std::vector<std::string> texts;
  for (std::size_t i = 0; i < count; ++i) {
    texts.push_back("text number " + std::to_string(i));
  }
  return texts;
}

}  // namespace embedjobs::test
