// What a pass asks of the world: each action is a call to one of the worker's parts, and its answer comes back to the
// pass as an event.
#pragma once

#include <cstdint>
#include <memory>
#include <variant>
#include <vector>

#include "core/worker/batch.hpp"
#include "core/worker/plan.hpp"
#include "embedjobs/events.hpp"
#include "embedjobs/persister.hpp"
#include "embedjobs/resolver.hpp"
#include "embedjobs/sys/store.hpp"

namespace embedjobs::core {

struct ResolveAction {};
struct SplitAction {
  std::shared_ptr<const Document> document;
};
struct ListAction {
  std::shared_ptr<const Plan> plan;
};
struct ReserveAction {
  std::shared_ptr<const Plan> plan;
  std::shared_ptr<const std::vector<std::uint32_t>> operations;  ///< First operations of texts.
  std::vector<std::uint32_t> given_up;                           ///< Likewise.
};
struct RecordAction {
  std::vector<TextHash> sent;
  std::vector<TextHash> answered;
};
struct EmbedAction {
  std::shared_ptr<const Plan> plan;
  Batch batch;
};
struct PersistAction {
  std::shared_ptr<const Plan> plan;
  std::shared_ptr<const std::vector<EmbeddedBatch>> chunk;
};
struct ProgressAction {
  Progress progress;
};
struct ComputeAction {
  std::shared_ptr<const Document> document;
};
struct FinalizeAction {
  std::shared_ptr<const Manifest> manifest;
};
struct SettleAction {
  Outcome outcome;
};
struct EmitAction {
  Event event;
};
using PassAction = std::variant<ResolveAction, SplitAction, ListAction, ReserveAction, RecordAction, EmbedAction,
                                PersistAction, ProgressAction, ComputeAction, FinalizeAction, SettleAction, EmitAction>;
using PassActions = std::vector<PassAction>;

}  // namespace embedjobs::core
