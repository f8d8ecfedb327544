// Deletes what nothing points to, a piece a call. A round looks at every manifest, deletes the rows of replaced ones,
// and then looks at every vector; where it stands is kept in the database, so that any process can go on.
#include <algorithm>

#include "core/backend/sweep.hpp"
#include "core/rules/limits.hpp"
#include "sqlite/manifest.hpp"
#include "sqlite/reserve.hpp"
#include "sqlite/sqlite_catalog.hpp"

namespace embedjobs::sqlite {
namespace {

constexpr const char* kLoadCursor = "SELECT value FROM meta WHERE name = 'sweep_cursor'";
constexpr const char* kSaveCursor = "UPDATE meta SET value = ? WHERE name = 'sweep_cursor'";

// Beside what is replaced already: a manifest that is neither visible nor searched nor being made, and one whose
// builder is gone.
constexpr const char* kManifestsAfter =
    "SELECT m.id, m.state = 2"
    " OR (m.state = 0 AND m.id <> k.visible_manifest_id AND NOT (m.id = k.searched_manifest_id AND k.searched_flip = "
    "c.flips)"
    "  AND NOT (s.name IN (c.target_space, c.search_space) AND m.flip >= c.flips - (s.name = c.search_space)))"
    " OR (m.state = 1 AND (m.fence_counter <> k.fence_counter OR m.fence_nonce <> k.holder_nonce)) "
    "FROM manifests AS m CROSS JOIN keys AS k ON k.id = m.key_id CROSS JOIN catalogs AS c ON c.id = k.catalog_id"
    " CROSS JOIN spaces AS s ON s.id = m.space_id "
    "WHERE m.id > ? ORDER BY m.id LIMIT ?";
constexpr const char* kMarkReplaced = "UPDATE manifests SET state = 2 WHERE id = ? AND state <> 2";
constexpr const char* kDeleteOperations =
    "DELETE FROM operations WHERE manifest_id = ?1 AND operation_id IN"
    " (SELECT operation_id FROM operations WHERE manifest_id = ?1 LIMIT ?2)";
constexpr const char* kDeleteManifest = "DELETE FROM manifests WHERE id = ?";

constexpr const char* kVectorsAfter =
    "SELECT v.space_id, v.text_hash, v.unreferenced_since, v.vector_id,"
    " EXISTS (SELECT 1 FROM operations AS o INDEXED BY operations_by_text CROSS JOIN manifests AS m ON m.id = "
    "o.manifest_id"
    "  WHERE o.text_hash = v.text_hash AND m.space_id = v.space_id AND m.state < 2) "
    "FROM vectors AS v WHERE (v.space_id, v.text_hash) > (?, ?) ORDER BY v.space_id, v.text_hash LIMIT ?";
constexpr const char* kMarkVector = "UPDATE vectors SET unreferenced_since = ?3 WHERE space_id = ?1 AND text_hash = ?2";
constexpr const char* kDeleteVector = "DELETE FROM vectors WHERE space_id = ? AND text_hash = ?";
constexpr const char* kDeleteData = "DELETE FROM vector_data WHERE id = ?";

class SqliteSweep final : public core::Sweep {
 public:
  SqliteSweep(Connection& connection, Duration grace, std::size_t limit, WallTime now)
      : Sweep(grace, limit, now), connection_(connection) {}

 private:
  std::string load_cursor() override {
    Query row = connection_.query(kLoadCursor);
    return row.next() ? std::string(row.text(0)) : std::string();
  }
  void save_cursor(const std::string& text) override { connection_.run(kSaveCursor, text); }
  void begin_round(std::size_t limit) override { drop_stale_reservations(connection_, limit); }
  std::vector<core::SweptManifest> manifests_after(std::int64_t id, std::size_t limit) override {
    std::vector<core::SweptManifest> manifests;
    Query row = connection_.query(kManifestsAfter, id, limit);
    while (row.next()) {
      manifests.push_back({.id = row.integer(0), .unused = row.boolean(1)});
    }
    return manifests;
  }
  void mark_replaced(std::int64_t manifest_id) override { connection_.run(kMarkReplaced, manifest_id); }
  std::size_t delete_operations(std::int64_t manifest_id, std::size_t limit) override {
    return static_cast<std::size_t>(connection_.run(kDeleteOperations, manifest_id, limit));
  }
  bool delete_manifest(std::int64_t manifest_id) override {
    connection_.run(kDeleteManifest, manifest_id);
    return connection_.ok();
  }
  std::vector<core::SweptVector> vectors_after(std::int64_t space_id, const std::string& hash,
                                               std::size_t limit) override {
    std::vector<core::SweptVector> vectors;
    Query row = connection_.query(kVectorsAfter, space_id, Blob{hash.data(), hash.size()}, limit);
    while (row.next()) {
      vectors.push_back({row.integer(0), row.hash(1), row.time(2), row.boolean(4), row.integer(3)});
    }
    return vectors;
  }
  void unmark(const std::vector<core::SweptVector>& used) override {
    for (const core::SweptVector& vector : used) {
      connection_.run(kMarkVector, vector.space_id, vector.hash, 0);
    }
  }
  void mark(const std::vector<core::SweptVector>& unused) override {
    for (const core::SweptVector& vector : unused) {
      connection_.run(kMarkVector, vector.space_id, vector.hash, now());
    }
  }
  void remove(const std::vector<core::SweptVector>& unused) override {
    for (const core::SweptVector& vector : unused) {
      connection_.run(kDeleteVector, vector.space_id, vector.hash);
      connection_.run(kDeleteData, vector.data_id);
    }
  }

  Connection& connection_;
};

}  // namespace

Result<std::size_t> SqliteCatalog::sweep(Duration grace, std::size_t limit) {
  return database_->write([&](Connection& connection) -> Result<std::size_t> {
    return SqliteSweep(connection, std::max(grace, Duration(0)), std::min(limit, core::kMaxRowsPerTransaction), now())
        .run();
  });
}

}  // namespace embedjobs::sqlite
