// What a worker does when the time for it has come. Only WorkerMachine::due_at() says when that is. Both the worker's
// timer and what it starts at an event follow from it.
#pragma once

#include <array>

namespace embedjobs::core {

/// In the order in which it is done.
enum class Due {
  kOpen,      ///< Ask the embedder for its space again.
  kLeaseEnd,  ///< Fence a pass whose lease has ended by our own clock, before anybody else can hold the lease.
  kPass,      ///< Call a pass that asked to be called at a time.
  kFreeSlot,  ///< Drop a pass that has ended.
  kBudget,    ///< Ask the store how many of the day's tokens are used.
  kProvider,  ///< Say that the provider can't be called, and why; or that it can be called again.
  kNote,      ///< Tell the store what was learned of the provider.
  kRegister,  ///< Say "I am here", for the fleet view.
  kRenew,     ///< Renew all leases.
  kClaim,     ///< Claim jobs into free slots, or ask again for a claim that was not answered.
  kRelease,   ///< Release jobs that would wait for the provider longer than a lease.
  kCalls,     ///< Hand provider calls to passes.
  kPeek,      ///< Ask the store when there is something to claim.
  kSignOff,   ///< Nothing is left after a stop: sign off, and be stopped.
};

inline constexpr std::array kAllDue{Due::kOpen,     Due::kLeaseEnd, Due::kPass,     Due::kFreeSlot, Due::kBudget,
                                    Due::kProvider, Due::kNote,     Due::kRegister, Due::kRenew,    Due::kClaim,
                                    Due::kRelease,  Due::kCalls,    Due::kPeek,     Due::kSignOff};

}  // namespace embedjobs::core
