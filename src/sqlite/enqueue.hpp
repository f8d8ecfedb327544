// A new generation of a key and its job: shared by enqueue, put and the switch of a space.
#pragma once

#include "embedjobs/sys/store.hpp"
#include "sqlite/records.hpp"

namespace embedjobs::sqlite {

/// Raises the key's generation and makes sure that a job is open.
EnqueueResult enqueue_generation(Connection& connection, KeyRow& key, const SpecKey& name, JobKind kind, WallTime now);

/// A generation for another target space. A pass that runs is revoked: its job is pending again at once and its fence
/// is void.
void enqueue_for_switch(Connection& connection, KeyRow& key, const SpecKey& name, WallTime now);

/// Tombstone: cancels the open job, revokes the lease, drops the key's record of failing.
void cancel_key(Connection& connection, KeyRow& key, WallTime now);

}  // namespace embedjobs::sqlite
