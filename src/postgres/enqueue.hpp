// A new generation of a key for a switch, and its end: what enqueue and put do is in the schema's functions, for hosts in any language.
#pragma once

#include "postgres/records.hpp"

namespace embedjobs::postgres {

/// A generation for another target space. A pass that runs is revoked: its job is pending again at once and its fence is void.
/// The key is locked.
void enqueue_for_switch(Connection& connection, KeyRow& key, const SpecKey& name);

/// Tombstone: cancels the open job, revokes the lease, drops the unit's record of failing. The key is locked.
void cancel_key(Connection& connection, KeyRow& key);

}  // namespace embedjobs::postgres
