// Reservations: which pass embeds a text.
#pragma once

#include <cstddef>
#include <cstdint>

#include "sqlite/connection.hpp"

namespace embedjobs::sqlite {

/// The key's pass has stored the text's vector.
void end_reservation(Connection& connection, std::int64_t space_id, const TextHash& text, std::int64_t key_id);

/// Deletes up to `limit` whose pass is over.
void drop_stale_reservations(Connection& connection, std::size_t limit);

}  // namespace embedjobs::sqlite
