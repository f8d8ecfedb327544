#include "http/decision.hpp"

#include <algorithm>
#include <vector>

#include "core/values/utf8.hpp"

namespace embedjobs::http {
namespace {

using std::chrono::seconds;

constexpr auto kOllama = ProviderKind::kOllama;
constexpr auto kOpenAi = ProviderKind::kOpenAi;
constexpr auto kTei = ProviderKind::kTei;
constexpr auto kUnreachable = HealthState::kUnreachable;
constexpr auto kLimited = HealthState::kLimited;
constexpr auto kMissing = HealthState::kModelMissing;
constexpr auto kKey = HealthState::kUnauthorised;
constexpr auto kQuota = HealthState::kQuotaExhausted;

constexpr std::string_view kSetKey = "set EMBEDJOBS_API_KEY to a key that may use it";
constexpr std::string_view kSpent =
    "the budget is spent, and waiting does not bring it back: raise it, or give another key";
constexpr std::string_view kNoModel = "the server has no model {model}: check its name, or load it there";
constexpr std::string_view kPay =
    "the quota is exhausted, and waiting does not bring it back: check the account's plan and billing";

Rule fault_rule(std::string_view name, Fault fault, Action action, HealthState health = HealthState::kFaulty,
                std::string_view advice = {}) {
  return {.name = name, .fault = fault, .action = action, .health = health, .advice = advice};
}
Rule text_rule(std::string_view name, int from, int to, std::string_view marker, Action action) {
  return {.name = name, .status_from = from, .status_to = to, .marker = marker, .action = action};
}
Rule status_rule(std::string_view name, int from, int to, Action action, HealthState health = HealthState::kFaulty,
                 std::string_view advice = {}) {
  return {.name = name,
          .status_from = from,
          .status_to = to,
          .action = action,
          .health = health,
          .advice = advice,
          .any_status = true};
}
Rule code_rule(std::string_view name, std::string_view code, Action action, HealthState health,
               std::string_view advice) {
  return {.name = name,
          .status_from = 400,
          .status_to = 429,
          .code = code,
          .action = action,
          .health = health,
          .advice = advice};
}
// A message may repeat an input, and say anything: a harmless text tells.
Rule model_rule(std::string_view name, std::string_view marker) {
  return {.name = name,
          .status_from = 400,
          .status_to = 422,
          .json = true,
          .marker = marker,
          .action = Action::kSuspectInput,
          .health = kMissing,
          .advice = kNoModel};
}

// table: one row a rule, the first that fits counts
std::vector<Rule> make_rules() {
  const auto too_long = [](std::string_view name, std::string_view marker) {
    return text_rule(name, 400, 500, marker, Action::kCutInput);
  };
  const auto too_many = [](std::string_view name, std::string_view marker) {
    return text_rule(name, 400, 500, marker, Action::kSplitBatch);
  };
  return {
      // No answer.
      fault_rule("cancelled", Fault::kCancelled, Action::kCancel),
      {.name = "ollama unreachable",
       .kind = kOllama,
       .fault = Fault::kUnreachable,
       .action = Action::kPause,
       .health = kUnreachable,
       .advice = "start it with `ollama serve`, or name another embedder with --embedder",
       .wait = seconds(5)},
      {.name = "tei unreachable",
       .kind = kTei,
       .fault = Fault::kUnreachable,
       .action = Action::kPause,
       .health = kUnreachable,
       .advice = "start text-embeddings-router there, or name another embedder with --embedder",
       .wait = seconds(5)},
      fault_rule("unreachable", Fault::kUnreachable, Action::kPause, kUnreachable, "check the URL and the network"),
      fault_rule("tls", Fault::kTls, Action::kPause, kUnreachable,
                 "the certificate must be valid for this host, and its authority one of the system's or in ca_file"),
      fault_rule("timeout", Fault::kTimeout, Action::kShrink),
      fault_rule("stalled", Fault::kStalled, Action::kRetry),
      fault_rule("connection lost", Fault::kConnectionLost, Action::kRetry),
      fault_rule("truncated", Fault::kTruncated, Action::kRetry),
      fault_rule("oversized", Fault::kOversized, Action::kRetry),
      fault_rule("not http", Fault::kNotHttp, Action::kRetry, HealthState::kFaulty, "is this the URL of a provider?"),
      fault_rule("local", Fault::kLocal, Action::kRetry),

      // An answer of 200 that can't be stored.
      fault_rule("broken json", Fault::kBrokenJson, Action::kSuspectInput),
      fault_rule("wrong shape", Fault::kWrongShape, Action::kSuspectInput, HealthState::kFaulty,
                 "is this the URL of a provider?"),
      fault_rule("error inside", Fault::kErrorInside, Action::kSuspectInput),
      fault_rule("web page", Fault::kWebPage, Action::kSuspectInput, HealthState::kFaulty,
                 "is this the URL of a provider? A login or a proxy may stand before it"),
      fault_rule("foreign base64", Fault::kForeignBase64, Action::kPlainNumbers),
      fault_rule("empty answer", Fault::kEmptyAnswer, Action::kSuspectInput),
      fault_rule("wrong count", Fault::kWrongCount, Action::kSplitBatch),
      fault_rule("wrong order", Fault::kWrongOrder, Action::kSplitBatch),
      fault_rule("wrong dimension", Fault::kWrongDimension, Action::kSuspectInput, HealthState::kFaulty,
                 "was the model behind {model} exchanged?"),
      fault_rule("not finite", Fault::kNotFinite, Action::kSuspectInput),
      fault_rule("zero vector", Fault::kZeroVector, Action::kSuspectInput, HealthState::kFaulty,
                 "an embedder that is switched off answers zeros"),

      // Money and keys.
      code_rule("quota", "insufficient_quota", Action::kFail, kQuota, kPay),
      code_rule("balance", "insufficient_balance", Action::kFail, kQuota, kPay),
      code_rule("current quota", "exceeded_current_quota", Action::kFail, kQuota, kPay),
      code_rule("budget", "budget_exceeded", Action::kFail, kQuota, kSpent),
      code_rule("billing limit", "billing_", Action::kFail, kQuota, kPay),
      // Gateways behind gateways keep the words only. A harmless text tells whether they are of a text.
      {.name = "budget in words",
       .status_from = 400,
       .status_to = 429,
       .marker = "budget has been exceeded",
       .action = Action::kSuspectInput,
       .health = kQuota,
       .advice = kSpent},
      status_rule("payment", 402, 402, Action::kFail, kQuota, kPay),
      status_rule("unauthorised", 401, 401, Action::kFail, kKey, kSetKey),
      status_rule("forbidden", 403, 403, Action::kFail, kKey, kSetKey),

      // The batch as a whole is too large.
      too_many("tokens a request", "max_tokens_per_request"),
      too_many("300000 tokens", "max 300000 tokens per request"),
      too_many("tei batch size", "maximum allowed batch size"),
      too_many("openai array", "array too long"),

      // More tokens than the account may send in a minute: it fits no minute, and waiting does not help.
      text_rule("larger than a minute", 429, 429, "request too large", Action::kSplitBatch),
      text_rule("tokens must be reduced", 429, 429, "tokens must be reduced", Action::kSplitBatch),

      // One input is too long. Matched on 400 to 500, for every server chooses another status.
      too_long("exceeds the context length", "exceeds the context length"),
      too_long("exceeds maximum context length", "exceeds maximum context length"),
      too_long("cannot be truncated further", "cannot be truncated further"),
      too_long("maximum context length is", "maximum context length is"),
      too_long("maximum input length is", "maximum input length is"),
      too_long("is too large to process", "is too large to process"),
      too_long("physical batch size", "physical batch size"),
      too_long("larger than the max context size", "larger than the max context size"),
      too_long("exceeds the available context size", "exceeds the available context size"),
      too_long("exceed_context_size_error", "exceed_context_size_error"),
      {.name = "must have less than tokens",
       .status_from = 400,
       .status_to = 500,
       .marker = "must have less than",
       .also = "tokens",
       .action = Action::kCutInput},
      too_long("context window", "context window"),
      too_long("context_length_exceeded", "context_length_exceeded"),
      status_rule("body too large", 413, 413, Action::kSplitBatch),

      // How it is asked.
      {.name = "no base64",
       .kind = kOpenAi,
       .status_from = 400,
       .status_to = 422,
       .marker = "encoding_format",
       .action = Action::kPlainNumbers},
      {.name = "no dimensions",
       .status_from = 400,
       .status_to = 422,
       .marker = "does not support specifying dimensions",
       .action = Action::kFail,
       .advice = "leave `dimensions` out"},
      {.name = "no matryoshka",
       .status_from = 400,
       .status_to = 422,
       .marker = "does not support matryoshka representation",
       .action = Action::kFail,
       .advice = "leave `dimensions` out"},

      // Not found: a route or a model.
      {.name = "ollama model missing",
       .kind = kOllama,
       .status_from = 404,
       .status_to = 404,
       .json = true,
       .marker = "model",
       .also = "not found",
       .action = Action::kFail,
       .health = kMissing,
       .advice = "run `ollama pull {model}`"},
      {.name = "model_not_found",
       .status_from = 400,
       .status_to = 404,
       .code = "model_not_found",
       .action = Action::kFail,
       .health = kMissing,
       .advice = kNoModel},
      {.name = "deployment missing",
       .status_from = 404,
       .status_to = 404,
       .code = "deploymentnotfound",
       .action = Action::kFail,
       .health = kMissing,
       .advice = "check `deployment`"},
      {.name = "model missing",
       .status_from = 404,
       .status_to = 404,
       .json = true,
       .marker = "model",
       .action = Action::kFail,
       .health = kMissing,
       .advice = kNoModel},
      {.name = "does not exist",
       .status_from = 404,
       .status_to = 404,
       .json = true,
       .marker = "does not exist",
       .action = Action::kFail,
       .health = kMissing,
       .advice = kNoModel},
      model_rule("invalid model name", "invalid model name"),
      model_rule("not a valid model", "not a valid model"),
      model_rule("unknown model", "unknown model"),
      model_rule("no such model", "no such model"),
      model_rule("model not found", "model not found"),
      {.name = "ollama without /api/embed",
       .kind = kOllama,
       .status_from = 404,
       .status_to = 404,
       .action = Action::kOldRoute,
       .advice = "this is no Ollama, or an address with a path: check the URL"},
      status_rule("nothing there", 404, 405, Action::kFail, HealthState::kFaulty,
                  "there is no embeddings API at {url}: check its path"),

      // Not now.
      {.name = "loading",
       .status_from = 500,
       .status_to = 503,
       .marker = "loading model",
       .action = Action::kPause,
       .health = kLimited},
      {.name = "no memory",
       .kind = kOllama,
       .status_from = 500,
       .status_to = 500,
       .marker = "requires more system memory",
       .action = Action::kPause,
       .health = kLimited,
       .advice = "free memory there, or take a smaller model",
       .wait = seconds(60)},
      status_rule("too early", 425, 425, Action::kPause, kLimited),
      status_rule("rate limit", 429, 429, Action::kPause, kLimited),
      status_rule("unavailable", 503, 503, Action::kPause, kLimited),
      status_rule("overloaded", 529, 529, Action::kPause, kLimited),
      status_rule("slow request", 408, 409, Action::kRetry),

      // Nobody's model runs there.
      status_rule("not implemented", 501, 501, Action::kFail, HealthState::kFaulty,
                  "this server makes no embeddings: name another one, or switch them on there"),

      // Anybody's fault.
      status_rule("redirect", 300, 399, Action::kFail, HealthState::kFaulty,
                  "it redirects, which is not followed: give the URL that it leads to"),
      status_rule("client error", 400, 499, Action::kSuspectInput),
      status_rule("server error", 500, 599, Action::kSuspectInput),
      status_rule("anything else", 0, 999, Action::kRetry),
  };
}

/// What a provider wrote, in lower case.
struct Words {
  std::string codes, all;
};

bool fits(const Rule& rule, const Evidence& evidence, const Words& words) {
  if ((rule.kind && *rule.kind != evidence.kind) || rule.fault != evidence.fault) {
    return false;
  }
  if (evidence.fault != Fault::kNone) {
    return true;
  }
  const auto has = [](const std::string& text, std::string_view marker) {
    return text.find(marker) != std::string::npos;
  };
  return (evidence.error.json || !rule.json) && evidence.status >= rule.status_from &&
         evidence.status <= rule.status_to && has(words.codes, rule.code) && has(words.all, rule.marker) &&
         has(words.all, rule.also);
}

}  // namespace

std::span<const Rule> rules() {
  static const std::vector<Rule> table = make_rules();
  return table;
}

const Rule& decide(const Evidence& evidence) {
  Words words{.codes = core::lower_ascii(evidence.error.code + '\n' + evidence.error.type), .all = {}};
  words.all = words.codes + '\n' + core::lower_ascii(evidence.error.message);
  for (const Rule& rule : rules()) {
    if (fits(rule, evidence, words)) {
      return rule;
    }
  }
  return rules().back();
}

}  // namespace embedjobs::http
