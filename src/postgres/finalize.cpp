// The end of a pass: the spec's visible rows become exactly its manifest, and nothing that is equal is written.
//
// Reading comes first, in pieces and without a lock: only the holder of the fence writes the spec's manifests, and every write looks at the
// fence again. A small difference is then applied in one transaction; a large one becomes a new manifest beside the old one, in
// pieces that nobody sees, and a short transaction that flips to it.
#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "core/checks.hpp"
#include "core/manifest_difference.hpp"
#include "postgres/manifest.hpp"
#include "postgres/postgres_catalog.hpp"
#include "postgres/spec.hpp"
#include "postgres/vectors.hpp"

namespace embedjobs::postgres {
namespace {

constexpr const char* kReadOperations =
    "SELECT operation_id, text_hash FROM @operations WHERE manifest_id = $1 AND operation_id > $2 ORDER BY operation_id LIMIT $3";
constexpr const char* kFirstOperations =
    "SELECT operation_id, text_hash FROM @operations WHERE manifest_id = $1 ORDER BY operation_id LIMIT $2";
constexpr const char* kDeleteOperations = "DELETE FROM @operations WHERE manifest_id = $1 AND operation_id = ANY ($2)";
constexpr const char* kDropUnfinished = "UPDATE @manifests SET state = 2 WHERE key_id = $1 AND state = 1";
constexpr const char* kInsertBuilding =
    "INSERT INTO @manifests (key_id, space_id, state, flip, fence_counter, fence_nonce) "
    "SELECT k.id, $2, 1, c.flips, $3, $4 FROM @keys AS k JOIN @catalogs AS c ON c.id = k.catalog_id WHERE k.id = $1 RETURNING id";
constexpr const char* kReplaceLive = "UPDATE @manifests SET state = 2 WHERE key_id = $1 AND space_id = $2 AND state = 0 AND id <> $3";
constexpr const char* kFinish =
    "UPDATE @manifests SET state = 0, complete = true, row_count = $2, content_version = $3, splitter_version = $4 WHERE id = $1";
constexpr const char* kSaveCount = "UPDATE @keys SET operation_count = $2, updated_at = $3 WHERE id = $1 AND operation_count <> $2";

/// One finalize call.
class Finalizer {
 public:
  Finalizer(Database& database, const PassContext& context, const Manifest& manifest)
      : database_(database), context_(context), manifest_(manifest), difference_(manifest, kMaxRowsPerTransaction) {}

  Status run() {
    if (Status status = check_vectors(); !status.ok()) {
      return status;
    }
    if (Status status = find_live(); !status.ok()) {
      return status;
    }
    if (Status status = compare(); !status.ok()) {
      return status;
    }
    return difference_.too_large() ? rebuild() : apply();
  }

 private:
  Status check_vectors() const;
  Status find_live();
  Status compare();
  Status apply() const;
  Status rebuild() const;
  Status begin_building(std::int64_t& building) const;
  Status build_piece(std::int64_t building, std::span<const std::uint32_t> piece) const;
  [[nodiscard]] std::vector<TextHash> hashes_of(std::span<const std::uint32_t> piece) const;
  Status put_piece(Connection& connection, std::int64_t space_id, std::int64_t manifest_id, std::span<const std::uint32_t> piece) const;
  void finish(Connection& connection, KeyRow& key, std::int64_t space_id, std::int64_t manifest_id) const;
  [[nodiscard]] Status incomplete(std::uint32_t first, std::size_t count) const;

  Database& database_;
  const PassContext& context_;
  const Manifest& manifest_;
  std::int64_t live_ = 0;  ///< The manifest that was compared; 0: there is none.
  core::ManifestDifference difference_;
};

Status Finalizer::incomplete(std::uint32_t first, std::size_t count) const {
  return {Code::kIncomplete,
          fmt::format("operation '{}' has no vector yet ({} of {} have none)", manifest_.operation_id(first), count, manifest_.size())};
}

Status Finalizer::check_vectors() const {
  std::vector<std::uint32_t> by_hash(manifest_.size());
  std::iota(by_hash.begin(), by_hash.end(), 0U);
  std::sort(by_hash.begin(), by_hash.end(),
            [this](std::uint32_t a, std::uint32_t b) { return manifest_.text_hash(a) < manifest_.text_hash(b); });
  std::size_t missing = 0;
  std::uint32_t first = 0;
  for (std::size_t begin = 0; begin < by_hash.size(); begin += kReadPieceRows) {
    const std::size_t end = std::min(by_hash.size(), begin + kReadPieceRows);
    const std::span piece = std::span(by_hash).subspan(begin, end - begin);
    auto stored = database_.read([&](Connection& connection) -> Result<std::vector<bool>> {
      auto key = fenced_key(connection, context_, FenceCheck::kLook);
      if (!key.ok()) {
        return key.status();
      }
      return reusable(connection, find_space(connection, key->catalog_id, context_.space.id()), context_, hashes_of(piece));
    });
    if (!stored.ok()) {
      return stored.status();
    }
    for (std::size_t i = 0; i < piece.size(); ++i) {
      if (!(*stored)[i]) {
        first = missing++ == 0 ? piece[i] : std::min(first, piece[i]);
      }
    }
  }
  return missing == 0 ? Status() : incomplete(first, missing);
}

Status Finalizer::find_live() {
  return database_.read([&](Connection& connection) -> Status {
    auto key = fenced_key(connection, context_, FenceCheck::kLook);
    if (!key.ok()) {
      return key.status();
    }
    const std::int64_t space_id = find_space(connection, key->catalog_id, context_.space.id());
    const std::optional<ManifestRow> manifest = find_live_manifest(connection, key->id, space_id);
    live_ = manifest ? manifest->id : 0;
    return {};
  });
}

Status Finalizer::compare() {
  std::string after;
  for (bool last = false, first = true; !last && !difference_.too_large(); first = false) {
    auto read = database_.read([&](Connection& connection) -> Result<std::vector<core::StoredOperation>> {
      std::vector<core::StoredOperation> rows;
      Query row = first ? connection.query(kFirstOperations, live_, kReadPieceRows)
                        : connection.query(kReadOperations, live_, blob_of(after), kReadPieceRows);
      while (row.next()) {
        rows.push_back({row.text(0), row.hash(1)});
      }
      return rows;
    });
    if (!read.ok()) {
      return read.status();
    }
    const std::vector<core::StoredOperation> piece = *std::move(read);
    last = piece.size() < kReadPieceRows;
    if (!piece.empty()) {
      after = piece.back().id;
    }
    difference_.add(piece, last);
  }
  return {};
}

std::vector<TextHash> Finalizer::hashes_of(std::span<const std::uint32_t> piece) const {
  std::vector<TextHash> hashes;
  hashes.reserve(piece.size());
  for (const std::uint32_t index : piece) {
    hashes.push_back(manifest_.text_hash(index));
  }
  return hashes;
}

/// Points operations to their texts. The sweep is kept away: no vector goes between the look and the row that points to it.
Status Finalizer::put_piece(Connection& connection, std::int64_t space_id, std::int64_t manifest_id,
                            std::span<const std::uint32_t> piece) const {
  if (piece.empty()) {
    return {};
  }
  Operations operations{.ids = {}, .texts = hashes_of(piece)};
  const std::vector<bool> stored = reusable(connection, space_id, context_, operations.texts);
  const auto missing = std::find(stored.begin(), stored.end(), false);
  if (missing != stored.end()) {
    return incomplete(piece[static_cast<std::size_t>(missing - stored.begin())], 1);
  }
  operations.ids.reserve(piece.size());
  for (const std::uint32_t index : piece) {
    operations.ids.push_back(blob_of(manifest_.operation_id(index)));
  }
  put_operations(connection, manifest_id, operations);
  mark_referenced(connection, space_id, operations.texts);
  return {};
}

Status Finalizer::apply() const {
  return database_.write(
      [&](Connection& connection) -> Status {
        auto key = fenced_key(connection, context_, FenceCheck::kHold);
        if (!key.ok()) {
          return key.status();
        }
        const std::int64_t space_id = make_space(connection, key->catalog_id, context_.space.id());
        const std::optional<ManifestRow> found = find_live_manifest(connection, key->id, space_id);
        if ((found ? found->id : 0) != live_) {
          return {Code::kRetry, "the manifest was swept while it was compared"};
        }
        const ManifestRow live = make_live_manifest(connection, key->id, space_id);
        if (Status status = put_piece(connection, space_id, live.id, difference_.put()); !status.ok()) {
          return status;
        }
        if (!difference_.deleted().empty()) {
          std::vector<Blob> ids;
          for (const std::string& id : difference_.deleted()) {
            ids.push_back(blob_of(id));
          }
          connection.run_later(kDeleteOperations, live.id, ids);
        }
        finish(connection, *key, space_id, live.id);
        return {};
      },
      SweepLock::kShared);
}

Status Finalizer::rebuild() const {
  std::int64_t building = 0;
  if (Status status = begin_building(building); !status.ok()) {
    return status;
  }
  const std::vector<std::uint32_t>& order = difference_.order();
  for (std::size_t begin = 0; begin < order.size(); begin += kMaxRowsPerTransaction) {
    const std::size_t size = std::min(order.size() - begin, kMaxRowsPerTransaction);
    if (Status status = build_piece(building, std::span(order).subspan(begin, size)); !status.ok()) {
      return status;
    }
  }
  return database_.write(
      [&](Connection& connection) -> Status {
        auto key = fenced_key(connection, context_, FenceCheck::kHold);
        if (!key.ok()) {
          return key.status();
        }
        const std::optional<ManifestRow> manifest = find_manifest(connection, building);
        if (!manifest) {
          return {Code::kRetry, "the new manifest was swept while it was built"};
        }
        connection.run_later(kReplaceLive, key->id, manifest->space_id, building);
        finish(connection, *key, manifest->space_id, building);
        return {};
      },
      SweepLock::kShared);
}

Status Finalizer::begin_building(std::int64_t& building) const {
  return database_.write([&](Connection& connection) -> Status {
    auto key = fenced_key(connection, context_, FenceCheck::kHold);
    if (!key.ok()) {
      return key.status();
    }
    const std::int64_t space_id = make_space(connection, key->catalog_id, context_.space.id());
    connection.run_later(kDropUnfinished, key->id);  // of an earlier call that did not come to its end
    building = connection.value_or(0, kInsertBuilding, key->id, space_id, context_.fence.counter, context_.fence.nonce);
    return {};
  });
}

Status Finalizer::build_piece(std::int64_t building, std::span<const std::uint32_t> piece) const {
  return database_.write(
      [&](Connection& connection) -> Status {
        auto key = fenced_key(connection, context_, FenceCheck::kHold);
        if (!key.ok()) {
          return key.status();
        }
        const std::int64_t space_id = find_space(connection, key->catalog_id, context_.space.id());
        return put_piece(connection, space_id, building, piece);
      },
      SweepLock::kShared);
}

/// The manifest is complete, and what readers see. Writes only what is not so already.
void Finalizer::finish(Connection& connection, KeyRow& key, std::int64_t space_id, std::int64_t manifest_id) const {
  const std::optional<ManifestRow> before = find_manifest(connection, manifest_id);
  const auto count = static_cast<std::int64_t>(manifest_.size());
  const bool same = before && difference_.size() == 0 && before->complete && before->row_count == count &&
                    before->content_version == context_.content_version && before->splitter_version == context_.splitter_version;
  if (!same) {
    connection.run_later(kFinish, manifest_id, count, context_.content_version, context_.splitter_version);
  }
  connection.run_later(kSaveCount, key.id, count, connection.now());
  if (key.visible_manifest_id != manifest_id || !same) {
    keep_searched(connection, key, space_id);
    key.visible_manifest_id = manifest_id;
    key.visible_space_id = space_id;
    key.has_spec = true;
    save_spec(connection, key);
  }
  follow_target(connection, key.catalog_id);
}

}  // namespace

Status PostgresCatalog::finalize(const PassContext& context, const Manifest& manifest) {
  if (Status status = core::check_pass(context); !status.ok()) {
    return status;
  }
  if (Status status = core::check_manifest(manifest); !status.ok()) {
    return status;
  }
  return Finalizer(*database_, context, manifest).run();
}

}  // namespace embedjobs::postgres
