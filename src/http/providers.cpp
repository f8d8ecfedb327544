#include "http/providers.hpp"
#include "core/values/utf8.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "embedjobs/types.hpp"

namespace embedjobs {

std::string_view to_string(ProviderKind kind) noexcept {
  return http::traits_of(kind).name;
}

namespace http {
namespace {

// Ollama works on one request at a time unless OLLAMA_NUM_PARALLEL says otherwise. OpenAI: 2,048 inputs, 300,000 tokens
// together, of two bytes and more each. TEI: 32 inputs and 2 MB of JSON. No model in use reads 128 KiB of one text.
constexpr std::array<ProviderTraits, 3> kTraits{{
    {ProviderKind::kOllama, "ollama", "http://127.0.0.1:11434", 1, 0, 0, 0, std::size_t{128} << 10},
    {ProviderKind::kOpenAi, "openai", "https://api.openai.com/v1", 8, 2048, 600'000, 300'000, std::size_t{128} << 10},
    {ProviderKind::kTei, "tei", "http://127.0.0.1:8080", 4, 32, 1'000'000, 16'384, std::size_t{128} << 10},
}};

struct PrefixRule {
  std::string_view name;  ///< Part of the model's name, in lower case.
  std::string_view document, query;
};
// From the models' own cards. The first that fits counts.
constexpr std::array<PrefixRule, 4> kPrefixRules{{
    {"nomic-embed-text", "search_document: ", "search_query: "},
    {"e5-mistral", "", "Instruct: Given a web search query, retrieve relevant passages that answer the query\nQuery: "},
    {"multilingual-e5", "passage: ", "query: "},
    {"/e5-", "passage: ", "query: "},
}};

// Letters, digits and what reads well stand for themselves, so that equal prefixes have one spelling.
std::string percent_encoded(std::string_view text) {
  constexpr std::string_view kPlain = "-_.~:,/";
  std::string result;
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       kPlain.find(c) != std::string_view::npos;
    if (plain) {
      result += c;
    } else {
      result += fmt::format("%{:02X}", static_cast<unsigned>(static_cast<unsigned char>(c)));
    }
  }
  return result;
}

}  // namespace

const ProviderTraits& traits_of(ProviderKind kind) {
  const auto index = static_cast<std::size_t>(kind);
  return kTraits[std::min(index, kTraits.size() - 1)];
}

Prefixes known_prefixes(std::string_view model) {
  // A slash in front, so that "/e5-" finds "e5-large" as well as "intfloat/e5-large".
  const std::string name = "/" + core::lower_ascii(model);
  for (const PrefixRule& rule : kPrefixRules) {
    if (name.find(rule.name) != std::string::npos) {
      return {std::string(rule.document), std::string(rule.query)};
    }
  }
  return {};
}

std::string canonical_model(ProviderKind kind, std::string_view model) {
  constexpr std::string_view kLatest = ":latest";
  if (kind == ProviderKind::kOllama && model.size() > kLatest.size() && model.ends_with(kLatest)) {
    model.remove_suffix(kLatest.size());
  }
  return std::string(model);
}

Space make_space(ProviderKind kind, std::string_view model, std::size_t dimension, const Prefixes& prefixes) {
  constexpr std::size_t kReadable = 200;
  Space space{.model = canonical_model(kind, model), .dimension = dimension, .variant = {}};
  if (!prefixes.document.empty()) {
    space.variant = "document_prefix=" + percent_encoded(prefixes.document);
  }
  if (!prefixes.query.empty()) {
    space.variant += (space.variant.empty() ? "query_prefix=" : "&query_prefix=") + percent_encoded(prefixes.query);
  }
  if (space.variant.size() > kReadable) {
    space.variant = "prefixes=sha256:" + to_hex(hash_text(prefixes.document + '\0' + prefixes.query));
  }
  return space;
}

}  // namespace http
}  // namespace embedjobs
