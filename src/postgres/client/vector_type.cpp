#include "postgres/client/vector_type.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <charconv>
#include <cstring>

#include "postgres/client/connection.hpp"

namespace embedjobs::postgres {
namespace {

constexpr TypeId kFloat4 = 700, kFloat4Array = 1021;  // pg_type.dat: these never change
constexpr std::size_t kArrayHeader = 20;              // dimensions, has nulls, element type, length, lower bound
constexpr std::size_t kVectorHeader = 4;              // dimension, zero
constexpr std::uint16_t kHalfInfinity = 0x7c00;

constexpr const char* kFind =
    "SELECT t.typname, t.oid::bigint, t.typarray::bigint, quote_ident(n.nspname),"
    " coalesce((SELECT e.extversion FROM pg_catalog.pg_extension AS e WHERE e.extname = 'vector'), '') "
    "FROM pg_catalog.pg_attribute AS a JOIN pg_catalog.pg_type AS t ON t.oid = a.atttypid"
    " JOIN pg_catalog.pg_namespace AS n ON n.oid = t.typnamespace "
    "WHERE a.attrelid = to_regclass('@vectors') AND a.attname = 'vector' AND NOT a.attisdropped";

/// Big-endian, at `at`, which moves on.
template <typename Unsigned>
void put(char*& at, Unsigned value) {
  if constexpr (std::endian::native == std::endian::little && sizeof(Unsigned) == 4) {
    value = __builtin_bswap32(value);
  } else if constexpr (std::endian::native == std::endian::little) {
    value = __builtin_bswap16(value);
  }
  std::memcpy(at, &value, sizeof value);
  at += sizeof value;
}

std::uint32_t get32(const char* at) {
  return static_cast<std::uint32_t>(read_integer({at, 4}));
}

std::uint16_t get16(const char* at) {
  return static_cast<std::uint16_t>(read_integer({at, 2}));
}

/// IEEE half precision, rounded to the nearest, ties to even. What is too large is infinity.
std::uint16_t half_of(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t sign = bits >> 16 & 0x8000U;
  const std::uint32_t magnitude = bits & 0x7fffffffU;
  if (magnitude >= 0x47800000U) {  // 65,536
    return static_cast<std::uint16_t>(sign | kHalfInfinity);
  }
  if (magnitude < 0x38800000U) {  // 2^-14: a denormal half is a multiple of 2^-24, as floats near 0.5 step
    const float stepped = std::bit_cast<float>(magnitude) + 0.5F;
    return static_cast<std::uint16_t>(sign |
                                      (std::bit_cast<std::uint32_t>(stepped) - std::bit_cast<std::uint32_t>(0.5F)));
  }
  const std::uint32_t odd = magnitude >> 13 & 1U;
  return static_cast<std::uint16_t>(sign | ((magnitude - (112U << 23) + 0xfffU + odd) >> 13));
}

float float_of(std::uint16_t half) {
  const std::uint32_t sign = (half & 0x8000U) << 16;
  const std::uint32_t exponent = half >> 10 & 0x1fU;
  const std::uint32_t mantissa = half & 0x3ffU;
  if (exponent == 0) {
    const float value = static_cast<float>(mantissa) * 0x1p-24F;
    return sign == 0 ? value : -value;
  }
  return std::bit_cast<float>(sign | (exponent == 0x1fU ? 0x7f800000U : (exponent + 112) << 23) | mantissa << 13);
}

void put_header(char*& at, TypeId element, std::size_t count) {
  put(at, std::uint32_t{1});
  put(at, std::uint32_t{0});
  put(at, element);
  put(at, static_cast<std::uint32_t>(count));
  put(at, std::uint32_t{1});
}

std::size_t vector_bytes(PostgresVectors kind, std::size_t dimension) {
  return kVectorHeader + dimension * (kind == PostgresVectors::kHalfvec ? 2 : 4);
}

void put_vector(char*& out, PostgresVectors kind, std::span<const float> vector) {
  char* at = out;  // nothing that is written through it can be it
  put(at, static_cast<std::uint16_t>(vector.size()));
  put(at, std::uint16_t{0});
  if (kind == PostgresVectors::kHalfvec) {
    for (const float value : vector) {
      put(at, half_of(value));
    }
  } else {
    for (const float value : vector) {
      put(at, std::bit_cast<std::uint32_t>(value));
    }
  }
  out = at;
}

TypedValue flat_array(const std::vector<std::span<const float>>& vectors) {
  std::size_t count = 0;
  for (const auto& vector : vectors) {
    count += vector.size();
  }
  TypedValue value{.type = kFloat4Array, .bytes = std::string(kArrayHeader + count * 8, '\0')};
  char* at = value.bytes.data();
  put_header(at, kFloat4, count);
  for (const auto& vector : vectors) {
    for (const float element : vector) {
      put(at, std::uint32_t{4});
      put(at, std::bit_cast<std::uint32_t>(element));
    }
  }
  return value;
}

bool read_reals(std::string_view field, std::vector<float>& out) {
  if (field.size() < kArrayHeader || get32(field.data()) != 1 || get32(field.data() + 4) != 0 ||
      get32(field.data() + 8) != kFloat4) {
    return false;
  }
  const std::size_t count = get32(field.data() + 12);
  if (field.size() != kArrayHeader + count * 8) {
    return false;
  }
  out.resize(count);
  for (std::size_t i = 0; i < count; ++i) {
    out[i] = std::bit_cast<float>(get32(field.data() + kArrayHeader + i * 8 + 4));
  }
  return true;
}

PostgresVectors kind_of(std::string_view type_name) {
  if (type_name == "_float4") {
    return PostgresVectors::kReal;
  }
  return type_name == to_string(PostgresVectors::kVector)    ? PostgresVectors::kVector
         : type_name == to_string(PostgresVectors::kHalfvec) ? PostgresVectors::kHalfvec
                                                             : PostgresVectors::kAuto;
}

/// "0.8.5" is at least 0.8.
bool has_iterative_scans(std::string_view version) {
  int major = 0;
  int minor = 0;
  const char* const end = version.data() + version.size();
  const auto parsed = std::from_chars(version.data(), end, major);
  if (parsed.ec == std::errc() && parsed.ptr != end) {
    (void)std::from_chars(parsed.ptr + 1, end, minor);
  }
  return major > 0 || minor >= 8;
}

}  // namespace

std::string_view to_string(PostgresVectors vectors) {
  switch (vectors) {
    case PostgresVectors::kAuto: return "auto";
    case PostgresVectors::kReal: return "real";
    case PostgresVectors::kVector: return "vector";
    case PostgresVectors::kHalfvec: return "halfvec";
  }
  return "";
}

TypedValue VectorType::array_of(const std::vector<std::span<const float>>& vectors) const {
  if (kind == PostgresVectors::kReal || vectors.empty()) {
    return flat_array(vectors);
  }
  const std::size_t bytes = vector_bytes(kind, vectors.front().size());
  TypedValue value{.type = array_id, .bytes = std::string(kArrayHeader + vectors.size() * (4 + bytes), '\0')};
  char* at = value.bytes.data();
  put_header(at, id, vectors.size());
  for (const auto& vector : vectors) {
    put(at, static_cast<std::uint32_t>(bytes));
    put_vector(at, kind, vector);
  }
  return value;
}

TypedValue VectorType::value_of(std::span<const float> vector) const {
  TypedValue value{.type = id, .bytes = std::string(vector_bytes(kind, vector.size()), '\0')};
  char* at = value.bytes.data();
  put_vector(at, kind, vector);
  return value;
}

bool VectorType::read(std::string_view field, std::vector<float>& out) const {
  if (kind == PostgresVectors::kReal) {
    return read_reals(field, out);
  }
  if (field.size() < kVectorHeader) {
    return false;
  }
  const std::size_t dimension = get16(field.data());
  if (field.size() != vector_bytes(kind, dimension)) {
    return false;
  }
  out.resize(dimension);
  const char* const first = field.data() + kVectorHeader;
  for (std::size_t i = 0; i < dimension; ++i) {
    out[i] =
        kind == PostgresVectors::kHalfvec ? float_of(get16(first + i * 2)) : std::bit_cast<float>(get32(first + i * 4));
  }
  return true;
}

const VectorType& Connection::vector_type() {
  if (vector_type_.kind != PostgresVectors::kAuto || !ok()) {
    return vector_type_;
  }
  VectorType found;
  {
    Query row = query(kFind);
    if (row.next()) {
      found.kind = kind_of(row.blob(0));
      found.id = static_cast<TypeId>(row.integer(1));
      found.array_id = static_cast<TypeId>(row.integer(2));
      found.home = found.kind == PostgresVectors::kReal ? std::string() : row.text(3) + ".";
      found.iterates = has_iterative_scans(row.blob(4));
    }
  }
  if (found.kind == PostgresVectors::kAuto || found.home.find('@') != std::string::npos) {
    fail({Code::kUnusable, fmt::format("the schema {} has no column of vectors that this library can use: was the "
                                       "extension vector dropped? Restore it from a "
                                       "backup, or name another schema in the DSN",
                                       schema_.substr(0, schema_.size() - 1))});
    return vector_type_;
  }
  vector_type_ = std::move(found);
  return vector_type_;
}

Status check_vector_type(Connection& connection, const PostgresOptions& options) {
  const VectorType& type = connection.vector_type();
  if (connection.ok() && type.kind != PostgresVectors::kReal) {
    // The type may be there without the library that works with it: after an upgrade, on another machine.
    (void)connection.execute(fmt::format("SELECT '[1]'::#{}", to_string(type.kind)));
  }
  if (!connection.ok()) {
    const Status error = connection.take_error();
    if (type.kind == PostgresVectors::kAuto || error.code() == Code::kRetry) {
      return error;
    }
    return {Code::kUnusable,
            fmt::format("the schema {} keeps its vectors as {}, which this server or this role can't use: install "
                        "pgvector, or grant USAGE on its schema ({})",
                        options.schema, to_string(type.kind), error.message())};
  }
  if (options.vectors != PostgresVectors::kAuto && options.vectors != type.kind) {
    return {
        Code::kUnusable,
        fmt::format(
            "the schema {} keeps its vectors as {}, not as {}: leave vectors out of the DSN, or name another schema",
            options.schema, to_string(type.kind), to_string(options.vectors))};
  }
  return {};
}

Status check_fits(const VectorType& type, const Space& space, std::span<const VectorRow> rows) {
  if (type.kind == PostgresVectors::kReal || type.kind == PostgresVectors::kAuto) {
    return {};
  }
  if (space.dimension > kMaxVectorDimension) {
    return {Code::kInvalidArgument,
            fmt::format("the space {} has {} dimensions, pgvector keeps at most {}: use a schema with vectors=real",
                        space.id(), space.dimension, kMaxVectorDimension)};
  }
  if (type.kind == PostgresVectors::kVector) {
    return {};
  }
  for (const VectorRow& row : rows) {
    bool zero = true;
    bool finite = true;
    for (const float value : row.vector) {
      const auto magnitude = static_cast<std::uint16_t>(half_of(value) & 0x7fffU);
      zero = zero && magnitude == 0;
      finite = finite && magnitude < kHalfInfinity;
    }
    if (zero || !finite) {
      return {Code::kInvalidArgument,
              fmt::format("operation '{}': the vector is too {} for halfvec: use a schema with vectors=vector",
                          row.operation_id, zero ? "small" : "large")};
    }
  }
  return {};
}

}  // namespace embedjobs::postgres
