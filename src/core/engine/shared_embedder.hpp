// One embedder for the worker's passes and for searches, within what its provider allows.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>

#include "embedjobs/embedder.hpp"

namespace embedjobs::core {

/// Keeps Embedder's promises to a host's embedder: never more than limits().concurrent_calls at a time, exceptions end
/// here. Callers are served in the order in which they came, so that a query waits for one call and not for a document.
/// Remembers the space, and refuses one that is not valid or belongs to a provider that is off.
class SharedEmbedder final : public Embedder {
 public:
  explicit SharedEmbedder(std::shared_ptr<Embedder> inner);
  Result<Space> space(const CallContext& context) override;
  /// What space() has answered before, or adopt() has taken. Calls nobody.
  std::optional<Space> known_space();
  [[nodiscard]] bool knows_space() const override;
  bool adopt(const Space& recorded) override;
  /// A query waits for its turn no longer than its time limit (kTimeout); a document as long as it takes, since a
  /// timeout would say that its batch is too large.
  Result<Embeddings> embed(std::span<const std::string_view> texts, const CallContext& context) override;
  [[nodiscard]] EmbedderLimits limits() const override { return limits_; }
  [[nodiscard]] std::string provider() const override { return provider_; }

 private:
  Status enter(const CallContext& context);
  void leave();

  const std::shared_ptr<Embedder> inner_;
  EmbedderLimits limits_;
  std::string provider_;
  mutable std::mutex mutex_;
  std::condition_variable_any changed_;
  std::optional<Space> space_;
  std::deque<std::uint64_t> waiting_;
  std::uint64_t next_ticket_ = 0;
  std::size_t calls_ = 0;
};

}  // namespace embedjobs::core
