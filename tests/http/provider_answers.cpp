#include "http/provider_answers.hpp"

#include <fmt/format.h>
#include <openssl/evp.h>
#include <simdjson.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <iterator>

#include "embedjobs/types.hpp"

namespace embedjobs::test {
namespace {

struct NamedTrouble {
  Trouble trouble;
  std::string_view name;
};
constexpr std::array<NamedTrouble, 26> kTroubles{{{Trouble::kNone, "ok"},
                                                  {Trouble::kRateLimit, "rate_limit"},
                                                  {Trouble::kBusy, "busy"},
                                                  {Trouble::kLoading, "loading"},
                                                  {Trouble::kInternalError, "internal_error"},
                                                  {Trouble::kBadGateway, "bad_gateway"},
                                                  {Trouble::kBrokenJson, "broken_json"},
                                                  {Trouble::kHtml, "html"},
                                                  {Trouble::kWrongCount, "wrong_count"},
                                                  {Trouble::kWrongOrder, "wrong_order"},
                                                  {Trouble::kWrongDimension, "wrong_dimension"},
                                                  {Trouble::kNan, "nan"},
                                                  {Trouble::kZero, "zero"},
                                                  {Trouble::kEmpty, "empty"},
                                                  {Trouble::kTruncated, "truncated"},
                                                  {Trouble::kOversized, "oversized"},
                                                  {Trouble::kTrickle, "trickle"},
                                                  {Trouble::kSilent, "silent"},
                                                  {Trouble::kGarbage, "garbage"},
                                                  {Trouble::kReset, "reset"},
                                                  {Trouble::kQuota, "quota"},
                                                  {Trouble::kUnauthorised, "unauthorised"},
                                                  {Trouble::kBackendAway, "backend_away"},
                                                  {Trouble::kErrorInside, "error_inside"},
                                                  {Trouble::kBudget, "budget"},
                                                  {Trouble::kNotImplemented, "not_implemented"}}};

std::string json_numbers(const std::vector<float>& vector) {
  std::string json = "[";
  for (const float value : vector) {
    json += json.size() > 1 ? "," : "";
    if (std::isnan(value)) {
      json += "NaN";
    } else {
      fmt::format_to(std::back_inserter(json), "{}", value);
    }
  }
  return json + "]";
}

template <typename Number>
std::string bytes_of(const std::vector<Number>& numbers) {
  std::string bytes(numbers.size() * sizeof(Number), '\0');
  std::memcpy(bytes.data(), numbers.data(), bytes.size());
  return bytes;
}

/// Good enough for numbers of a normalised vector that are not tiny.
std::uint16_t half_of(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const auto exponent = static_cast<int>((bits >> 23) & 0xff) - 127 + 15;
  return exponent <= 0 ? std::uint16_t{0}
                       : static_cast<std::uint16_t>(((bits >> 16) & 0x8000U) | (static_cast<unsigned>(exponent) << 10) |
                                                    ((bits >> 13) & 0x3ffU));
}

std::string base64(const std::vector<float>& vector, const std::string& made_of) {
  std::string bytes = bytes_of(vector);
  if (made_of == "doubles") {
    bytes = bytes_of(std::vector<double>(vector.begin(), vector.end()));
  } else if (made_of == "halves") {
    std::vector<std::uint16_t> halves;
    std::transform(vector.begin(), vector.end(), std::back_inserter(halves), half_of);
    bytes = bytes_of(halves);
  } else if (made_of == "big-endian") {
    for (std::size_t i = 0; i < bytes.size(); i += sizeof(float)) {
      std::reverse(bytes.begin() + static_cast<std::ptrdiff_t>(i),
                   bytes.begin() + static_cast<std::ptrdiff_t>(i + sizeof(float)));
    }
  }
  std::string encoded(bytes.size() / 3 * 4 + 8, '\0');
  const int size =
      EVP_EncodeBlock(reinterpret_cast<unsigned char*>(encoded.data()),
                      reinterpret_cast<const unsigned char*>(bytes.data()), static_cast<int>(bytes.size()));
  encoded.resize(static_cast<std::size_t>(size));
  return "\"" + encoded + "\"";
}

}  // namespace

std::string_view to_string(Trouble trouble) {
  for (const NamedTrouble& named : kTroubles) {
    if (named.trouble == trouble) {
      return named.name;
    }
  }
  return "unknown";
}

std::optional<Trouble> parse_trouble(std::string_view name) {
  for (const NamedTrouble& named : kTroubles) {
    if (named.name == name) {
      return named.trouble;
    }
  }
  return std::nullopt;
}

std::vector<Trouble> passing_troubles() {
  return {Trouble::kRateLimit, Trouble::kBusy,  Trouble::kInternalError, Trouble::kBadGateway, Trouble::kBrokenJson,
          Trouble::kHtml,      Trouble::kZero,  Trouble::kWrongCount,    Trouble::kWrongOrder, Trouble::kWrongDimension,
          Trouble::kNan,       Trouble::kEmpty, Trouble::kTruncated,     Trouble::kGarbage,    Trouble::kReset};
}

std::vector<float> vector_of(std::string_view text, std::size_t dimension) {
  const TextHash hash = hash_text(text);
  std::uint64_t state = 0;
  std::memcpy(&state, hash.data(), sizeof(state));
  std::vector<float> vector(dimension);
  double square = 0;
  for (float& value : vector) {
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    value = static_cast<float>(static_cast<double>(state >> 40) / static_cast<double>(1 << 24) - 0.5);
    square += static_cast<double>(value) * value;
  }
  for (float& value : vector) {
    value = static_cast<float>(value / std::sqrt(square));
  }
  return vector;
}

std::optional<Asked> read_question(const std::string& body, Play play) {
  simdjson::dom::parser parser;
  simdjson::dom::object object;
  if (parser.parse(body).get(object) != simdjson::SUCCESS) {
    return std::nullopt;
  }
  Asked asked;
  std::string_view text;
  if (object["model"].get(text) == simdjson::SUCCESS) {
    asked.model = text;
  }
  if (object["encoding_format"].get(text) == simdjson::SUCCESS) {
    asked.base64 = text == "base64";
    asked.any_format = true;
  }
  std::uint64_t dimensions = 0;
  if (object["dimensions"].get(dimensions) == simdjson::SUCCESS) {
    asked.dimensions = dimensions;
  }
  const char* const member = play == Play::kOldOllama ? "prompt" : play == Play::kTei ? "inputs" : "input";
  simdjson::dom::element input;
  if (object[member].get(input) != simdjson::SUCCESS) {
    return std::nullopt;
  }
  simdjson::dom::array list;
  if (input.get(list) == simdjson::SUCCESS) {
    for (const auto item : list) {
      if (item.get(text) != simdjson::SUCCESS) {
        return std::nullopt;
      }
      asked.texts.emplace_back(text);
    }
  } else if (input.get(text) == simdjson::SUCCESS) {
    asked.texts.emplace_back(text);
  } else {
    return std::nullopt;
  }
  return asked;
}

std::string route_of(const ServerOptions& options) {
  switch (options.play) {
    case Play::kOllama: return "/api/embed";
    case Play::kOldOllama: return "/api/embeddings";
    case Play::kOpenAi: return "/v1/embeddings";
    case Play::kAzure: return "/openai/deployments/" + options.model + "/embeddings";
    case Play::kTei: return "/embed";
  }
  return "/";
}

std::string error_json(Play play, std::string_view message, std::string_view code) {
  switch (play) {
    case Play::kOllama:
    case Play::kOldOllama: return fmt::format(R"({{"error":"{}"}})", message);
    case Play::kTei: return fmt::format(R"({{"error":"{}","error_type":"{}"}})", message, code);
    case Play::kOpenAi:
    case Play::kAzure: break;
  }
  return fmt::format(R"({{"error":{{"message":"{}","type":"invalid_request_error","param":null,"code":"{}"}}}})",
                     message, code);
}

std::string vectors_json(const ServerOptions& options, const Asked& asked, Trouble trouble) {
  std::size_t dimension = asked.dimensions != 0 ? asked.dimensions : options.dimension;
  dimension += trouble == Trouble::kWrongDimension ? 1 : 0;
  std::vector<std::string> vectors;
  std::size_t tokens = 0;
  for (std::size_t i = 0; i < asked.texts.size(); ++i) {
    const std::string_view text = asked.texts[i];
    std::vector<float> vector =
        vector_of(options.reads_bytes != 0 ? text.substr(0, options.reads_bytes) : text, dimension);
    tokens += asked.texts[i].size() / 4 + 1;
    const bool last = i + 1 == asked.texts.size();
    if (trouble == Trouble::kNan && last) {
      vector.back() = std::nanf("");
    }
    if (trouble == Trouble::kZero && last) {
      std::fill(vector.begin(), vector.end(), 0.0F);
    }
    if (options.play == Play::kOldOllama) {
      std::transform(vector.begin(), vector.end(), vector.begin(), [](float value) { return value * 3; });
    }
    vectors.push_back(asked.base64 && !options.arrays_only ? base64(vector, options.base64_of) : json_numbers(vector));
  }
  const bool open_ai = options.play == Play::kOpenAi || options.play == Play::kAzure;
  if (trouble == Trouble::kWrongCount || (trouble == Trouble::kWrongOrder && !open_ai)) {
    vectors.pop_back();
  }
  if (options.one_vector) {
    vectors.resize(1);
  }
  if (trouble == Trouble::kEmpty) {
    vectors.clear();
  }
  if (options.play == Play::kOldOllama) {
    return fmt::format(R"({{"embedding":{}}})", vectors.empty() ? "[]" : vectors[0]);
  }
  if (!open_ai) {
    const std::string list = fmt::format("[{}]", fmt::join(vectors, ","));
    return options.play == Play::kTei
               ? list
               : fmt::format(R"({{"model":"{}","embeddings":{},"total_duration":1,"prompt_eval_count":{}}})",
                             options.model, list, tokens);
  }
  // Last first: the order is the index's, not the position's.
  std::string list;
  for (std::size_t i = vectors.size(); i-- > 0;) {
    const std::size_t index = trouble == Trouble::kWrongOrder || options.same_index ? 0 : i;
    const std::string said = options.omits_zero && index == 0 ? "" : fmt::format(R"(,"index":{})", index);
    list += fmt::format(R"({}{{"object":"embedding","embedding":{}{}}})", list.empty() ? "" : ",", vectors[i], said);
  }
  if (trouble == Trouble::kWrongOrder && vectors.size() == 1) {
    list.clear();  // of one there is no order: none is answered
  }
  return fmt::format(R"({{"object":"list","data":[{}],"model":"{}","usage":{{"prompt_tokens":{},"total_tokens":{}}}}})",
                     list, options.answering_model.empty() ? options.model : options.answering_model, tokens, tokens);
}

}  // namespace embedjobs::test
