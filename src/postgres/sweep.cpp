// Deletes what nothing points to, a piece a call. A round looks at every manifest, deletes the rows of replaced ones, and then looks at
// every vector; where it stands is kept in the database, so that any process can go on.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "postgres/manifest.hpp"
#include "postgres/postgres_catalog.hpp"
#include "postgres/reserve.hpp"

namespace embedjobs::postgres {
namespace {

constexpr const char* kLoadCursor = "SELECT value FROM @meta WHERE name = 'sweep_cursor'";
constexpr const char* kSaveCursor = "UPDATE @meta SET value = $1 WHERE name = 'sweep_cursor' AND value <> $1";

// Beside what is replaced already: a manifest that is neither visible nor searched nor being made, and one whose builder is gone.
constexpr const char* kManifestsAfter =
    "SELECT m.id, m.state = 2"
    " OR (m.state = 0 AND m.id <> k.visible_manifest_id AND NOT (m.id = k.searched_manifest_id AND k.searched_flip = c.flips)"
    "  AND NOT (s.name IN (c.target_space, c.search_space) AND m.flip >= c.flips - (CASE WHEN s.name = c.search_space THEN 1 ELSE 0 END)))"
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

/// "m ID" while manifests are looked at, "v SPACE HASH" while vectors are; empty at the start of a round.
struct SweepCursor {
  bool vectors = false;
  std::int64_t id = 0;  ///< Of the last manifest, or the space of the last vector.
  std::string hash;     ///< Raw bytes.

  [[nodiscard]] std::string to_text() const {
    std::string hex;
    for (const char c : hash) {
      hex += fmt::format("{:02x}", static_cast<unsigned char>(c));
    }
    return vectors ? fmt::format("v {} {}", id, hex) : fmt::format("m {}", id);
  }
  /// What can't be read is the start of a round.
  static SweepCursor parse(std::string_view text) {
    SweepCursor cursor;
    if (text.size() < 3) {
      return cursor;
    }
    cursor.vectors = text[0] == 'v';
    const auto [end, error] = std::from_chars(text.data() + 2, text.data() + text.size(), cursor.id);
    if (error != std::errc()) {
      return {};
    }
    for (const char* at = end + 1; at + 1 < text.data() + text.size(); at += 2) {
      unsigned byte = 0;
      (void)std::from_chars(at, at + 2, byte, 16);
      cursor.hash += static_cast<char>(byte);
    }
    return cursor;
  }
};

struct UnusedVector {
  std::int64_t space_id = 0;
  TextHash hash{};
  WallTime since{};
  bool referenced = false;
};

/// Addresses of vectors that are treated alike.
struct Addresses {
  std::vector<std::int64_t> space_ids;
  std::vector<TextHash> hashes;
  void add(const UnusedVector& vector) {
    space_ids.push_back(vector.space_id);
    hashes.push_back(vector.hash);
  }
};

/// One call, in one transaction. Nobody makes anything point to a vector meanwhile.
class Sweeper {
 public:
  Sweeper(Connection& connection, Duration grace, std::size_t limit, WallTime now)
      : connection_(connection), grace_(grace), left_(limit), now_(now) {}

  std::size_t run() {
    {
      Query row = connection_.query(kLoadCursor);
      cursor_ = row.next() ? SweepCursor::parse(row.blob(0)) : SweepCursor();
    }
    if (!cursor_.vectors && cursor_.id == 0) {
      drop_stale_reservations(connection_, left_);
    }
    const std::size_t before = left_;
    bool ended = false;
    if (!cursor_.vectors) {
      sweep_manifests();
    }
    if (cursor_.vectors && left_ > 0) {
      ended = sweep_vectors();
    }
    const std::size_t seen = before - left_;
    // The end of a round is told by an answer of zero, in the call after the last row.
    if (ended && seen == 0) {
      cursor_ = {};
    }
    connection_.run_later(kSaveCursor, cursor_.to_text());
    return seen;
  }

 private:
  void sweep_manifests() {
    std::vector<std::pair<std::int64_t, bool>> manifests;
    {
      Query row = connection_.query(kManifestsAfter, cursor_.id, limit_of(left_));
      while (row.next()) {
        manifests.emplace_back(row.integer(0), row.boolean(1));
      }
    }
    const bool last = manifests.size() < left_;
    for (const auto& [id, replaced] : manifests) {
      if (left_ == 0 || (replaced && !delete_manifest(id))) {
        return;
      }
      cursor_.id = id;
      left_ -= left_ > 0 ? 1 : 0;
    }
    if (last) {
      cursor_ = {.vectors = true};
    }
  }

  /// False: the limit came first.
  bool delete_manifest(std::int64_t id) {
    connection_.run_later(kMarkReplaced, id);
    const auto deleted = static_cast<std::size_t>(connection_.run(kDeleteOperations, id, limit_of(left_)));
    left_ -= std::min(left_, deleted);
    if (left_ == 0) {
      return false;
    }
    connection_.run_later(kDeleteManifest, id);
    return connection_.ok();
  }

  /// True: there are no more.
  bool sweep_vectors() {
    std::vector<UnusedVector> vectors;
    {
      Query row = connection_.query(kVectorsAfter, cursor_.id, Blob{cursor_.hash.data(), cursor_.hash.size()}, limit_of(left_));
      while (row.next()) {
        vectors.push_back({row.integer(0), row.hash(1), row.time(2), row.boolean(3)});
      }
    }
    const bool last = vectors.size() < left_;
    for (const UnusedVector& vector : vectors) {
      look_at(vector);
      cursor_.id = vector.space_id;
      cursor_.hash.assign(vector.hash.begin(), vector.hash.end());
      --left_;
    }
    write();
    return last;
  }

  void look_at(const UnusedVector& vector) {
    const bool marked = vector.since != WallTime{};
    const WallTime since = marked ? std::min(vector.since, now_) : now_;  // a clock that was set back
    if (vector.referenced) {
      if (marked) {
        referenced_.add(vector);
      }
    } else if (now_ - since >= grace_) {
      unused_.add(vector);
    } else if (since != vector.since) {
      marked_.add(vector);
    }
  }

  void write() {
    if (!referenced_.hashes.empty()) {
      connection_.run_later(kUnmark, referenced_.space_ids, referenced_.hashes);
    }
    if (!marked_.hashes.empty()) {
      connection_.run_later(kMarkUnreferenced, marked_.space_ids, marked_.hashes, now_);
    }
    if (!unused_.hashes.empty()) {
      connection_.run_later(kDeleteVectors, unused_.space_ids, unused_.hashes);
      connection_.run_later(kUnmark, unused_.space_ids, unused_.hashes);
    }
  }

  Connection& connection_;
  Duration grace_;
  std::size_t left_;
  WallTime now_;
  SweepCursor cursor_;
  Addresses referenced_, marked_, unused_;
};

}  // namespace

Result<std::size_t> PostgresCatalog::sweep(Duration grace, std::size_t limit) {
  return database_->write(
      [&](Connection& connection) -> Result<std::size_t> {
        return Sweeper(connection, std::max(grace, Duration(0)), std::min(limit, kMaxRowsPerTransaction), connection.now()).run();
      },
      SweepLock::kExclusive);
}

}  // namespace embedjobs::postgres
