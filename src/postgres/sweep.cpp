// Deletes what nothing points to, a piece a call. A round looks at every manifest, deletes the rows of replaced ones,
// and then looks at every vector; where it stands is kept in the database, so that any process can go on.
#include <algorithm>

#include "core/backend/sweep.hpp"
#include "core/rules/limits.hpp"
#include "postgres/manifest.hpp"
#include "postgres/postgres_catalog.hpp"
#include "postgres/reserve.hpp"

namespace embedjobs::postgres {
namespace {

constexpr const char* kLoadCursor = "SELECT value FROM @meta WHERE name = 'sweep_cursor'";
constexpr const char* kSaveCursor =
    "INSERT INTO @meta AS m (name, value) VALUES ('sweep_cursor', $1) "
    "ON CONFLICT (name) DO UPDATE SET value = EXCLUDED.value WHERE m.value <> EXCLUDED.value";

// Beside what is replaced already: a manifest that is neither visible nor searched nor being made, and one whose
// builder is gone.
constexpr const char* kManifestsAfter =
    "SELECT m.id, m.state = 2"
    " OR (m.state = 0 AND m.id <> k.visible_manifest_id AND NOT (m.id = k.searched_manifest_id AND k.searched_flip = "
    "c.flips)"
    "  AND NOT (s.name IN (c.target_space, c.search_space) AND m.flip >= c.flips - (CASE WHEN s.name = c.search_space "
    "THEN 1 ELSE 0 END)))"
    " OR (m.state = 1 AND (m.fence_counter <> k.fence_counter OR m.fence_nonce <> k.holder_nonce)) "
    "FROM @manifests AS m JOIN @keys AS k ON k.id = m.key_id JOIN @catalogs AS c ON c.id = k.catalog_id"
    " JOIN @spaces AS s ON s.id = m.space_id "
    "WHERE m.id > $1 ORDER BY m.id LIMIT $2";
constexpr const char* kMarkReplaced = "UPDATE @manifests SET state = 2 WHERE id = $1 AND state <> 2";
constexpr const char* kDeleteOperations =
    "DELETE FROM @operations WHERE manifest_id = $1 AND operation_id IN"
    " (SELECT operation_id FROM @operations WHERE manifest_id = $1 LIMIT $2)";
constexpr const char* kDeleteManifest = "DELETE FROM @manifests WHERE id = $1";

constexpr const char* kVectorsAfter =
    "SELECT v.space_id, v.text_hash, coalesce(u.since, 0),"
    " EXISTS (SELECT 1 FROM @operations AS o JOIN @manifests AS m ON m.id = o.manifest_id"
    "  WHERE o.text_hash = v.text_hash AND m.space_id = v.space_id AND m.state < 2) "
    "FROM @vectors AS v LEFT JOIN @unreferenced AS u ON u.space_id = v.space_id AND u.text_hash = v.text_hash "
    "WHERE (v.space_id, v.text_hash) > ($1, $2) ORDER BY v.space_id, v.text_hash LIMIT $3";
constexpr const char* kMarkUnreferenced =
    "INSERT INTO @unreferenced (space_id, text_hash, since) SELECT u.space_id, u.text_hash, $3"
    " FROM unnest($1::bigint[], $2::bytea[]) AS u (space_id, text_hash) "
    "ON CONFLICT (space_id, text_hash) DO UPDATE SET since = EXCLUDED.since";
constexpr const char* kUnmark =
    "DELETE FROM @unreferenced AS v USING unnest($1::bigint[], $2::bytea[]) AS u (space_id, text_hash) "
    "WHERE v.space_id = u.space_id AND v.text_hash = u.text_hash";
constexpr const char* kDeleteVectors =
    "DELETE FROM @vectors AS v USING unnest($1::bigint[], $2::bytea[]) AS u (space_id, text_hash) "
    "WHERE v.space_id = u.space_id AND v.text_hash = u.text_hash";

/// Addresses of vectors that are treated alike.
struct Addresses {
  std::vector<std::int64_t> space_ids;
  std::vector<TextHash> hashes;
  explicit Addresses(const std::vector<core::SweptVector>& vectors) {
    for (const core::SweptVector& vector : vectors) {
      space_ids.push_back(vector.space_id);
      hashes.push_back(vector.hash);
    }
  }
};

class PostgresSweep final : public core::Sweep {
 public:
  PostgresSweep(Connection& connection, Duration grace, std::size_t limit)
      : Sweep(grace, limit, connection.now()), connection_(connection) {}

 private:
  std::string load_cursor() override {
    Query row = connection_.query(kLoadCursor);
    return row.next() ? row.text(0) : std::string();
  }
  void save_cursor(const std::string& text) override { connection_.run_later(kSaveCursor, text); }
  void begin_round(std::size_t limit) override { drop_stale_reservations(connection_, limit); }
  std::vector<core::SweptManifest> manifests_after(std::int64_t id, std::size_t limit) override {
    std::vector<core::SweptManifest> manifests;
    Query row = connection_.query(kManifestsAfter, id, limit_of(limit));
    while (row.next()) {
      manifests.push_back({.id = row.integer(0), .unused = row.boolean(1)});
    }
    return manifests;
  }
  void mark_replaced(std::int64_t manifest_id) override { connection_.run_later(kMarkReplaced, manifest_id); }
  std::size_t delete_operations(std::int64_t manifest_id, std::size_t limit) override {
    return static_cast<std::size_t>(connection_.run(kDeleteOperations, manifest_id, limit_of(limit)));
  }
  bool delete_manifest(std::int64_t manifest_id) override {
    connection_.run_later(kDeleteManifest, manifest_id);
    return connection_.ok();
  }
  std::vector<core::SweptVector> vectors_after(std::int64_t space_id, const std::string& hash,
                                               std::size_t limit) override {
    std::vector<core::SweptVector> vectors;
    Query row = connection_.query(kVectorsAfter, space_id, blob_of(hash), limit_of(limit));
    while (row.next()) {
      vectors.push_back(
          {.space_id = row.integer(0), .hash = row.hash(1), .since = row.time(2), .used = row.boolean(3)});
    }
    return vectors;
  }
  void unmark(const std::vector<core::SweptVector>& used) override {
    if (!used.empty()) {
      const Addresses addresses(used);
      connection_.run_later(kUnmark, addresses.space_ids, addresses.hashes);
    }
  }
  void mark(const std::vector<core::SweptVector>& unused) override {
    if (!unused.empty()) {
      const Addresses addresses(unused);
      connection_.run_later(kMarkUnreferenced, addresses.space_ids, addresses.hashes, now());
    }
  }
  void remove(const std::vector<core::SweptVector>& unused) override {
    if (!unused.empty()) {
      const Addresses addresses(unused);
      connection_.run_later(kDeleteVectors, addresses.space_ids, addresses.hashes);
      connection_.run_later(kUnmark, addresses.space_ids, addresses.hashes);
    }
  }

  Connection& connection_;
};

}  // namespace

Result<std::size_t> PostgresCatalog::sweep(Duration grace, std::size_t limit) {
  return database_->write(
      [&](Connection& connection) -> Result<std::size_t> {
        return PostgresSweep(connection, std::max(grace, Duration(0)), std::min(limit, core::kMaxRowsPerTransaction))
            .run();
      },
      SweepLock::kExclusive);
}

}  // namespace embedjobs::postgres
