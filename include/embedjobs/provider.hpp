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
  std::size_t batch_texts = 0;  ///< Texts per call that the provider can take; 0: no limit was met.
  std::size_t batch_bytes = 0;  ///< The same in bytes of text.
  /// Bytes of a long text that the provider took, when it had refused more: the first try for the next text that it
  /// refuses. Never a limit. 0: not known.
  std::size_t input_bytes = 0;
  WallTime paused_until{};   ///< A worker waits for it until then. In the past, or zero: none does.
  std::string pause_reason;  ///< One line; empty when it was never paused, or has answered since.
  /// It refuses every text until somebody does something (a key, a budget). One job has failed and said so; the others
  /// wait until a call succeeds.
  bool stopped = false;
  /// Prompt tokens as the provider counted them. Passes report them with their fenced writes. The tokens of stored
  /// vectors are counted, once. If a pass died or lost its lease, the tokens since its last write are not counted.
  std::uint64_t tokens_total = 0;
  std::uint64_t tokens_today = 0;  ///< Those of the UTC day of `read_at`.
  WallTime updated_at{};
  WallTime read_at{};  ///< The store's time of this answer.
};

/// What a worker tells the store about a provider. Members that are left out stay as they are. The same note sent twice
/// has the effect of one.
struct ProviderNote {
  std::string space_id;  ///< Empty: not known.
  struct Batch {
    std::size_t texts = 0, bytes = 0;  ///< As in ProviderState; 0 forgets the limit.
  };
  std::optional<Batch> batch;
  std::optional<std::size_t> input_bytes;  ///< As in ProviderState.
  struct Pause {
    Duration wait{0};  ///< From now on. Zero or less: the pause is over, and forgotten.
    std::string reason;
    bool stopped = false;  ///< As in ProviderState.
  };
  std::optional<Pause> pause;
};

/// Work waits for the provider: it limits, loads, can't be reached, or a budget is used up.
struct ProviderPause {
  Duration lasted{0};  ///< For how long it has not been called, or has not answered.
  Duration left{0};    ///< Until it is tried again; zero: that is being done.
  std::string reason;
};

/// Non-empty UTF-8 without control characters, at most 512 bytes.
Status validate_provider(std::string_view provider);
/// A worker waits for the provider at `now`. A pause that ends so far ahead that no rule can have set it does not
/// count: the clock was set back.
[[nodiscard]] bool is_paused(const ProviderState& state, WallTime now) noexcept;

}  // namespace embedjobs
