// What searches of a catalog read, while its specs move from one space to another.
#pragma once

#include "postgres/records.hpp"

namespace embedjobs::postgres {

/// Before the spec shows another space: while searches of the catalog read the one that it shows now, they go on with
/// the same rows.
void keep_searched(Connection& connection, const KeyRow& key, std::int64_t new_space_id);

/// With the next question or the commit: when no spec of the catalog shows rows of another space than the target any
/// more, searches read the target from now on. The last thing that a transaction does: while a switch is under way it
/// locks the catalog's row, so that of two specs that become complete at the same time the second sees the first.
void follow_target(Connection& connection, std::int64_t catalog_id);

}  // namespace embedjobs::postgres
