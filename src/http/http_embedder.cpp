#include "http/http_embedder.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "core/values/utf8.hpp"
#include "embedjobs/limits.hpp"
#include "http/clean_text.hpp"
#include "http/request.hpp"
#include "http/retry_after.hpp"

namespace embedjobs::http {
namespace {

using Steady = std::chrono::steady_clock;

constexpr std::string_view kHarmless = "embedjobs";         // a text that no model has trouble with
constexpr Duration kSpaceLimit = std::chrono::seconds(30);  // for a caller that sets none
constexpr std::size_t kWordsBytes = 200;                    // of what a provider wrote
constexpr std::size_t kKeepBytes = std::size_t{8} << 20;    // memory that a call keeps for the next one
constexpr std::size_t kBytesANumber = 48;                   // of JSON, with white space
constexpr std::size_t kUsualDimension = 8192;               // where it is not known yet
constexpr std::size_t kAnswerBytes = std::size_t{1} << 20;  // besides the numbers
constexpr std::size_t kInfoBytes = std::size_t{256} << 10;
constexpr Fault kNoFault = Fault::kNone;

bool has_control(std::string_view text) {
  return std::any_of(text.begin(), text.end(),
                     [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

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
constexpr std::array<CodeStatus, 5> kCodes{{{"insufficient_quota", 429},
                                            {"rate_limit_exceeded", 429},
                                            {"invalid_api_key", 401},
                                            {"model_not_found", 404},
                                            {"context_length_exceeded", 400}}};

/// Of an error that came with 200, as some gateways write it: the status that its code means. Zero: it is not known.
int status_meant(const ErrorBody& error) {
  for (const CodeStatus& known : kCodes) {
    if (error.json && (error.code == known.code || error.type == known.code)) {
      return known.status;
    }
  }
  int status = 0;
  const char* const end = error.code.data() + error.code.size();
  const auto [stop, bad] = std::from_chars(error.code.data(), end, status);
  return error.json && bad == std::errc() && stop == end && status >= 400 && status <= 599 ? status : 0;
}

void normalise(std::span<float> row) {
  double square = 0;
  for (const float value : row) {
    square += static_cast<double>(value) * value;
  }
  const double norm = std::sqrt(square);
  for (float& value : row) {
    value = static_cast<float>(value / norm);
  }
}

}  // namespace

/// A call of the pool, for as long as this lives.
class HttpEmbedder::BorrowedCall {
 public:
  explicit BorrowedCall(HttpEmbedder& owner) : owner_(owner) {
    {
      const std::lock_guard lock(owner_.mutex_);
      if (!owner_.idle_.empty()) {
        call_ = std::move(owner_.idle_.back());
        owner_.idle_.pop_back();
      }
    }
    if (!call_) {
      call_ = std::make_unique<Call>(owner_.transport_);
    }
  }
  ~BorrowedCall() {
    if (call_->channel.body().capacity() > kKeepBytes) {
      call_->channel.body().shrink(kKeepBytes);
      call_->parser.shrink();
    }
    const std::lock_guard lock(owner_.mutex_);
    owner_.idle_.push_back(std::move(call_));
  }
  BorrowedCall(const BorrowedCall&) = delete;
  BorrowedCall& operator=(const BorrowedCall&) = delete;
  Call& operator*() { return *call_; }

 private:
  HttpEmbedder& owner_;
  std::unique_ptr<Call> call_;
};

HttpEmbedder::HttpEmbedder(HttpEmbedderOptions options, Endpoint endpoint)
    : options_(std::move(options)),
      endpoint_(std::move(endpoint)),
      transport_{options_.connect_timeout, options_.stall_timeout, options_.ca_file, options_.proxy},
      dimension_(options_.dimension != 0 ? options_.dimension : options_.request_dimensions),
      base64_(options_.base64) {
  if (!options_.model.empty()) {
    const Prefixes known = known_prefixes(options_.model);
    identity_ =
        Identity{options_.model,
                 {options_.document_prefix.value_or(known.document), options_.query_prefix.value_or(known.query)}};
  }
}

EmbedderLimits HttpEmbedder::limits() const {
  const ProviderTraits& traits = traits_of(options_.kind);
  const auto either = [](std::size_t option, std::size_t table) { return option != 0 ? option : table; };
  return {.concurrent_calls = std::max<std::size_t>(either(options_.concurrent_calls, traits.concurrent_calls), 1),
          .batch_texts = either(options_.batch_texts, traits.batch_texts),
          .batch_bytes = either(options_.batch_bytes, traits.batch_bytes),
          .batch_tokens = either(options_.batch_tokens, traits.batch_tokens),
          .input_bytes = either(options_.input_bytes, traits.input_bytes)};
}

std::string HttpEmbedder::provider() const {
  const std::string model =
      options_.model.empty() ? std::string() : ":" + canonical_model(options_.kind, options_.model);
  return std::string(
      core::cut_utf8(fmt::format("{}{}@{}", traits_of(options_.kind).name, model, endpoint_.base), kMaxNameBytes));
}

HttpEmbedder::Terms HttpEmbedder::terms_of(const CallContext& context, Duration at_most) {
  const Duration limit = context.time_limit > Duration(0) ? context.time_limit : at_most;
  return {.stop = context.stop,
          .deadline = limit > Duration(0)
                          ? Deadline(Steady::now() + std::min<Duration>(limit, std::chrono::hours(24 * 365)))
                          : std::nullopt,
          .purpose = context.purpose};
}

std::optional<HttpEmbedder::Identity> HttpEmbedder::identity() const {
  const std::lock_guard lock(mutex_);
  return identity_;
}

// --- one exchange

Exchange HttpEmbedder::send(Call& call, const std::string& url, const Terms& terms, std::size_t body_limit,
                            std::string& key) {
  Exchange failed;
  failed.fault = Fault::kLocal;
  try {
    key = options_.key.reveal();
  } catch (...) {  // its words may hold what is secret
    failed.detail = "the callback that should give the key failed";
    return failed;
  }
  if (has_control(key)) {
    failed.detail = "the key holds control characters";
    return failed;
  }
  call.request.url = url;
  call.request.body_limit = body_limit;
  call.request.headers.clear();
  if (!key.empty()) {
    call.request.headers.push_back((options_.azure ? "api-key: " : "Authorization: Bearer ") + key);
  }
  Exchange exchange = call.channel.send(call.request, terms.stop, terms.deadline);
  call.request.headers.clear();
  return exchange;
}

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
  if (exchange.fault != kNoFault) {
    return fault(exchange.fault, clean_text(exchange.detail, key, kWordsBytes));
  }
  Evidence evidence{.kind = options_.kind, .fault = kNoFault, .status = exchange.status, .error = {}};
  evidence.error = call.parser.read_error(call.channel.body());
  if (exchange.status == 200) {
    const bool no_vectors = reading.fault == Fault::kWrongShape || reading.fault == Fault::kEmptyAnswer;
    evidence.status = no_vectors ? status_meant(evidence.error) : 0;
    if (evidence.status == 0) {
      return fault(reading.fault, clean_text(reading.detail, key, kWordsBytes));
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
  const std::string words =
      clean_text(evidence.error.message.empty() ? evidence.error.code : evidence.error.message, key, kWordsBytes);
  attempt.what = fmt::format("answers HTTP {}{}{}", exchange.status, words.empty() ? "" : ": ", words);
  return attempt;
}

HttpEmbedder::Attempt HttpEmbedder::ask_once(Call& call, std::span<const std::string_view> texts, const Terms& terms,
                                             bool old_route, Matrix& vectors) {
  const Identity who = *identity();
  const std::size_t dimension = dimension_.load();
  write_question({.kind = options_.kind,
                  .model = who.model,
                  .prefix = terms.purpose == Purpose::kQuery ? who.prefixes.query : who.prefixes.document,
                  .dimensions = options_.request_dimensions,
                  .base64 = base64_.load(),
                  .old_route = old_route},
                 texts, call.request.body);
  const std::size_t limit =
      options_.response_bytes != 0
          ? options_.response_bytes
          : kAnswerBytes + texts.size() * kBytesANumber * (dimension != 0 ? dimension : kUsualDimension);
  std::string key;
  const Exchange exchange = send(call, old_route ? endpoint_.old_embed : endpoint_.embed, terms, limit, key);
  Reading reading;
  if (exchange.fault == kNoFault && exchange.status == 200) {
    reading = call.parser.read(call.channel.body(), texts.size(), dimension, vectors);
    if (reading.fault == kNoFault) {
      Attempt attempt = hold_dimension(vectors);
      attempt.prompt_tokens = reading.prompt_tokens;
      std::uint64_t tokens = 0;
      const std::string& header = exchange.headers.compute_tokens;
      if (std::from_chars(header.data(), header.data() + header.size(), tokens).ec == std::errc() &&
          !attempt.prompt_tokens) {
        attempt.prompt_tokens = tokens;
      }
      return attempt;
    }
  }
  return judge(call, exchange, reading, key);
}

HttpEmbedder::Attempt HttpEmbedder::hold_dimension(const Matrix& vectors) {
  std::size_t held = 0;
  if (dimension_.compare_exchange_strong(held, vectors.dimension()) || held == vectors.dimension()) {
    return {};
  }
  return fault(Fault::kWrongDimension, fmt::format("{} numbers, expected are {}", vectors.dimension(), held));
}

// --- the ways to ask

// Vectors of this route come as the model made them: those beside them are normalised.
HttpEmbedder::Attempt HttpEmbedder::ask_one_by_one(Call& call, std::span<const std::string_view> texts,
                                                   const Terms& terms, Matrix& vectors) {
  Matrix one;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    Attempt attempt = ask_once(call, texts.subspan(i, 1), terms, true, one);
    if (!attempt.ok()) {
      return attempt;
    }
    if (vectors.rows() != texts.size() || vectors.dimension() != one.dimension()) {
      vectors = Matrix(texts.size(), one.dimension());
    }
    normalise(one.row(0));
    std::copy_n(one.row(0).begin(), one.dimension(), vectors.row(i).begin());
  }
  return {};
}

HttpEmbedder::Attempt HttpEmbedder::ask(Call& call, std::span<const std::string_view> texts, const Terms& terms,
                                        Matrix& vectors) {
  if (Attempt attempt = ensure_identity(call, terms); !attempt.ok()) {
    return attempt;
  }
  if (old_route_.load()) {
    Attempt attempt = ask_one_by_one(call, texts, terms, vectors);
    if (attempt.action != Action::kOldRoute || attempt.ok()) {
      return attempt;
    }
    old_route_ = false;  // it is gone: a newer server may be there
  }
  Attempt attempt = ask_once(call, texts, terms, false, vectors);
  if (!attempt.ok() && attempt.action == Action::kPlainNumbers && base64_.exchange(false)) {
    attempt = ask_once(call, texts, terms, false, vectors);
  }
  if (!attempt.ok() && attempt.action == Action::kPlainNumbers) {
    attempt.action = Action::kSuspectInput;  // arrays are refused in the same words
  }
  if (!attempt.ok() && attempt.action == Action::kOldRoute) {
    attempt = ask_one_by_one(call, texts, terms, vectors);
    old_route_ = attempt.ok() || attempt.action != Action::kOldRoute;
    if (!attempt.ok() && attempt.action == Action::kOldRoute) {
      attempt.action = Action::kFail;
    }
  }
  return attempt;
}

// TEI serves one model, and says which.
HttpEmbedder::Attempt HttpEmbedder::ensure_identity(Call& call, const Terms& terms) {
  if (identity()) {
    return {};
  }
  call.request.body.clear();
  std::string key;
  const Exchange exchange = send(call, endpoint_.info, terms, kInfoBytes, key);
  Reading reading;
  if (exchange.fault == kNoFault && exchange.status == 200) {
    const std::optional<std::string> model = call.parser.read_member(call.channel.body(), "model_id");
    if (model && contains_key(*model, key)) {
      reading.detail = "its name of the model holds the key";
    } else if (model && validate(Space{*model, 1, {}}).ok()) {
      const Prefixes known = known_prefixes(*model);
      const std::lock_guard lock(mutex_);
      identity_ = Identity{
          *model, {options_.document_prefix.value_or(known.document), options_.query_prefix.value_or(known.query)}};
      return {};
    }
    reading.fault = Fault::kWrongShape;
    reading.detail =
        !reading.detail.empty() ? reading.detail : "it does not say which model it serves: name it, as tei:MODEL";
  }
  return judge(call, exchange, reading, key);
}

// Is it the text, or the provider? A harmless text tells: if that works and the text fails once more, it is the text.
HttpEmbedder::Attempt HttpEmbedder::examine(Call& call, std::string_view text, const Terms& terms, Attempt first,
                                            Matrix& vectors) {
  Matrix scratch;
  const std::array<std::string_view, 1> harmless{kHarmless};
  Attempt probe = ask(call, harmless, terms, scratch);
  if (!probe.ok()) {
    if (probe.action != Action::kSuspectInput) {
      return probe;
    }
    const bool refuses = probe.status >= 400 && probe.status < 500;  // every text: it is asked in a wrong way
    first.action = refuses ? Action::kFail : Action::kRetry;
    return first;
  }
  Attempt second = ask(call, std::span(&text, 1), terms, vectors);
  if (!second.ok() && second.action == Action::kSuspectInput) {
    second.action = Action::kRejectInput;
  }
  return second;
}

// --- what callers see

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

Result<Embeddings> HttpEmbedder::embed(std::span<const std::string_view> texts, const CallContext& context) {
  if (texts.empty()) {
    return {Code::kInvalidArgument, "there is no text to embed"};
  }
  const auto* const broken = std::find_if(texts.data(), texts.data() + texts.size(), [](std::string_view text) {
    return text.empty() || !core::is_valid_utf8(text);
  });
  if (broken != texts.data() + texts.size()) {
    return {Code::kInputRejected, "a text is empty or not UTF-8"};
  }
  const Terms terms = terms_of(context);
  BorrowedCall call(*this);
  Embeddings answer;
  Attempt attempt = ask(*call, texts, terms, answer.vectors);
  if (!attempt.ok() && attempt.action == Action::kSuspectInput && texts.size() == 1) {
    attempt = examine(*call, texts.front(), terms, std::move(attempt), answer.vectors);
  }
  if (!attempt.ok() && attempt.action == Action::kSplitBatch && texts.size() == 1) {
    attempt.action = Action::kCutInput;
  }
  if (!attempt.ok()) {
    return status_of(attempt);
  }
  answer.prompt_tokens = attempt.prompt_tokens;
  return answer;
}

Result<Space> HttpEmbedder::space(const CallContext& context) {
  if (!identity() || dimension_.load() == 0) {
    const Terms terms = terms_of(context, kSpaceLimit);
    BorrowedCall call(*this);
    Matrix scratch;
    const std::array<std::string_view, 1> harmless{kHarmless};
    Attempt attempt = dimension_.load() == 0 ? ask(*call, harmless, terms, scratch) : ensure_identity(*call, terms);
    if (!attempt.ok()) {
      if (attempt.action == Action::kSuspectInput) {  // nobody can say that this text is at fault
        attempt.action = attempt.status >= 400 && attempt.status < 500 ? Action::kFail : Action::kRetry;
      }
      return status_of(attempt);
    }
  }
  const Identity who = *identity();
  return make_space(options_.kind, who.model, dimension_.load(), who.prefixes);
}

bool HttpEmbedder::adopt(const Space& recorded) {
  const std::optional<Identity> who = identity();
  if (!who || make_space(options_.kind, who->model, recorded.dimension, who->prefixes) != recorded) {
    return false;
  }
  std::size_t unknown = 0;
  return dimension_.compare_exchange_strong(unknown, recorded.dimension) || unknown == recorded.dimension;
}

ProviderHealth HttpEmbedder::check(const CallContext& context) {
  const Terms terms = terms_of(context, kSpaceLimit);
  BorrowedCall call(*this);
  Matrix scratch;
  const std::array<std::string_view, 1> harmless{kHarmless};
  const Attempt attempt = ask(*call, harmless, terms, scratch);
  ProviderHealth health;
  health.kind = to_string(options_.kind);
  health.url = endpoint_.base;
  health.dimension = dimension_.load();
  if (const std::optional<Identity> who = identity()) {
    health.model = who->model;
  }
  if (!attempt.ok()) {
    health.state = attempt.rule->health;
    health.detail = attempt.what;
    health.advice = advice_of(attempt);
  }
  return health;
}

}  // namespace embedjobs::http
