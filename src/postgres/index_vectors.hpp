// HNSW indexes over vectors, one a space, made on request.
#pragma once

#include <cstdint>
#include <string>

#include "postgres/client/connection.hpp"

namespace embedjobs::postgres {

/// Without schema.
std::string vector_index_name(std::int64_t space_id);
/// Whether there is one that is ready.
bool has_vector_index(Connection& connection, std::int64_t space_id);

}  // namespace embedjobs::postgres
