// What a key has beside its jobs: a document, rows, or both. And what searches of its catalog read.
#pragma once

#include "sqlite/records.hpp"

namespace embedjobs::sqlite {

bool has_document(Connection& connection, const KeyRow& key);

/// Document and rows are gone. The rows are unlinked here and deleted by the sweep, so that a large spec is removed in
/// a short transaction.
void drop_spec(Connection& connection, KeyRow& key, WallTime now);

/// Call it before the spec shows another space. If searches of the catalog still read the space that the spec shows
/// now, its rows in that space are kept for them.
void keep_searched(Connection& connection, const KeyRow& key, std::int64_t new_space_id);

/// Lets searches read the target space, if every spec of the catalog that shows rows shows them in that space now.
void follow_target(Connection& connection, std::int64_t catalog_id);

}  // namespace embedjobs::sqlite
