// What is remembered of providers: the rules of its changes, the same in every backend. Pure, like transitions.hpp.
#pragma once

#include <cstdint>

#include "embedjobs/provider.hpp"
#include "embedjobs/types.hpp"

namespace embedjobs::core {

/// What a backend keeps. `state.tokens_today` is of the day `token_day`.
struct ProviderRow {
  ProviderState state;
  std::int64_t token_day = 0;
};

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

/// `told`: tokens of the pass so far. Counts what is new in the job, and answers how much that is.
std::uint64_t count_tokens(Job& job, std::uint64_t told);

}  // namespace embedjobs::core
