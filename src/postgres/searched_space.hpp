// What searches of a catalog read while its specs move from one space to another.
//
// A search is in one space. During a switch some specs are complete in the new space and others are not. Searches read
// the old space for all of them, until the last spec is complete in the new one. Then they read the new one for all.
#pragma once

#include "postgres/records.hpp"

namespace embedjobs::postgres {

/// Called before a spec shows rows of another space. If searches of the catalog still read the space that the spec
/// shows now, its rows in that space are kept for them.
void keep_searched(Connection& connection, const KeyRow& key, std::int64_t new_space_id);

/// Lets searches read the target space, if no spec of the catalog shows rows of another space now. It is sent with the
/// next question or the commit. Call it last in a transaction: while a switch is under way it locks the catalog's row.
/// The lock is for two specs that become complete at the same time: the second one must see the first.
void follow_target(Connection& connection, std::int64_t catalog_id);

}  // namespace embedjobs::postgres
