// What a store remembers of a provider of embeddings, for all processes that use it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "embedjobs/status.hpp"
#include "embedjobs/types.hpp"

namespace embedjobs {

/// One provider: an endpoint with a model, as Embedder::provider() names it.
struct ProviderState {
  std::string provider;
  std::string space_id;         ///< Of the worker that noted something last; empty: its space was not known yet.
  std::size_t batch_texts = 0;  ///< Texts a call that it was found to bear; 0: no limit was met.
  std::size_t batch_bytes = 0;  ///< The same in bytes of text.
  WallTime paused_until{};      ///< A worker waits for it until then. In the past, or zero: none does.
  std::string pause_reason;     ///< One line; empty when it was never paused, or has answered since.
  /// Prompt tokens as the provider counted them. Passes report them with their fenced writes: those of what is stored
  /// are counted, once; those of calls whose pass lost its lease or died meanwhile are not.
  std::uint64_t tokens_total = 0;
  std::uint64_t tokens_today = 0;  ///< Those of the UTC day of `read_at`.
  WallTime updated_at{};
  WallTime read_at{};  ///< The store's time of this answer.
};

/// A worker's news of a provider. What is left out stays as it is; the same note again changes nothing else.
struct ProviderNote {
  std::string space_id;  ///< Empty: not known.
  struct Batch {
    std::size_t texts = 0, bytes = 0;  ///< As in ProviderState; 0 forgets the limit.
  };
  std::optional<Batch> batch;
  struct Pause {
    Duration wait{0};  ///< From now on. Zero or less: the pause is over, and forgotten.
    std::string reason;
  };
  std::optional<Pause> pause;
};

/// Work waits for the provider: it limits, loads, can't be reached, or a budget is used up.
struct ProviderPause {
  Duration lasted{0};  ///< Since when it has not been called or has not answered.
  Duration left{0};    ///< Until it is tried again; zero: that is being done.
  std::string reason;
};

/// Non-empty UTF-8 without control characters, at most 512 bytes.
Status validate_provider(std::string_view provider);
/// A worker waits for it at `now`. False also for a time so far ahead that no rule of ours can have set it: a clock was
/// set back.
[[nodiscard]] bool is_paused(const ProviderState& state, WallTime now) noexcept;

}  // namespace embedjobs
