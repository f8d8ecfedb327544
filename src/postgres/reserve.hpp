// Reservations: which pass embeds a text.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "postgres/client/connection.hpp"

namespace embedjobs::postgres {

/// The key's pass has stored the texts' vectors.
void end_reservations(Connection& connection, std::int64_t space_id, const std::vector<TextHash>& texts,
                      std::int64_t key_id);

/// Deletes up to `limit` whose pass is over.
void drop_stale_reservations(Connection& connection, std::size_t limit);

}  // namespace embedjobs::postgres
