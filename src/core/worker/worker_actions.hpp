// What a worker asks of the world: calls to its store and its embedder, the actions of its passes, and what it says.
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "core/worker/pass_actions.hpp"
#include "embedjobs/events.hpp"
#include "embedjobs/provider.hpp"
#include "embedjobs/sys/runtime.hpp"
#include "embedjobs/sys/store.hpp"

namespace embedjobs::core {

using PassId = std::uint64_t;

struct SpaceAction {};
struct ClaimAction {
  ClaimRequest request;  ///< nonce 0: the shell draws a new one; else the claim is sent again.
};
struct ProviderAction {
  std::string provider;
};
struct NoteAction {
  std::string provider;
  ProviderNote note;
};
/// "I am here", for the fleet view.
struct RegisterAction {
  std::string provider, space_id;  ///< Empty: not known yet.
};
struct UnregisterAction {};
struct PeekAction {
  std::string space_id;
};
struct RenewAction {
  std::vector<LeaseRef> leases;
  std::vector<PassId> passes;
  Duration time_limit;
  MonoTime sent_at;
};
struct PassStep {
  PassId pass = 0;
  PassAction action;
};
struct LogAction {
  LogLevel level;
  std::string message;
};
struct EventAction {
  Event event;
};
struct StoppedAction {};
using WorkerAction =
    std::variant<SpaceAction, ProviderAction, NoteAction, RegisterAction, UnregisterAction, ClaimAction, PeekAction,
                 RenewAction, PassStep, LogAction, EventAction, StoppedAction>;
using WorkerActions = std::vector<WorkerAction>;

}  // namespace embedjobs::core
