// Vectors by content: (space, SHA-256 of the full text).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "embedjobs/persister.hpp"
#include "postgres/client/connection.hpp"

namespace embedjobs::postgres {

// Rows as a statement's input `i`: $2 to $4 and $6 are the members of VectorArrays. Rows come in the order of hashes,
// so that two passes with texts in common do not wait for each other crosswise. Of pgvector's type they come as an
// array of vectors; of real[] as one flat array, $7 floats each, since unnest() of an array of arrays flattens it.
#define EMBEDJOBS_INPUT_OF_VECTORS                                                                             \
  "(SELECT unnest($2::bytea[]) AS text_hash, unnest($3::bigint[]) AS embedded_bytes, unnest($4::bigint[]) AS " \
  "input_cap,"                                                                                                 \
  " unnest($6) AS vector) AS i"
#define EMBEDJOBS_INPUT_OF_REALS                                          \
  "(SELECT u.text_hash, u.embedded_bytes, u.input_cap,"                   \
  " ($6::real[])[(u.place - 1) * $7 + 1 : u.place * $7] AS vector"        \
  " FROM unnest($2::bytea[], $3::bigint[], $4::bigint[]) WITH ORDINALITY" \
  " AS u (text_hash, embedded_bytes, input_cap, place)) AS i"

/// Rows as arrays, one a text, in the order of hashes. Their vectors are those of the rows, not copied.
struct VectorArrays {
  std::vector<TextHash> texts;
  std::vector<std::int64_t> bytes;
  std::vector<std::int64_t> caps;
  std::vector<std::span<const float>> vectors;

  explicit VectorArrays(std::span<const VectorRow* const> rows);
};
/// Of rows with the same text the last one, in the order of hashes.
std::vector<const VectorRow*> last_of_each_text(std::span<const VectorRow> rows);

/// Which texts have a vector that the pass may reuse: answer[i] for texts[i]. Reads the addresses alone, no vector.
std::vector<bool> reusable(Connection& connection, std::int64_t space_id, const PassContext& context,
                           const std::vector<TextHash>& texts);

/// Adds the vectors, or replaces stored ones unless they are of a later epoch. Of two rows with the same text the last
/// one counts. The sweep is kept away.
Status put_vectors(Connection& connection, std::int64_t space_id, const PassContext& context,
                   std::span<const VectorRow> rows);

/// Operations point to the texts again: their vectors are not swept for now. The sweep is kept away.
void mark_referenced(Connection& connection, std::int64_t space_id, const std::vector<TextHash>& texts);

}  // namespace embedjobs::postgres
