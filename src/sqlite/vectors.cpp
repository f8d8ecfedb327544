#include "sqlite/vectors.hpp"

#include <algorithm>
#include <bit>
#include <cstring>

#include "core/backend/stored_texts.hpp"
#include "core/rules/checks.hpp"
#include "sqlite/manifest.hpp"
#include "sqlite/sqlite_catalog.hpp"

namespace embedjobs::sqlite {
namespace {

constexpr const char* kProbe =
    "SELECT epoch, embedded_bytes, input_cap FROM vectors WHERE space_id = ? AND text_hash = ?";
constexpr const char* kLastId = "SELECT MAX(id) FROM vector_data";
constexpr const char* kInsertAddress =
    "INSERT INTO vectors (space_id, text_hash, epoch, embedded_bytes, input_cap, unreferenced_since, vector_id) "
    "VALUES (?, ?, ?, ?, ?, 0, ?) ON CONFLICT (space_id, text_hash) DO NOTHING";
constexpr const char* kInsertData = "INSERT INTO vector_data (id, vector) VALUES (?, ?)";
constexpr const char* kLoadAddress = "SELECT epoch, vector_id FROM vectors WHERE space_id = ? AND text_hash = ?";
constexpr const char* kUpdateAddress =
    "UPDATE vectors SET epoch = ?3, embedded_bytes = ?4, input_cap = ?5, unreferenced_since = 0 WHERE space_id = ?1 "
    "AND text_hash = ?2";
constexpr const char* kUpdateData = "UPDATE vector_data SET vector = ?2 WHERE id = ?1";
constexpr const char* kMarkReferenced =
    "UPDATE vectors SET unreferenced_since = 0 WHERE space_id = ? AND text_hash = ? AND unreferenced_since <> 0";

VectorMark mark_of(const Query& row) {
  return {.epoch = row.number(0), .embedded_bytes = row.number(1), .input_cap = row.number(2)};
}

[[maybe_unused]] void swap_bytes(std::span<std::uint8_t> bytes) {
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
    : query_(connection.query(kProbe)), space_id_(space_id), context_(context) {}

bool VectorProbe::reusable(const TextHash& hash) {
  query_.again(space_id_, hash);
  return query_.next() && may_reuse(context_, mark_of(query_));
}

std::vector<bool> reusable(Connection& connection, std::int64_t space_id, const PassContext& context,
                           std::span<const TextHash> texts) {
  VectorProbe probe(connection, space_id, context);
  std::vector<bool> answer;
  answer.reserve(texts.size());
  for (const TextHash& text : texts) {
    answer.push_back(probe.reusable(text));
  }
  return answer;
}

VectorWriter::VectorWriter(Connection& connection, std::int64_t space_id, const PassContext& context)
    : connection_(connection), space_id_(space_id), context_(context), next_id_(connection.value_or(0, kLastId) + 1) {}

void VectorWriter::put(const VectorRow& row) {
  // The usual case first: the text is new, one insert each and nothing read.
  const int inserted = connection_.run(kInsertAddress, space_id_, row.text_hash, context_.epoch, row.embedded_bytes,
                                       row.input_cap, next_id_);
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
  bool stays = false;
  {
    Query stored = connection_.query(kLoadAddress, space_id_, row.text_hash);
    if (!stored.next()) {
      return;
    }
    // A pass from before a manual retry does not undo the retry's work for another document.
    stays = stored.number(0) > context_.epoch;
    data_id = stored.integer(1);
  }
  if (stays) {
    mark_referenced(connection_, space_id_, row.text_hash);
    return;
  }
  std::vector<float> buffer;
  connection_.run(kUpdateAddress, space_id_, row.text_hash, context_.epoch, row.embedded_bytes, row.input_cap);
  if (connection_.run(kUpdateData, data_id, to_stored(row.vector, buffer)) == 0) {
    connection_.run(kInsertData, data_id, to_stored(row.vector, buffer));  // it was deleted, by whoever
  }
}

void mark_referenced(Connection& connection, std::int64_t space_id, const TextHash& hash) {
  connection.run(kMarkReferenced, space_id, hash);
}

Result<std::vector<bool>> SqliteCatalog::list_existing(const PassContext& context, const Manifest& wanted) {
  if (Status status = core::check_pass(context); !status.ok()) {
    return status;
  }
  return core::stored_texts(wanted, [&](const std::vector<TextHash>& texts) {
    return database_->read([&](Connection& connection) -> Result<std::vector<bool>> {
      auto key = fenced_key(connection, context);
      if (!key.ok()) {
        return key.status();
      }
      return reusable(connection, find_space(connection, key->catalog_id, context.space.id()), context, texts);
    });
  });
}

}  // namespace embedjobs::sqlite
