// The embedder itself: asks, decides, holds what it has learned.
#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "embedjobs/http.hpp"
#include "embedjobs/provider_health.hpp"
#include "http/decision.hpp"
#include "http/endpoint.hpp"
#include "http/providers.hpp"
#include "http/request.hpp"
#include "http/response.hpp"
#include "http/transport.hpp"
#include "http/verdict.hpp"

namespace embedjobs::http {

class HttpEmbedder final : public Embedder, public HealthCheck {
 public:
  using Now = std::chrono::steady_clock::time_point (*)();
  /// `now`: for tests of what takes minutes.
  HttpEmbedder(HttpEmbedderOptions options, Endpoint endpoint, Now now = &std::chrono::steady_clock::now);
  Result<Space> space(const CallContext& context) override;
  [[nodiscard]] bool knows_space() const override { return identity() && dimension_.load() != 0; }
  bool adopt(const Space& recorded) override;
  Result<Embeddings> embed(std::span<const std::string_view> texts, const CallContext& context) override;
  [[nodiscard]] EmbedderLimits limits() const override;
  [[nodiscard]] std::string provider() const override;
  ProviderHealth check(const CallContext& context) override;
  ProviderHealth check_closely(const CallContext& context) override;

 private:
  static constexpr std::string_view kHarmlessText = "embedjobs";     // no model has trouble with it
  static constexpr Duration kSpaceLimit = std::chrono::seconds(30);  // for a caller that sets none

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
    NumberFormat format = NumberFormat::kUnsaid;  ///< That was asked for.
    std::string what;                             ///< What was seen, for a person.
    Duration wait{0};
    std::optional<std::uint64_t> prompt_tokens;
    [[nodiscard]] bool ok() const { return rule == nullptr; }
  };

  static Terms terms_of(const CallContext& context, Duration at_most = Duration(0));
  Attempt ask(Call& call, std::span<const std::string_view> texts, const Terms& terms, Matrix& vectors);
  Attempt ask_once(Call& call, std::span<const std::string_view> texts, const Terms& terms, bool old_route,
                   Matrix& vectors);
  Attempt ask_one_by_one(Call& call, std::span<const std::string_view> texts, const Terms& terms, Matrix& vectors);
  Attempt ask_plainly(Call& call, std::span<const std::string_view> texts, const Terms& terms, Matrix& vectors);
  Attempt ask_harmless(Call& call, const Terms& terms, Matrix& vectors);
  Attempt examine(Call& call, std::span<const std::string_view> texts, const Terms& terms, Attempt first,
                  Matrix& vectors);
  Attempt of_provider(Attempt attempt);
  void clear_verdict();
  bool make_plainer(const Attempt& attempt);
  Attempt ensure_identity(Call& call, const Terms& terms);
  Attempt hold_dimension(const Matrix& vectors);
  Exchange send(Call& call, const std::string& url, const Terms& terms, std::size_t body_limit, std::string& key);
  Attempt judge(Call& call, const Exchange& exchange, const Reading& reading, std::string_view key) const;
  [[nodiscard]] Attempt judge_contents(const ErrorBody& error, const std::string& words, const Reading& reading,
                                       std::string_view key) const;
  Attempt fault(Fault fault, const std::string& detail) const;
  void note_model(const std::string& answered, std::string_view key);
  void note_key(std::string_view key);
  void warn(std::string warning);
  std::vector<std::string> take_warnings();
  void measure(Call& call, const Terms& terms, ProviderHealth& health);
  [[nodiscard]] std::optional<Identity> identity() const;
  [[nodiscard]] std::string advice_of(const Attempt& attempt) const;
  [[nodiscard]] Status status_of(const Attempt& attempt) const;

  const HttpEmbedderOptions options_;
  const Endpoint endpoint_;
  const TransportOptions transport_;
  std::atomic<std::size_t> dimension_;
  std::atomic<bool> old_route_ = false;
  std::atomic<NumberFormat> format_;
  const Now now_;
  mutable std::mutex mutex_;
  std::optional<Identity> identity_;
  Verdict verdict_;
  bool model_noted_ = false, key_noted_ = false;
  std::vector<std::string> warnings_;  // that nobody has taken yet
  std::vector<std::unique_ptr<Call>> idle_;
};

}  // namespace embedjobs::http
