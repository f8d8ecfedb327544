// A new generation of a key for a switch. What enqueue, put and remove do is in the schema's functions, for hosts in
// any language.
#pragma once

#include "postgres/records.hpp"

namespace embedjobs::postgres {

/// A generation for another target space. A pass that runs is revoked: its job is pending again at once and its fence
/// is void. The key is locked.
void enqueue_for_switch(Connection& connection, KeyRow& key, const SpecKey& name);

}  // namespace embedjobs::postgres
