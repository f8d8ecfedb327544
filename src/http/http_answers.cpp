// What the embedder makes of an exchange that brought no vectors, and how it says so.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "core/values/utf8.hpp"
#include "http/clean_text.hpp"
#include "http/http_embedder.hpp"
#include "http/retry_after.hpp"

namespace embedjobs::http {
namespace {

constexpr std::size_t kWordsBytes = 200;  // of what a provider wrote

/// What a provider did, as the end of a sentence that begins with its name.
std::string_view describe(Fault fault) {
  switch (fault) {
    case Fault::kNone: return "answers";
    case Fault::kCancelled: return "was not waited for: the call was cancelled";
    case Fault::kTimeout: return "did not answer within the time limit";
    case Fault::kUnreachable: return "is not reachable";
    case Fault::kTls: return "has no connection that can be trusted";
    case Fault::kStalled: return "answers too slowly, fewer than 64 bytes a second";
    case Fault::kConnectionLost: return "broke the connection";
    case Fault::kTruncated: return "ended its answer early";
    case Fault::kOversized: return "answers more than is read";
    case Fault::kNotHttp: return "does not speak HTTP";
    case Fault::kLocal: return "could not be asked";
    case Fault::kBrokenJson: return "answered broken JSON";
    case Fault::kWrongShape: return "answered something else than vectors";
    case Fault::kErrorInside: return "answered an error instead of vectors";
    case Fault::kWebPage: return "answered a web page";
    case Fault::kForeignBase64: return "answered base64 that can't be read";
    case Fault::kEmptyAnswer: return "answered nothing";
    case Fault::kWrongCount: return "answered another number of vectors";
    case Fault::kWrongOrder: return "answered vectors whose order can't be told";
    case Fault::kWrongDimension: return "answered vectors of another dimension";
    case Fault::kNotFinite: return "answered a vector that is not finite";
    case Fault::kZeroVector: return "answered a vector of zeros";
  }
  return "failed";
}

struct CodeStatus {
  std::string_view code;
  int status;
};
constexpr std::array<CodeStatus, 8> kCodes{{{"insufficient_quota", 429},
                                            {"insufficient_balance", 429},
                                            {"exceeded_current_quota_error", 429},
                                            {"budget_exceeded", 429},
                                            {"rate_limit_exceeded", 429},
                                            {"invalid_api_key", 401},
                                            {"model_not_found", 404},
                                            {"context_length_exceeded", 400}}};

/// Of an error that came with 200, as some gateways write it: the status that its code means. Zero: it is not known.
struct Meaning {
  int status = 0;
  bool named = false;  ///< By a word. A number may be that of whoever stands behind the gateway.
};

Meaning meaning_of(const ErrorBody& error) {
  if (!error.json) {
    return {};
  }
  for (const CodeStatus& known : kCodes) {
    if (error.code == known.code || error.type == known.code) {
      return {known.status, true};
    }
  }
  int status = 0;
  const char* const end = error.code.data() + error.code.size();
  const auto [stop, bad] = std::from_chars(error.code.data(), end, status);
  const bool known = bad == std::errc() && stop == end && status >= 400 && status <= 599;
  return {known ? status : 0, false};
}

/// An answer of 200 without vectors may be an error in disguise; one with vectors is what it is.
bool may_hold_error(Fault fault) {
  return fault == Fault::kWrongShape || fault == Fault::kEmptyAnswer || fault == Fault::kBrokenJson;
}

std::string words_of(const ErrorBody& error, std::string_view key) {
  const std::string words = clean_text(error.message.empty() ? error.code : error.message, key, kWordsBytes);
  return !error.page ? words : words.empty() ? "a web page" : fmt::format("a web page, \"{}\"", words);
}

/// Servers name a model with its vendor, its version, or without them.
bool same_model(std::string_view asked, std::string_view answered) {
  std::string one = core::lower_ascii(asked);
  std::string other = core::lower_ascii(answered);
  if (one.size() > other.size()) {
    one.swap(other);
  }
  constexpr std::string_view kSeparators = "/-:@.";
  const bool begins = other.starts_with(one);
  const bool ends = other.ends_with(one);
  return other.size() == one.size() ? begins
         : begins                   ? kSeparators.find(other[one.size()]) != std::string_view::npos
                  : ends && kSeparators.find(other[other.size() - one.size() - 1]) != std::string_view::npos;
}

}  // namespace

HttpEmbedder::Attempt HttpEmbedder::fault(Fault fault, const std::string& detail) const {
  const Rule& rule = decide({.kind = options_.kind, .fault = fault, .status = 0, .error = {}});
  Attempt attempt;
  attempt.rule = &rule;
  attempt.action = rule.action;
  attempt.wait = rule.wait;
  attempt.what = std::string(describe(fault)) + (detail.empty() ? "" : fmt::format(" ({})", detail));
  return attempt;
}

HttpEmbedder::Attempt HttpEmbedder::judge(Call& call, const Exchange& exchange, const Reading& reading,
                                          std::string_view key) const {
  if (exchange.fault != Fault::kNone) {
    return fault(exchange.fault, clean_text(exchange.detail, key, kWordsBytes));
  }
  Evidence evidence{.kind = options_.kind, .fault = Fault::kNone, .status = exchange.status, .error = {}};
  evidence.error = read_error(call.channel.body());
  const std::string words = words_of(evidence.error, key);
  if (exchange.status == 200) {
    const Meaning meaning = may_hold_error(reading.fault) ? meaning_of(evidence.error) : Meaning{};
    evidence.status = meaning.status;
    const bool believed = meaning.named || !decide(evidence).any_status || decide(evidence).action != Action::kFail;
    if (meaning.status == 0 || !believed) {
      return judge_contents(evidence.error, words, reading, key);
    }
  }
  const Rule& rule = decide(evidence);
  Attempt attempt;
  attempt.rule = &rule;
  attempt.action = rule.action;
  attempt.status = evidence.status;
  const Duration asked =
      wait_of(exchange.headers, std::chrono::time_point_cast<Duration>(std::chrono::system_clock::now()));
  attempt.wait = asked > Duration(0) ? asked : rule.wait;
  attempt.what = fmt::format("answers HTTP {}{}{}", exchange.status, words.empty() ? "" : ": ", words);
  return attempt;
}

/// An answer of 200 that is not vectors: what it is, in its own words where it has some.
HttpEmbedder::Attempt HttpEmbedder::judge_contents(const ErrorBody& error, const std::string& words,
                                                   const Reading& reading, std::string_view key) const {
  if (may_hold_error(reading.fault) && error.page) {
    return fault(Fault::kWebPage, clean_text(error.message, key, kWordsBytes));
  }
  if (may_hold_error(reading.fault) && error.words && !words.empty()) {
    return fault(Fault::kErrorInside, words);
  }
  return fault(reading.fault, clean_text(reading.detail, key, kWordsBytes));
}

// A fault that even a harmless text meets is the provider's. It may pass: the provider pauses, which costs no job an
// attempt, until the fault has lasted so long that it is a verdict.
HttpEmbedder::Attempt HttpEmbedder::of_provider(Attempt attempt) {
  switch (attempt.action) {
    case Action::kSplitBatch:
    case Action::kCutInput:
    case Action::kRejectInput:
    case Action::kSuspectInput:
    case Action::kPlainNumbers: break;
    default: return attempt;
  }
  const HealthState health = attempt.rule->health;
  const bool sure = health == HealthState::kModelMissing || health == HealthState::kQuotaExhausted;
  const std::lock_guard lock(mutex_);
  const bool judged = verdict_.failed(attempt.rule->name, attempt.status, now_());
  attempt.action = sure || judged ? Action::kFail : Action::kPause;
  return attempt;
}

void HttpEmbedder::clear_verdict() {
  const std::lock_guard lock(mutex_);
  verdict_.clear();
}

Status HttpEmbedder::status_of(const Attempt& attempt) const {
  if (attempt.ok()) {
    return {};
  }
  const std::string advice = advice_of(attempt);
  std::string message = fmt::format("{} at {} {}{}{}", to_string(options_.kind), endpoint_.base, attempt.what,
                                    advice.empty() ? "" : "; ", advice);
  switch (attempt.action) {
    case Action::kCancel: return {Code::kCancelled, std::move(message)};
    case Action::kPause: return Status::paused(attempt.wait, std::move(message));
    case Action::kShrink: return {Code::kTimeout, std::move(message)};
    case Action::kSplitBatch: return {Code::kBatchTooLarge, std::move(message)};
    case Action::kCutInput: return {Code::kInputTooLarge, std::move(message)};
    case Action::kRejectInput:
    case Action::kSuspectInput: return {Code::kInputRejected, std::move(message)};
    case Action::kFail: return {Code::kFailed, std::move(message)};
    case Action::kRetry:
    case Action::kOldRoute:
    case Action::kPlainNumbers: break;
  }
  return {Code::kRetry, std::move(message)};
}

std::string HttpEmbedder::advice_of(const Attempt& attempt) const {
  if (!options_.environment_key && (attempt.status == 401 || attempt.status == 403)) {
    return "this address was read from the database, and no key is sent to it: name it with --embedder";
  }
  std::string advice(attempt.rule->advice);
  const auto fill = [&](std::string_view name, const std::string& value) {
    if (const auto at = advice.find(name); at != std::string::npos) {
      advice.replace(at, name.size(), value);
    }
  };
  const std::optional<Identity> who = identity();
  fill("{model}", who ? who->model : std::string("it"));
  fill("{url}", endpoint_.embed);
  return advice;
}

// --- warnings: once each

void HttpEmbedder::warn(std::string warning) {
  warnings_.push_back(fmt::format("{} at {} {}", to_string(options_.kind), endpoint_.base, warning));
}

std::vector<std::string> HttpEmbedder::take_warnings() {
  const std::lock_guard lock(mutex_);
  return std::exchange(warnings_, {});
}

void HttpEmbedder::note_model(const std::string& answered, std::string_view key) {
  const std::lock_guard lock(mutex_);
  if (model_noted_ || answered.empty() || same_model(identity_->model, answered)) {
    return;
  }
  model_noted_ = true;
  warn(
      fmt::format("was asked for the model {} and says that {} answered: if these are two models, their vectors can't "
                  "be compared",
                  identity_->model, clean_text(answered, key, kWordsBytes)));
}

void HttpEmbedder::note_key(std::string_view key) {
  const std::lock_guard lock(mutex_);
  if (!key.empty() && key.size() < kShortestSecret && !std::exchange(key_noted_, true)) {
    warn(
        fmt::format("gets a key of fewer than {} bytes: it is not removed from what the server says", kShortestSecret));
  }
}

}  // namespace embedjobs::http
