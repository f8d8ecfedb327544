#include "core/rules/provider_notes.hpp"

#include <algorithm>
#include <limits>

#include "core/values/guard.hpp"
#include "core/values/utf8.hpp"
#include "embedjobs/space.hpp"

namespace embedjobs {
namespace core {
namespace {

using Days = std::chrono::duration<std::int64_t, std::ratio<86400>>;

constexpr std::uint64_t kMostTokens = std::numeric_limits<std::int64_t>::max();  // databases have signed numbers
constexpr std::size_t kMostReasonBytes = 500;
constexpr Duration kLongestPause = std::chrono::hours(24);  // until midnight, at most

std::uint64_t sum(std::uint64_t a, std::uint64_t b) {
  return a > kMostTokens - std::min(b, kMostTokens) ? kMostTokens : a + b;
}

}  // namespace

std::int64_t utc_day(WallTime time) noexcept {
  return std::chrono::floor<Days>(time.time_since_epoch()).count();
}

WallTime next_utc_midnight(WallTime time) noexcept {
  return WallTime(std::chrono::duration_cast<Duration>(Days(utc_day(time) + 1)));
}

Status check_note(std::string_view provider, const ProviderNote& note) {
  if (Status status = validate_provider(provider); !status.ok() || note.space_id.empty()) {
    return status;
  }
  return parse_space(note.space_id).status();
}

void apply_note(ProviderRow& row, const ProviderNote& note, WallTime now) {
  ProviderState& state = row.state;
  if (!note.space_id.empty()) {
    state.space_id = note.space_id;
  }
  if (note.batch) {
    state.batch_texts = std::min<std::size_t>(note.batch->texts, kMostTokens);
    state.batch_bytes = std::min<std::size_t>(note.batch->bytes, kMostTokens);
  }
  if (note.input_bytes) {
    state.input_bytes = std::min<std::size_t>(*note.input_bytes, kMostTokens);
  }
  if (note.pause) {
    const bool over = note.pause->wait <= Duration(0);
    state.paused_until = over ? WallTime{} : now + std::min(note.pause->wait, kLongestPause);
    state.stopped = !over && note.pause->stopped;
    state.pause_reason = over ? std::string() : one_line(cut_utf8(note.pause->reason, kMostReasonBytes));
  }
  state.updated_at = now;
}

void add_tokens(ProviderRow& row, std::uint64_t tokens, WallTime now) {
  if (row.token_day != utc_day(now)) {
    row.token_day = utc_day(now);
    row.state.tokens_today = 0;
  }
  row.state.tokens_today = sum(row.state.tokens_today, tokens);
  row.state.tokens_total = sum(row.state.tokens_total, tokens);
  row.state.updated_at = now;
}

ProviderState seen_at(const ProviderRow& row, WallTime now) {
  ProviderState state = row.state;
  state.tokens_today = row.token_day == utc_day(now) ? state.tokens_today : 0;
  state.read_at = now;
  return state;
}

std::uint64_t count_tokens(rules::StoredJob& job, std::uint64_t total) {
  total = std::min(total, kMostTokens);
  if (total <= job.state.pass_prompt_tokens) {
    return 0;  // counted before: the answer was lost, or two writes overtook each other
  }
  const std::uint64_t more = total - job.state.pass_prompt_tokens;
  job.state.pass_prompt_tokens = total;
  job.prompt_tokens = sum(job.prompt_tokens, more);
  return more;
}

}  // namespace core

bool is_paused(const ProviderState& state, WallTime now) noexcept {
  return state.paused_until > now && state.paused_until <= now + core::kLongestPause;
}

}  // namespace embedjobs
