// Is the provider there, and if not, what is to be done? An optional interface beside Embedder.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "embedjobs/embedder.hpp"

namespace embedjobs {

enum class HealthState : std::int32_t {
  kOk = 0,
  kUnreachable = 1,   ///< Nothing answers at its address, or nobody whose certificate is trusted.
  kUnauthorised = 2,  ///< It wants a key, or another one.
  kModelMissing = 3,
  kLimited = 4,         ///< It asks for a pause: rate limit, still loading, busy.
  kQuotaExhausted = 5,  ///< It answers again when somebody has paid.
  kFaulty = 6,          ///< It answers, but not as it should.
};
/// "ok", "unreachable", "unauthorised", "model_missing", "limited", "quota_exhausted", "faulty".
std::string_view to_string(HealthState state) noexcept;

struct ProviderHealth {
  std::string kind;           ///< "ollama", "openai", "tei", or what a host calls its own.
  std::string model;          ///< Empty while it is not known.
  std::string url;            ///< Without anything secret.
  std::size_t dimension = 0;  ///< Zero while it is not known.
  HealthState state = HealthState::kOk;
  std::string detail;  ///< What was seen, one line; empty when ok.
  std::string advice;  ///< What to do, one line; may be empty.
  /// What is not wrong, but should be known: another model answers, a key is too short to be removed from messages.
  std::vector<std::string> warnings;

  // What check_closely() has measured. Empty and zero: not known.
  std::string batches;     ///< What two texts in one call become.
  std::string long_texts;  ///< What becomes of a text that is long: "cut unseen" is what nobody would notice.
  Duration short_time{0};  ///< Of a call with one short text.
  Duration long_time{0};   ///< Of the call with a long one, of `long_bytes`.
  std::size_t long_bytes = 0;
};

/// An embedder that can report its health also implements this.
class HealthCheck {
 public:
  virtual ~HealthCheck() = default;
  /// Embeds one short text and says how that went. Thread-safe; counts as one call of the embedder.
  virtual ProviderHealth check(const CallContext& context) = 0;
  /// The same, and what it does with two texts of different length: a few calls, of some kilobytes. Without an own
  /// implementation: check().
  virtual ProviderHealth check_closely(const CallContext& context) { return check(context); }
};

}  // namespace embedjobs
