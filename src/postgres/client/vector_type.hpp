// What a schema keeps vectors as: real[], or pgvector's vector or halfvec; and their binary formats.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "embedjobs/persister.hpp"
#include "embedjobs/postgres.hpp"
#include "postgres/client/values.hpp"

namespace embedjobs::postgres {

class Connection;

/// pgvector's own limit for a column.
inline constexpr std::size_t kMaxVectorDimension = 16'000;

struct VectorType {
  PostgresVectors kind = PostgresVectors::kAuto;  ///< kAuto: not asked for yet.
  std::string home;                               ///< The extension's schema, quoted, with the dot; empty for real[].
  TypeId id = 0;
  TypeId array_id = 0;
  bool iterates = false;  ///< Index scans go on until there are enough rows (pgvector 0.8 and newer).

  /// Vectors of one dimension: an array of them; of real[] one flat array.
  [[nodiscard]] TypedValue array_of(const std::vector<std::span<const float>>& vectors) const;
  /// Not for real[].
  [[nodiscard]] TypedValue value_of(std::span<const float> vector) const;
  /// False: the field is something else.
  bool read(std::string_view field, std::vector<float>& out) const;
};

/// "auto", "real", "vector", "halfvec": as the DSN has it.
std::string_view to_string(PostgresVectors vectors);

/// At open: kUnusable when the server can't work with the schema's type any more, or the options ask for another one.
Status check_vector_type(Connection& connection, const PostgresOptions& options);

/// kInvalidArgument: the type can't hold such a vector.
Status check_fits(const VectorType& type, const Space& space, std::span<const VectorRow> rows);

}  // namespace embedjobs::postgres
