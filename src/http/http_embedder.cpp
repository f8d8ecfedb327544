#include "http/http_embedder.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "core/values/utf8.hpp"
#include "embedjobs/limits.hpp"
#include "http/borrowed_call.hpp"
#include "http/clean_text.hpp"
#include "http/request.hpp"
#include "http/retry_after.hpp"

namespace embedjobs::http {
namespace {

using Steady = std::chrono::steady_clock;

constexpr std::size_t kBytesANumber = 48;                   // of JSON, with white space
constexpr std::size_t kUsualDimension = 8192;               // where it is not known yet
constexpr std::size_t kAnswerBytes = std::size_t{1} << 20;  // besides the numbers
constexpr std::size_t kInfoBytes = std::size_t{256} << 10;

bool has_control(std::string_view text) {
  return std::any_of(text.begin(), text.end(),
                     [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
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

HttpEmbedder::HttpEmbedder(HttpEmbedderOptions options, Endpoint endpoint, Now now)
    : options_(std::move(options)),
      endpoint_(std::move(endpoint)),
      transport_{options_.connect_timeout, options_.stall_timeout, options_.ca_file, options_.proxy},
      dimension_(options_.dimension != 0 ? options_.dimension : options_.request_dimensions),
      format_(options_.base64 ? NumberFormat::kBase64 : NumberFormat::kFloat),
      now_(now) {
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
  note_key(key);
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

HttpEmbedder::Attempt HttpEmbedder::ask_once(Call& call, std::span<const std::string_view> texts, const Terms& terms,
                                             bool old_route, Matrix& vectors) {
  const Identity who = *identity();
  const std::size_t dimension = dimension_.load();
  const NumberFormat format = format_.load();
  write_question({.kind = options_.kind,
                  .model = who.model,
                  .prefix = terms.purpose == Purpose::kQuery ? who.prefixes.query : who.prefixes.document,
                  .dimensions = options_.request_dimensions,
                  .format = format,
                  .old_route = old_route},
                 texts, call.request.body);
  const std::size_t limit =
      options_.response_bytes != 0
          ? options_.response_bytes
          : kAnswerBytes + texts.size() * kBytesANumber * (dimension != 0 ? dimension : kUsualDimension);
  std::string key;
  const Exchange exchange = send(call, old_route ? endpoint_.old_embed : endpoint_.embed, terms, limit, key);
  Reading reading;
  if (exchange.fault == Fault::kNone && exchange.status == 200) {
    reading = call.parser.read(call.channel.body(), texts.size(), dimension, vectors);
    if (reading.fault == Fault::kNone) {
      note_model(reading.model, key);
      Attempt attempt = hold_dimension(vectors);
      attempt.format = format;
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
  Attempt attempt = judge(call, exchange, reading, key);
  attempt.format = format;
  return attempt;
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

/// Whether the same may be asked again, for numbers in a plainer format; remembered.
bool HttpEmbedder::make_plainer(const Attempt& attempt) {
  if (options_.kind != ProviderKind::kOpenAi || attempt.format == NumberFormat::kUnsaid) {
    return false;
  }
  // A server that sends strange base64 is asked for arrays. One that refuses the field is not sent it any more.
  const bool strange = attempt.status == 0 && attempt.format == NumberFormat::kBase64;
  format_ = strange ? NumberFormat::kFloat : NumberFormat::kUnsaid;
  return true;
}

HttpEmbedder::Attempt HttpEmbedder::ask_plainly(Call& call, std::span<const std::string_view> texts, const Terms& terms,
                                                Matrix& vectors) {
  for (;;) {
    Attempt attempt = ask_once(call, texts, terms, false, vectors);
    if (attempt.ok() || attempt.action != Action::kPlainNumbers) {
      return attempt;
    }
    if (!make_plainer(attempt)) {
      attempt.action = Action::kSuspectInput;  // refused in the same words, whatever was asked for
      return attempt;
    }
  }
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
  Attempt attempt = ask_plainly(call, texts, terms, vectors);
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
  if (exchange.fault == Fault::kNone && exchange.status == 200) {
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

HttpEmbedder::Attempt HttpEmbedder::ask_harmless(Call& call, const Terms& terms, Matrix& vectors) {
  const std::array<std::string_view, 1> harmless{kHarmlessText};
  Attempt attempt = ask(call, harmless, terms, vectors);
  if (attempt.ok() || attempt.status < 400 || attempt.action != Action::kSuspectInput) {
    return attempt;
  }
  // Some refuse a field that they don't know, and don't say which.
  const NumberFormat before = format_.load();
  if (attempt.status > 422 || !make_plainer(attempt)) {
    return attempt;
  }
  Attempt plain = ask(call, harmless, terms, vectors);
  if (plain.ok()) {
    return plain;
  }
  format_ = before;
  return attempt;
}

// Is it the texts, or the provider? A harmless text tells. If that works, a batch is split until the text stands alone
// that is at fault. If that one fails once more, it may be too long, in whatever words the provider says so.
HttpEmbedder::Attempt HttpEmbedder::examine(Call& call, std::span<const std::string_view> texts, const Terms& terms,
                                            Attempt first, Matrix& vectors) {
  Matrix scratch;
  if (Attempt probe = ask_harmless(call, terms, scratch); !probe.ok()) {
    return of_provider(std::move(probe));
  }
  clear_verdict();
  if (texts.size() > 1) {
    first.action = Action::kRejectInput;
    return first;
  }
  Attempt second = ask(call, texts, terms, vectors);
  if (!second.ok() && (second.action == Action::kSuspectInput || second.action == Action::kSplitBatch)) {
    second.action = Action::kCutInput;
  }
  return second;
}

// --- what callers see

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
  if (!attempt.ok() && attempt.action == Action::kSplitBatch && texts.size() == 1) {
    attempt.action = attempt.status == 0 ? Action::kSuspectInput : Action::kCutInput;  // a wrong count is no length
  }
  if (!attempt.ok() && attempt.action == Action::kSuspectInput) {
    attempt = examine(*call, texts, terms, std::move(attempt), answer.vectors);
  }
  if (!attempt.ok()) {
    return status_of(attempt);
  }
  clear_verdict();
  answer.warnings = take_warnings();
  answer.prompt_tokens = attempt.prompt_tokens;
  return answer;
}

Result<Space> HttpEmbedder::space(const CallContext& context) {
  if (!identity() || dimension_.load() == 0) {
    const Terms terms = terms_of(context, kSpaceLimit);
    BorrowedCall call(*this);
    Matrix scratch;
    Attempt attempt = dimension_.load() == 0 ? ask_harmless(*call, terms, scratch) : ensure_identity(*call, terms);
    if (!attempt.ok()) {
      return status_of(of_provider(std::move(attempt)));
    }
    clear_verdict();
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

}  // namespace embedjobs::http
