// What is remembered of providers: the rules of its changes, the same in every backend. Pure, like transitions.hpp.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "embedjobs/provider.hpp"
#include "embedjobs/sys/store_rules.hpp"
#include "embedjobs/types.hpp"

namespace embedjobs::core {

/// What a backend keeps. `state.tokens_today` is of the day `token_day`.
struct ProviderRow {
  ProviderState state;
  std::int64_t token_day = 0;
};

/// The columns of a provider's row, in the order that read_provider() takes.
#define EMBEDJOBS_PROVIDER_COLUMNS                                                                              \
  "name, space, batch_texts, batch_bytes, paused_until, pause_reason, tokens_total, tokens_today, updated_at, " \
  "token_day, input_bytes, stopped"

/// `row`: the query of a backend.
template <typename Row>
ProviderRow read_provider(const Row& row) {
  ProviderRow provider;
  provider.state = {.provider = std::string(row.text(0)),
                    .space_id = std::string(row.text(1)),
                    .batch_texts = row.number(2),
                    .batch_bytes = row.number(3),
                    .input_bytes = row.number(10),
                    .paused_until = row.time(4),
                    .pause_reason = std::string(row.text(5)),
                    .stopped = row.number(11) != 0,
                    .tokens_total = row.number(6),
                    .tokens_today = row.number(7),
                    .updated_at = row.time(8),
                    .read_at = {}};
  provider.token_day = row.integer(9);
  return provider;
}

/// What `row` has to say of the provider of that name: zeros where nothing is known.
template <typename Row>
ProviderRow first_provider(Row&& row, std::string_view name) {
  if (row.next()) {
    return read_provider(row);
  }
  ProviderRow none;
  none.state.provider = name;
  return none;
}

/// Days since 1970, UTC.
[[nodiscard]] std::int64_t utc_day(WallTime time) noexcept;
/// The first moment of the next UTC day.
[[nodiscard]] WallTime next_utc_midnight(WallTime time) noexcept;

/// kInvalidArgument: name or space id are none.
Status check_note(std::string_view provider, const ProviderNote& note);
void apply_note(ProviderRow& row, const ProviderNote& note, WallTime now);
void add_tokens(ProviderRow& row, std::uint64_t tokens, WallTime now);
/// What a reader sees at `now`.
ProviderState seen_at(const ProviderRow& row, WallTime now);

/// `total`: tokens of the pass so far. Counts what is new in the job, and answers how much that is.
std::uint64_t count_tokens(rules::StoredJob& job, std::uint64_t total);

}  // namespace embedjobs::core
