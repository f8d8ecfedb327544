// Vectors by content: (space, SHA-256 of the full text).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "embedjobs/persister.hpp"
#include "postgres/connection.hpp"

namespace embedjobs::postgres {

/// Which texts have a vector that the pass may reuse: answer[i] for texts[i]. Reads the addresses alone, no vector.
std::vector<bool> reusable(Connection& connection, std::int64_t space_id, const PassContext& context, const std::vector<TextHash>& texts);

/// Adds the vectors, or replaces stored ones unless they are of a later epoch. Of two rows with the same text the last one counts.
/// The sweep is kept away.
Status put_vectors(Connection& connection, std::int64_t space_id, const PassContext& context, std::span<const VectorRow> rows);

/// Operations point to the texts again: their vectors are not swept for now. The sweep is kept away.
void mark_referenced(Connection& connection, std::int64_t space_id, const std::vector<TextHash>& texts);

}  // namespace embedjobs::postgres
