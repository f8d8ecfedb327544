#include "sqlite/vectors.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <numeric>

#include "sqlite/records.hpp"
#include "sqlite/sqlite_catalog.hpp"

namespace embedjobs::sqlite {
namespace {

constexpr const char* kProbe = "SELECT epoch, embedded_bytes, input_cap FROM vectors WHERE space_id = ? AND text_hash = ?";
constexpr const char* kLastId = "SELECT MAX(id) FROM vector_data";
constexpr const char* kInsertAddress =
    "INSERT INTO vectors (space_id, text_hash, epoch, embedded_bytes, input_cap, unreferenced_since, vector_id) "
    "VALUES (?, ?, ?, ?, ?, 0, ?) ON CONFLICT (space_id, text_hash) DO NOTHING";
constexpr const char* kInsertData = "INSERT INTO vector_data (id, vector) VALUES (?, ?)";
constexpr const char* kLoadAddress = "SELECT epoch, embedded_bytes, input_cap, vector_id FROM vectors WHERE space_id = ? AND text_hash = ?";
constexpr const char* kUpdateAddress =
    "UPDATE vectors SET epoch = ?3, embedded_bytes = ?4, input_cap = ?5, unreferenced_since = 0 WHERE space_id = ?1 AND text_hash = ?2";
constexpr const char* kUpdateData = "UPDATE vector_data SET vector = ?2 WHERE id = ?1";
constexpr const char* kMarkReferenced =
    "UPDATE vectors SET unreferenced_since = 0 WHERE space_id = ? AND text_hash = ? AND unreferenced_since <> 0";

/// A vector of a cut text may not be reused where more of the text would be embedded.
bool cap_allows(std::size_t embedded_bytes, std::size_t stored_cap, std::size_t cap) {
  return embedded_bytes == 0 || (cap == 0 ? stored_cap == 0 : stored_cap >= cap);
}

void swap_bytes(std::span<std::uint8_t> bytes) {
  for (std::size_t i = 0; i + 4 <= bytes.size(); i += 4) {
    std::reverse(bytes.begin() + static_cast<std::ptrdiff_t>(i), bytes.begin() + static_cast<std::ptrdiff_t>(i + 4));
  }
}

constexpr bool kSwap = std::endian::native != std::endian::little;

}  // namespace

Blob to_stored(std::span<const float> vector, std::vector<float>& buffer) {
  if constexpr (kSwap) {
    buffer.assign(vector.begin(), vector.end());
    swap_bytes({reinterpret_cast<std::uint8_t*>(buffer.data()), buffer.size() * sizeof(float)});
    return {buffer.data(), buffer.size() * sizeof(float)};
  }
  return {vector.data(), vector.size_bytes()};
}

bool from_stored(std::span<const std::uint8_t> blob, std::size_t dimension, std::vector<float>& vector) {
  if (blob.size() != dimension * sizeof(float)) {
    return false;
  }
  vector.resize(dimension);
  std::memcpy(vector.data(), blob.data(), blob.size());
  if constexpr (kSwap) {
    swap_bytes({reinterpret_cast<std::uint8_t*>(vector.data()), blob.size()});
  }
  return true;
}

VectorProbe::VectorProbe(Connection& connection, std::int64_t space_id, const PassContext& context)
    : query_(connection.query(kProbe)), space_id_(space_id), reuse_floor_(context.reuse_floor), input_cap_(context.input_cap) {}

bool VectorProbe::reusable(const TextHash& hash) {
  query_.again(space_id_, hash);
  return query_.next() && query_.number(0) >= reuse_floor_ && cap_allows(query_.number(1), query_.number(2), input_cap_);
}

VectorWriter::VectorWriter(Connection& connection, std::int64_t space_id, const PassContext& context)
    : connection_(connection), space_id_(space_id), context_(context), next_id_(connection.value_or(0, kLastId) + 1) {}

void VectorWriter::put(const VectorRow& row) {
  // The usual case first: the text is new, one insert each and nothing read.
  const int inserted =
      connection_.run(kInsertAddress, space_id_, row.text_hash, context_.epoch, row.embedded_bytes, row.input_cap, next_id_);
  if (inserted == 0) {
    replace(row);
    return;
  }
  std::vector<float> buffer;
  connection_.run(kInsertData, next_id_, to_stored(row.vector, buffer));
  ++next_id_;
}

void VectorWriter::replace(const VectorRow& row) {
  std::int64_t data_id = 0;
  {
    Query stored = connection_.query(kLoadAddress, space_id_, row.text_hash);
    if (!stored.next()) {
      return;
    }
    // A later epoch stays, unless this pass could not use it: it would embed the text again and again.
    if (stored.number(0) > context_.epoch && cap_allows(stored.number(1), stored.number(2), context_.input_cap)) {
      return;
    }
    data_id = stored.integer(3);
  }
  std::vector<float> buffer;
  connection_.run(kUpdateAddress, space_id_, row.text_hash, context_.epoch, row.embedded_bytes, row.input_cap);
  connection_.run(kUpdateData, data_id, to_stored(row.vector, buffer));
}

void mark_referenced(Connection& connection, std::int64_t space_id, const TextHash& hash) {
  connection.run(kMarkReferenced, space_id, hash);
}

Result<std::vector<bool>> SqliteCatalog::list_existing(const PassContext& context, const Manifest& wanted) {
  std::vector<bool> existing(wanted.size(), false);
  std::vector<std::uint32_t> order(wanted.size());
  std::iota(order.begin(), order.end(), 0U);
  std::sort(order.begin(), order.end(), [&](std::uint32_t a, std::uint32_t b) { return wanted.text_hash(a) < wanted.text_hash(b); });
  for (std::size_t begin = 0; begin < order.size(); begin += kReadPieceRows) {
    const std::size_t end = std::min(order.size(), begin + kReadPieceRows);
    Status status = database_->read([&](Connection& connection) -> Status {
      const std::optional<CatalogRow> catalog = find_catalog(connection, context.key.catalog_id);
      const std::int64_t space_id = catalog ? find_space(connection, catalog->id, context.space.id()) : 0;
      if (space_id == 0) {
        return {};
      }
      VectorProbe probe(connection, space_id, context);
      for (std::size_t i = begin; i < end; ++i) {
        existing[order[i]] = probe.reusable(wanted.text_hash(order[i]));
      }
      return {};
    });
    if (!status.ok()) {
      return status;
    }
  }
  return existing;
}

}  // namespace embedjobs::sqlite
