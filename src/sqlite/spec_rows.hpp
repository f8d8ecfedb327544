// What a key has beside its jobs: a document, rows, or both. And what searches of its catalog read.
#pragma once

#include "sqlite/records.hpp"

namespace embedjobs::sqlite {

bool has_document(Connection& connection, const KeyRow& key);

/// Document and rows are gone. The rows are unlinked here and deleted by the sweep, so that a large spec is removed in
/// a short transaction.
void drop_spec(Connection& connection, KeyRow& key, WallTime now);

/// Before the spec shows another space: while searches of the catalog read the one that it shows now, they go on with
/// the same rows.
void keep_searched(Connection& connection, const KeyRow& key, std::int64_t new_space_id);

/// When no spec of the catalog shows rows of another space than the target any more, searches read the target from now
/// on.
void follow_target(Connection& connection, std::int64_t catalog_id);

}  // namespace embedjobs::sqlite
