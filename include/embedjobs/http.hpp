// Embedders over HTTP: Ollama, everything that speaks OpenAI's API, Text Embeddings Inference.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <iosfwd>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "embedjobs/embedder.hpp"

namespace embedjobs {

enum class ProviderKind : std::int32_t { kOllama = 0, kOpenAi = 1, kTei = 2 };
/// "ollama", "openai", "tei".
std::string_view to_string(ProviderKind kind) noexcept;

/// A key. It has no way to be printed; reveal() is called where the request is made, and nowhere else.
class Secret {
 public:
  Secret() = default;
  explicit Secret(std::string value);
  /// For keys that rotate: `source` is called before every request, from library threads. If it throws, the request
  /// fails with kRetry. The text of the exception is not repeated.
  explicit Secret(std::function<std::string()> source);
  [[nodiscard]] bool empty() const noexcept { return !source_; }
  /// It was given as a string, and holds what no key can: a line break or another control character.
  [[nodiscard]] bool malformed() const noexcept { return malformed_; }
  /// The value now, without white space around it.
  [[nodiscard]] std::string reveal() const;
  friend std::ostream& operator<<(std::ostream&, const Secret&) = delete;

 private:
  std::function<std::string()> source_;
  bool malformed_ = false;
};

/// Zero, or empty, means "as the provider's table says" wherever nothing else is written.
struct HttpEmbedderOptions {
  ProviderKind kind = ProviderKind::kOllama;
  /// The provider's name for the model. May be empty for TEI: the server is then asked for it.
  std::string model;
  /// http://HOST[:PORT][/PATH] or https://...; no user name or password. Plain http is used only where the URL says
  /// so. Empty: http://127.0.0.1:11434 for Ollama, https://api.openai.com/v1 for OpenAI, http://127.0.0.1:8080 for TEI.
  /// For OpenAI-compatible servers a path is the base of the API ("/v1", "/openai/v1"); without one it is "/v1".
  std::string url;
  /// The dimension that vectors must have. Zero: that of the first answer. After it no other is accepted.
  std::size_t dimension = 0;
  /// Asks the provider for shorter vectors, where the model can make them. Vectors must then have this dimension.
  std::size_t request_dimensions = 0;
  /// Put before each text. Unset: nomic-embed-text and e5 models get their usual prefixes. Empty: no prefix. Prefixes
  /// are part of the space.
  std::optional<std::string> document_prefix, query_prefix;
  /// Empty: the environment variable EMBEDJOBS_API_KEY, if it is set.
  Secret key;
  /// False: no key is taken from the environment. For an address that nobody named, such as one that a database
  /// remembers.
  bool environment_key = true;
  /// Azure's way: the header api-key, and /openai/deployments/DEPLOYMENT/embeddings?api-version=VERSION. OpenAI only.
  bool azure = false;
  std::string deployment;  ///< Empty: the model's name.
  std::string api_version;
  /// OpenAI only: ask for base64, which is a third of the bytes. Arrays are understood whatever was asked. A server
  /// that refuses base64 is asked for arrays from then on.
  bool base64 = true;
  std::size_t concurrent_calls = 0;
  std::size_t batch_texts = 0;
  std::size_t batch_bytes = 0;
  std::size_t batch_tokens = 0;
  std::size_t input_bytes = 0;  ///< At least 4, the longest character.
  Duration connect_timeout = std::chrono::seconds(10);
  /// An answer that has begun must bring 64 bytes per second, on average over this time. The time before the first byte
  /// does not count.
  Duration stall_timeout = std::chrono::seconds(15);
  /// The largest answer that is read, decompressed. Zero: the most that the vectors of one call can need.
  std::size_t response_bytes = 0;
  std::string ca_file;  ///< PEM certificates to trust instead of the system's; the file must be there when the embedder
                        ///< is made.
  std::string proxy;    ///< URL of a proxy. Empty: none; proxies of the environment are not used.
};

/// Makes an embedder that also implements HealthCheck. Nothing is sent before the first call. kInvalidArgument says
/// which option is wrong.
///
/// Its space: model (Ollama's without ":latest"), dimension, and the prefixes where there are any. The URL is not part
/// of the space. Thread safety: as Embedder says. Each concurrent call keeps a connection of its own alive. Not usable
/// after fork.
Result<std::shared_ptr<Embedder>> make_http_embedder(const HttpEmbedderOptions& options);

/// Reads "ollama:MODEL[@URL][?OPTIONS]", "openai:MODEL[@URL][?OPTIONS]", "tei[:MODEL][@URL][?OPTIONS]";
/// docs/providers.md lists the options. A key is never part of it. kInvalidArgument says what is wrong, without
/// repeating what may be secret.
Result<HttpEmbedderOptions> parse_http_embedder(std::string_view spec);

}  // namespace embedjobs
