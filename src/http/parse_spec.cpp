// "ollama:nomic-embed-text@http://gpu:11434?concurrency=2" becomes options.
#include <fmt/format.h>

#include <array>
#include <charconv>
#include <set>

#include "core/values/utf8.hpp"
#include "embedjobs/duration.hpp"
#include "embedjobs/http.hpp"

namespace embedjobs {
namespace {

constexpr std::string_view kForms =
    "expected ollama:MODEL[@URL], openai:MODEL[@URL] or tei[:MODEL][@URL], with ?option=value&...";

// Values are not repeated: one of them may be a key in the wrong place.
Status malformed(std::string_view why) {
  return {Code::kInvalidArgument, fmt::format("embedder: {}; {}", why, kForms)};
}

int hex_digit(char c) {
  return c >= '0' && c <= '9'   ? c - '0'
         : c >= 'a' && c <= 'f' ? c - 'a' + 10
         : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                : -1;
}

/// %20 is a blank; what is not two hex digits stays as it is.
std::string percent_decoded(std::string_view text) {
  std::string result;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const int high = text[i] == '%' && i + 2 < text.size() ? hex_digit(text[i + 1]) : -1;
    const int low = high >= 0 ? hex_digit(text[i + 2]) : -1;
    if (low >= 0) {
      result += static_cast<char>(high * 16 + low);
      i += 2;
    } else {
      result += text[i];
    }
  }
  return result;
}

struct NumberOption {
  std::string_view name;
  std::size_t HttpEmbedderOptions::*member;
  std::size_t most;
};
constexpr std::array<NumberOption, 8> kNumbers{{
    {"dimensions", &HttpEmbedderOptions::request_dimensions, 65536},
    {"dimension", &HttpEmbedderOptions::dimension, 65536},
    {"concurrency", &HttpEmbedderOptions::concurrent_calls, 256},
    {"batch", &HttpEmbedderOptions::batch_texts, 1'000'000},
    {"batch_bytes", &HttpEmbedderOptions::batch_bytes, std::size_t{1} << 30},
    {"batch_tokens", &HttpEmbedderOptions::batch_tokens, std::size_t{1} << 30},
    {"input_bytes", &HttpEmbedderOptions::input_bytes, std::size_t{1} << 30},
    {"response_bytes", &HttpEmbedderOptions::response_bytes, std::size_t{1} << 32},
}};

struct TextOption {
  std::string_view name;
  std::string HttpEmbedderOptions::*member;
};
constexpr std::array<TextOption, 4> kTexts{{
    {"deployment", &HttpEmbedderOptions::deployment},
    {"api_version", &HttpEmbedderOptions::api_version},
    {"ca_file", &HttpEmbedderOptions::ca_file},
    {"proxy", &HttpEmbedderOptions::proxy},
}};

Status set_number(const NumberOption& option, std::string_view value, HttpEmbedderOptions& options) {
  std::size_t number = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
  if (error != std::errc() || end != value.data() + value.size() || number == 0 || number > option.most) {
    return malformed(fmt::format("{} is a number from 1 to {}", option.name, option.most));
  }
  options.*option.member = number;
  return {};
}

Status set_word(std::string_view name, const std::string& value, HttpEmbedderOptions& options) {
  if (name == "document_prefix") {
    options.document_prefix = value;
  } else if (name == "query_prefix") {
    options.query_prefix = value;
  } else if (name == "api" && (value == "azure" || value == "openai")) {
    options.azure = value == "azure";
  } else if (name == "encoding" && (value == "base64" || value == "float")) {
    options.base64 = value == "base64";
  } else if (name == "api") {
    return malformed("api is openai or azure");
  } else if (name == "encoding") {
    return malformed("encoding is base64 or float");
  } else if (name.find("key") != std::string_view::npos || name.find("token") != std::string_view::npos) {
    return malformed("a key has no place here: set EMBEDJOBS_API_KEY");
  } else {
    return malformed(fmt::format("there is no option '{}'", name.substr(0, 32)));
  }
  return {};
}

Status set_option(std::string_view name, std::string_view text, HttpEmbedderOptions& options) {
  const std::string value = percent_decoded(text);
  if (!core::is_valid_utf8(value)) {
    return malformed(fmt::format("the value of '{}' is not UTF-8", name.substr(0, 32)));
  }
  for (const NumberOption& option : kNumbers) {
    if (option.name == name) {
      return set_number(option, value, options);
    }
  }
  for (const TextOption& option : kTexts) {
    if (option.name == name) {
      options.*option.member = value;
      return value.empty() ? malformed(fmt::format("{} is empty", name)) : Status();
    }
  }
  if (name == "connect_timeout") {
    const Result<Duration> limit = parse_duration(value);
    options.connect_timeout = limit.ok() ? *limit : Duration(0);
    return limit.ok() && *limit > Duration(0) ? Status() : malformed("connect_timeout is a duration, for example 10s");
  }
  return set_word(name, value, options);
}

Status set_options(std::string_view text, HttpEmbedderOptions& options) {
  std::set<std::string_view> seen;
  while (!text.empty()) {
    const std::string_view option = text.substr(0, text.find('&'));
    text.remove_prefix(std::min(text.size(), option.size() + 1));
    const auto equals = option.find('=');
    if (equals == std::string_view::npos) {
      return malformed("an option is name=value");
    }
    const std::string_view name = option.substr(0, equals);
    if (!seen.insert(name).second) {
      return malformed(fmt::format("'{}' is given twice", name.substr(0, 32)));
    }
    if (Status status = set_option(name, option.substr(equals + 1), options); !status.ok()) {
      return status;
    }
  }
  return {};
}

}  // namespace

Result<HttpEmbedderOptions> parse_http_embedder(std::string_view spec) {
  const auto question = spec.find('?');
  const std::string_view head = spec.substr(0, question);
  const std::string_view name = head.substr(0, head.find_first_of(":@"));
  HttpEmbedderOptions options;
  bool known = false;
  for (const ProviderKind kind : {ProviderKind::kOllama, ProviderKind::kOpenAi, ProviderKind::kTei}) {
    if (to_string(kind) == name) {
      options.kind = kind;
      known = true;
    }
  }
  if (!known) {
    return malformed("there is no such provider");
  }
  std::string_view rest = head.substr(name.size());
  // A model's name holds ':' and '/', and no '@'.
  const auto at = rest.find('@');
  if (rest.starts_with(':')) {
    options.model = rest.substr(1, at == std::string_view::npos ? at : at - 1);
    if (options.model.empty()) {
      return malformed("the model's name is empty");
    }
  }
  if (at != std::string_view::npos) {
    options.url = rest.substr(at + 1);
    if (!options.url.starts_with("http://") && !options.url.starts_with("https://")) {
      return malformed("behind '@' stands a URL that begins with http:// or https://");
    }
  }
  if (question != std::string_view::npos) {
    if (Status status = set_options(spec.substr(question + 1), options); !status.ok()) {
      return status;
    }
  }
  return options;
}

}  // namespace embedjobs
