// The embedder itself: asks, decides, holds what it has learned.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "embedjobs/http.hpp"
#include "embedjobs/provider_health.hpp"
#include "http/decision.hpp"
#include "http/endpoint.hpp"
#include "http/providers.hpp"
#include "http/response.hpp"
#include "http/transport.hpp"

namespace embedjobs::http {

class HttpEmbedder final : public Embedder, public HealthCheck {
 public:
  HttpEmbedder(HttpEmbedderOptions options, Endpoint endpoint);
  Result<Space> space(const CallContext& context) override;
  [[nodiscard]] bool knows_space() const override { return identity() && dimension_.load() != 0; }
  bool adopt(const Space& recorded) override;
  Result<Embeddings> embed(std::span<const std::string_view> texts, const CallContext& context) override;
  [[nodiscard]] EmbedderLimits limits() const override;
  [[nodiscard]] std::string provider() const override;
  ProviderHealth check(const CallContext& context) override;

 private:
  using Deadline = std::optional<std::chrono::steady_clock::time_point>;
  /// What one caller needs at a time.
  struct Call {
    explicit Call(const TransportOptions& options) : channel(options) {}
    Channel channel;
    ResponseParser parser;
    Request request;
  };
  class BorrowedCall;
  /// The conditions of a call, with a time to be back at.
  struct Terms {
    std::stop_token stop;
    Deadline deadline;
    Purpose purpose = Purpose::kDocument;
  };
  /// Model and prefixes, once they are known.
  struct Identity {
    std::string model;
    Prefixes prefixes;
  };
  /// How asking went. `rule` null: `vectors` are there.
  struct Attempt {
    const Rule* rule = nullptr;
    Action action = Action::kRetry;  ///< The rule's, unless something is known that makes it another.
    int status = 0;
    std::string what;  ///< What was seen, for a person.
    Duration wait{0};
    std::optional<std::uint64_t> prompt_tokens;
    [[nodiscard]] bool ok() const { return rule == nullptr; }
  };

  static Terms terms_of(const CallContext& context, Duration at_most = Duration(0));
  Attempt ask(Call& call, std::span<const std::string_view> texts, const Terms& terms, Matrix& vectors);
  Attempt ask_once(Call& call, std::span<const std::string_view> texts, const Terms& terms, bool old_route,
                   Matrix& vectors);
  Attempt ask_one_by_one(Call& call, std::span<const std::string_view> texts, const Terms& terms, Matrix& vectors);
  Attempt examine(Call& call, std::string_view text, const Terms& terms, Attempt first, Matrix& vectors);
  Attempt ensure_identity(Call& call, const Terms& terms);
  Attempt hold_dimension(const Matrix& vectors);
  Exchange send(Call& call, const std::string& url, const Terms& terms, std::size_t body_limit, std::string& key);
  Attempt judge(Call& call, const Exchange& exchange, const Reading& reading, std::string_view key) const;
  Attempt fault(Fault fault, const std::string& detail) const;
  [[nodiscard]] std::optional<Identity> identity() const;
  [[nodiscard]] std::string advice_of(const Attempt& attempt) const;
  [[nodiscard]] Status status_of(const Attempt& attempt) const;

  const HttpEmbedderOptions options_;
  const Endpoint endpoint_;
  const TransportOptions transport_;
  std::atomic<std::size_t> dimension_;
  std::atomic<bool> old_route_ = false;
  std::atomic<bool> base64_;
  mutable std::mutex mutex_;
  std::optional<Identity> identity_;
  std::vector<std::unique_ptr<Call>> idle_;
};

}  // namespace embedjobs::http
