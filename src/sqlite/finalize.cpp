// The end of a pass: the spec's visible rows become exactly its manifest, and nothing that is equal is written.
//
// Reading comes first, in pieces and without a write lock: only the holder of the fence writes the spec's manifests, and every write looks
// at the fence again. A small difference is then applied in one transaction; a large one becomes a new manifest beside the old one, in
// pieces that nobody sees, and a short transaction that flips to it.
#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "core/checks.hpp"
#include "core/manifest_difference.hpp"
#include "sqlite/manifest.hpp"
#include "sqlite/spec.hpp"
#include "sqlite/sqlite_catalog.hpp"
#include "sqlite/vectors.hpp"

namespace embedjobs::sqlite {
namespace {

constexpr const char* kReadOperations =
    "SELECT operation_id, text_hash FROM operations WHERE manifest_id = ? AND operation_id > ? ORDER BY operation_id LIMIT ?";
constexpr const char* kFirstOperations =
    "SELECT operation_id, text_hash FROM operations WHERE manifest_id = ? ORDER BY operation_id LIMIT ?";
constexpr const char* kDeleteOperation = "DELETE FROM operations WHERE manifest_id = ? AND operation_id = ?";
constexpr const char* kDropUnfinished = "UPDATE manifests SET state = 2 WHERE key_id = ? AND state = 1";
constexpr const char* kInsertBuilding =
    "INSERT INTO manifests (key_id, space_id, state, flip, fence_counter, fence_nonce) "
    "SELECT k.id, ?2, 1, c.flips, ?3, ?4 FROM keys AS k JOIN catalogs AS c ON c.id = k.catalog_id WHERE k.id = ?1 RETURNING id";
constexpr const char* kReplaceLive = "UPDATE manifests SET state = 2 WHERE key_id = ? AND space_id = ? AND state = 0 AND id <> ?";
constexpr const char* kFinish =
    "UPDATE manifests SET state = 0, complete = 1, row_count = ?2, content_version = ?3, splitter_version = ?4 WHERE id = ?1";
constexpr const char* kSaveCount = "UPDATE keys SET operation_count = ?2, updated_at = ?3 WHERE id = ?1 AND operation_count <> ?2";

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
  Status check_piece(Connection& connection, std::int64_t space_id, std::span<const std::uint32_t> piece) const;
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
    Status status = database_.read([&](Connection& connection) -> Status {
      auto key = fenced_key(connection, context_);
      if (!key.ok()) {
        return key.status();
      }
      VectorProbe probe(connection, find_space(connection, key->catalog_id, context_.space.id()), context_);
      for (std::size_t i = begin; i < end; ++i) {
        if (!probe.reusable(manifest_.text_hash(by_hash[i]))) {
          first = missing++ == 0 ? by_hash[i] : std::min(first, by_hash[i]);
        }
      }
      return {};
    });
    if (!status.ok()) {
      return status;
    }
  }
  return missing == 0 ? Status() : incomplete(first, missing);
}

Status Finalizer::find_live() {
  return database_.read([&](Connection& connection) -> Status {
    auto key = fenced_key(connection, context_);
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
    std::vector<core::StoredOperation> piece;
    Status status = database_.read([&](Connection& connection) -> Status {
      Query row = first ? connection.query(kFirstOperations, live_, kReadPieceRows)
                        : connection.query(kReadOperations, live_, after, kReadPieceRows);
      while (row.next()) {
        piece.push_back({std::string(row.text(0)), row.hash(1)});
      }
      return {};
    });
    if (!status.ok()) {
      return status;
    }
    last = piece.size() < kReadPieceRows;
    if (!piece.empty()) {
      after = piece.back().id;
    }
    difference_.add(piece, last);
  }
  return {};
}

/// Under the write lock a vector can't be swept between this look and the row that points to it.
Status Finalizer::check_piece(Connection& connection, std::int64_t space_id, std::span<const std::uint32_t> piece) const {
  VectorProbe probe(connection, space_id, context_);
  for (const std::uint32_t index : piece) {
    if (!probe.reusable(manifest_.text_hash(index))) {
      return incomplete(index, 1);
    }
  }
  return {};
}

Status Finalizer::apply() const {
  return database_.write([&](Connection& connection) -> Status {
    auto key = fenced_key(connection, context_);
    if (!key.ok()) {
      return key.status();
    }
    const std::int64_t space_id = make_space(connection, key->catalog_id, context_.space.id());
    if (Status status = check_piece(connection, space_id, difference_.put()); !status.ok()) {
      return status;
    }
    const std::optional<ManifestRow> found = find_live_manifest(connection, key->id, space_id);
    if ((found ? found->id : 0) != live_) {
      return {Code::kRetry, "the manifest was swept while it was compared"};
    }
    const ManifestRow live = make_live_manifest(connection, key->id, space_id);
    for (const std::uint32_t index : difference_.put()) {
      put_operation(connection, live.id, manifest_.operation_id(index), manifest_.text_hash(index));
      mark_referenced(connection, space_id, manifest_.text_hash(index));
    }
    for (const std::string& id : difference_.deleted()) {
      connection.run(kDeleteOperation, live.id, id);
    }
    finish(connection, *key, space_id, live.id);
    return {};
  });
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
  return database_.write([&](Connection& connection) -> Status {
    auto key = fenced_key(connection, context_);
    if (!key.ok()) {
      return key.status();
    }
    const std::optional<ManifestRow> manifest = find_manifest(connection, building);
    if (!manifest) {
      return {Code::kRetry, "the new manifest was swept while it was built"};
    }
    connection.run(kReplaceLive, key->id, manifest->space_id, building);
    finish(connection, *key, manifest->space_id, building);
    return {};
  });
}

Status Finalizer::begin_building(std::int64_t& building) const {
  return database_.write([&](Connection& connection) -> Status {
    auto key = fenced_key(connection, context_);
    if (!key.ok()) {
      return key.status();
    }
    const std::int64_t space_id = make_space(connection, key->catalog_id, context_.space.id());
    connection.run(kDropUnfinished, key->id);  // of an earlier call that did not come to its end
    Query query = connection.query(kInsertBuilding, key->id, space_id, context_.fence.counter, context_.fence.nonce);
    while (query.next()) {
      building = query.integer(0);
    }
    return {};
  });
}

Status Finalizer::build_piece(std::int64_t building, std::span<const std::uint32_t> piece) const {
  return database_.write([&](Connection& connection) -> Status {
    auto key = fenced_key(connection, context_);
    if (!key.ok()) {
      return key.status();
    }
    const std::int64_t space_id = find_space(connection, key->catalog_id, context_.space.id());
    if (Status status = check_piece(connection, space_id, piece); !status.ok()) {
      return status;
    }
    for (const std::uint32_t index : piece) {
      put_operation(connection, building, manifest_.operation_id(index), manifest_.text_hash(index));
      mark_referenced(connection, space_id, manifest_.text_hash(index));
    }
    return {};
  });
}

/// The manifest is complete, and what readers see. Writes only what is not so already.
void Finalizer::finish(Connection& connection, KeyRow& key, std::int64_t space_id, std::int64_t manifest_id) const {
  const std::optional<ManifestRow> before = find_manifest(connection, manifest_id);
  const auto count = static_cast<std::int64_t>(manifest_.size());
  const bool same = before && difference_.size() == 0 && before->complete && before->row_count == count &&
                    before->content_version == context_.content_version && before->splitter_version == context_.splitter_version;
  if (!same) {
    connection.run(kFinish, manifest_id, count, context_.content_version, context_.splitter_version);
  }
  connection.run(kSaveCount, key.id, count, database_.clock().wall_now());
  if (key.visible_manifest_id != manifest_id || !same) {
    keep_searched(connection, key, space_id);
    key.visible_manifest_id = manifest_id;
    key.visible_space_id = space_id;
    key.has_spec = true;
    save_spec(connection, key, database_.clock().wall_now());
  }
  follow_target(connection, key.catalog_id);
}

}  // namespace

Status SqliteCatalog::finalize(const PassContext& context, const Manifest& manifest) {
  if (Status status = core::check_pass(context); !status.ok()) {
    return status;
  }
  if (Status status = core::check_manifest(manifest); !status.ok()) {
    return status;
  }
  return Finalizer(*database_, context, manifest).run();
}

}  // namespace embedjobs::sqlite
