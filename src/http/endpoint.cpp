#include "http/endpoint.hpp"

#include <curl/curl.h>
#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "http/providers.hpp"

namespace embedjobs::http {
namespace {

constexpr std::size_t kMaxUrlBytes = 2048;

struct FreeUrl {
  void operator()(CURLU* url) const { curl_url_cleanup(url); }
};
using Url = std::unique_ptr<CURLU, FreeUrl>;

std::string part(const Url& url, CURLUPart which) {
  char* text = nullptr;
  if (curl_url_get(url.get(), which, &text, 0) != CURLUE_OK) {
    return {};
  }
  std::string result = text;
  curl_free(text);
  return result;
}

std::string percent_encoded(std::string_view text) {
  std::string result;
  for (const char c : text) {
    const bool plain =
        (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_';
    result += plain ? std::string(1, c) : fmt::format("%{:02X}", static_cast<unsigned>(static_cast<unsigned char>(c)));
  }
  return result;
}

Status wrong(std::string_view why) {
  return {Code::kInvalidArgument,
          fmt::format("the provider's URL {}; expected http://HOST[:PORT][/PATH] or https://...", why)};
}

/// Scheme, host, port where it is not the usual one, and path, as libcurl reads them.
Result<std::string> base_of(const std::string& text, std::string& path) {
  if (!text.starts_with("http://") && !text.starts_with("https://")) {
    return wrong("does not begin with http:// or https://");
  }
  if (text.size() > kMaxUrlBytes) {
    return wrong(fmt::format("is longer than {} bytes", kMaxUrlBytes));
  }
  const Url url(curl_url());
  if (!url || curl_url_set(url.get(), CURLUPART_URL, text.c_str(), 0) != CURLUE_OK ||
      part(url, CURLUPART_HOST).empty()) {
    return wrong("can't be read");
  }
  if (!part(url, CURLUPART_USER).empty() || !part(url, CURLUPART_PASSWORD).empty() ||
      text.find('@') != std::string::npos) {
    return wrong("holds a user name or a password, which is no place for them: set EMBEDJOBS_API_KEY");
  }
  if (!part(url, CURLUPART_QUERY).empty() || !part(url, CURLUPART_FRAGMENT).empty() ||
      text.find_first_of("?#") != std::string::npos) {
    return wrong("has a query or a fragment");
  }
  path = part(url, CURLUPART_PATH);
  while (path.ends_with('/')) {
    path.pop_back();
  }
  // Equal addresses have one spelling, for they name the provider in the store.
  const std::string scheme = part(url, CURLUPART_SCHEME);
  std::string host = part(url, CURLUPART_HOST);
  std::transform(host.begin(), host.end(), host.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  const std::string port = part(url, CURLUPART_PORT);
  const bool usual = port.empty() || port == (scheme == "https" ? "443" : "80");
  return fmt::format("{}://{}{}{}", scheme, host, usual ? "" : ":" + port, path);
}

}  // namespace

Result<Endpoint> make_endpoint(const HttpEmbedderOptions& options) {
  std::string path;
  const Result<std::string> base =
      base_of(options.url.empty() ? std::string(traits_of(options.kind).default_url) : options.url, path);
  if (!base.ok()) {
    return base.status();
  }
  Endpoint endpoint{.base = *base, .embed = {}, .old_embed = {}, .info = {}};
  switch (options.kind) {
    case ProviderKind::kOllama:
      endpoint.embed = *base + "/api/embed";
      endpoint.old_embed = *base + "/api/embeddings";
      break;
    case ProviderKind::kTei:
      endpoint.embed = *base + "/embed";
      endpoint.info = *base + "/info";
      break;
    case ProviderKind::kOpenAi:
      if (options.azure) {
        endpoint.embed = fmt::format("{}/openai/deployments/{}/embeddings?api-version={}", *base,
                                     percent_encoded(options.deployment.empty() ? options.model : options.deployment),
                                     percent_encoded(options.api_version));
      } else {
        endpoint.embed = *base + (path.empty() ? "/v1/embeddings" : path.ends_with("/embeddings") ? "" : "/embeddings");
      }
      break;
  }
  return endpoint;
}

}  // namespace embedjobs::http
