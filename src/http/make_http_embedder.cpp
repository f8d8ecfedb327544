// Options become an embedder, or one line that says which of them is wrong.
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>

#include "http/http_embedder.hpp"

namespace embedjobs {
namespace {

constexpr std::size_t kMaxDimension = 65536;
constexpr std::size_t kMaxPrefixBytes = 4096;
constexpr std::size_t kLongestCodePoint = 4;
constexpr const char* kKeyVariable = "EMBEDJOBS_API_KEY";

std::string trimmed(std::string value) {
  constexpr std::string_view kBlank = " \t\r\n";
  value.erase(value.find_last_not_of(kBlank) + 1);
  value.erase(0, value.find_first_not_of(kBlank));
  return value;
}

Status wrong(std::string message) {
  return {Code::kInvalidArgument, std::move(message)};
}

Status check_numbers(const HttpEmbedderOptions& options) {
  if (options.dimension > kMaxDimension || options.request_dimensions > kMaxDimension) {
    return wrong(fmt::format("vectors have 1 to {} dimensions", kMaxDimension));
  }
  if (options.dimension != 0 && options.request_dimensions != 0 && options.dimension != options.request_dimensions) {
    return wrong("what is asked for with `dimensions` is what vectors must have: give one of them");
  }
  if (options.input_bytes != 0 && options.input_bytes < kLongestCodePoint) {
    return wrong(fmt::format("input_bytes is at least {}, the bytes of one character", kLongestCodePoint));
  }
  if (options.connect_timeout <= Duration(0) || options.stall_timeout < Duration(0)) {
    return wrong("the time to connect must be positive, the time of a stall must not be negative");
  }
  return {};
}

// libcurl would say so at every call.
Status check_ca_file(const std::string& path) {
  std::ifstream file(path);
  if (path.empty() || (file && file.peek() != std::ifstream::traits_type::eof())) {
    return {};
  }
  return wrong(fmt::format(
      "ca_file '{}' can't be read or is empty; name a file of PEM certificates, or leave it out for the system's",
      path));
}

Status check_options(const HttpEmbedderOptions& options) {
  const bool tei = options.kind == ProviderKind::kTei;
  if (options.model.empty() && !tei) {
    return wrong(fmt::format("{} needs the name of a model", to_string(options.kind)));
  }
  if (!options.model.empty() && !validate(Space{options.model, 1, {}}).ok()) {
    return wrong("a model's name is 1 to 256 bytes without control characters and '?'");
  }
  if (options.azure && (options.kind != ProviderKind::kOpenAi || options.url.empty() || options.api_version.empty())) {
    return wrong("Azure is asked as openai:MODEL@https://NAME.openai.azure.com, with api_version");
  }
  for (const auto& prefix : {options.document_prefix, options.query_prefix}) {
    if (prefix && prefix->size() > kMaxPrefixBytes) {
      return wrong(fmt::format("a prefix is at most {} bytes", kMaxPrefixBytes));
    }
  }
  if (Status status = check_ca_file(options.ca_file); !status.ok()) {
    return status;
  }
  return check_numbers(options);
}

}  // namespace

Secret::Secret(std::string value) {
  if (value = trimmed(std::move(value)); !value.empty()) {
    malformed_ = std::any_of(value.begin(), value.end(),
                             [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
    source_ = [value = std::move(value)] { return value; };
  }
}

Secret::Secret(std::function<std::string()> source) : source_(std::move(source)) {}

std::string Secret::reveal() const {
  return source_ ? trimmed(source_()) : std::string();
}

Result<std::shared_ptr<Embedder>> make_http_embedder(const HttpEmbedderOptions& options) {
  if (Status status = check_options(options); !status.ok()) {
    return status;
  }
  Result<http::Endpoint> endpoint = http::make_endpoint(options);
  if (!endpoint.ok()) {
    return endpoint.status();
  }
  HttpEmbedderOptions own = options;
  if (const char* const key = std::getenv(kKeyVariable); own.key.empty() && own.environment_key && key != nullptr) {
    own.key = Secret(std::string(key));
  }
  if (own.key.malformed()) {
    return wrong("the key holds a line break or another control character: give it without");
  }
  return std::shared_ptr<Embedder>(std::make_shared<http::HttpEmbedder>(std::move(own), std::move(endpoint).value()));
}

}  // namespace embedjobs
