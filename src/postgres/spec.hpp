// What a key has beside its jobs: a document, rows, or both. And what searches of its catalog read.
#pragma once

#include "postgres/records.hpp"

namespace embedjobs::postgres {

bool has_document(Connection& connection, const KeyRow& key);

/// Document and rows are gone. The rows are unlinked here and deleted by the sweep, so that a large spec is removed in a short transaction.
/// The key is locked.
void drop_spec(Connection& connection, KeyRow& key);

/// Before the spec shows another space: while searches of the catalog read the one that it shows now, they go on with the same rows.
void keep_searched(Connection& connection, const KeyRow& key, std::int64_t new_space_id);

/// When no spec of the catalog shows rows of another space than the target any more, searches read the target from now on. The last thing
/// that a transaction does: while a switch is under way it locks the catalog's row, so that of two specs that become complete at the same
/// time the second sees the first.
void follow_target(Connection& connection, std::int64_t catalog_id);

}  // namespace embedjobs::postgres
