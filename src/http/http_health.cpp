// What `doctor` learns of a provider: whether it answers, and what it does with two texts of different length.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "http/borrowed_call.hpp"

namespace embedjobs::http {
namespace {

// The long text is twice the head, so a server that cuts at the head or before gives both the same vector. Some models
// read 512 tokens and less; the head has about twice as many.
constexpr std::size_t kHeadWords = 1000;
constexpr double kSame = 0.9999;  // cosine: two calls of one model differ in the last digits

std::string words_from(std::size_t first, std::size_t count) {
  std::string text;
  for (std::size_t i = first; i < first + count; ++i) {
    text += fmt::format("{}word{}", text.empty() ? "" : " ", i * 7919 % 1000);
  }
  return text;
}

double cosine(std::span<const float> a, std::span<const float> b) {
  double product = 0;
  double squares_a = 0;
  double squares_b = 0;
  for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    product += static_cast<double>(a[i]) * b[i];
    squares_a += static_cast<double>(a[i]) * a[i];
    squares_b += static_cast<double>(b[i]) * b[i];
  }
  return squares_a > 0 && squares_b > 0 ? product / std::sqrt(squares_a * squares_b) : 0;
}

}  // namespace

ProviderHealth HttpEmbedder::check(const CallContext& context) {
  const Terms terms = terms_of(context, kSpaceLimit);
  BorrowedCall call(*this);
  Matrix scratch;
  ProviderHealth health;
  const auto began = now_();
  const Attempt attempt = ask_harmless(*call, terms, scratch);
  health.short_time = now_() - began;
  health.kind = to_string(options_.kind);
  health.url = endpoint_.base;
  health.dimension = dimension_.load();
  if (const std::optional<Identity> who = identity()) {
    health.model = who->model;
  }
  health.warnings = take_warnings();
  if (!attempt.ok()) {
    health.state = attempt.rule->health;
    health.detail = attempt.what;
    health.advice = advice_of(attempt);
  }
  return health;
}

ProviderHealth HttpEmbedder::check_closely(const CallContext& context) {
  ProviderHealth health = check(context);
  if (health.state == HealthState::kOk) {
    BorrowedCall call(*this);
    measure(*call, terms_of(context, kSpaceLimit), health);
  }
  return health;
}

/// Two texts in a call, of which one begins the other.
void HttpEmbedder::measure(Call& call, const Terms& terms, ProviderHealth& health) {
  const std::string head = words_from(0, kHeadWords);
  const std::string whole = head + " " + words_from(kHeadWords, kHeadWords);
  Matrix both;
  const std::array<std::string_view, 2> two{head, whole};
  const auto began = now_();
  Attempt attempt = ask(call, two, terms, both);
  health.long_time = now_() - began;
  health.long_bytes = head.size() + whole.size();
  if (attempt.ok()) {
    health.batches = "two texts in one call, two vectors";
    health.long_texts =
        cosine(both.row(0), both.row(1)) > kSame
            ? fmt::format("cut unseen: the vector of {} bytes is that of their first half", whole.size())
            : fmt::format("read to their end, up to {} bytes at least", whole.size());
    return;
  }
  if (attempt.rule->action == Action::kSplitBatch && attempt.status == 0) {
    health.batches =
        fmt::format("two texts in one call are not answered rightly ({}): one goes at a time", attempt.what);
    return;
  }
  // The long text may have been too much for it, and not the two.
  Matrix scratch;
  const std::array<std::string_view, 2> harmless{kHarmlessText, kHarmlessText};
  health.batches = ask(call, harmless, terms, scratch).ok() ? "two texts in one call, two vectors" : "not known";
  health.long_texts = fmt::format("{} bytes are refused: it {}", whole.size(), attempt.what);
}

}  // namespace embedjobs::http
