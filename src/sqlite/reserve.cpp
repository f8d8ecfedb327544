// Reservations: which pass embeds a text.
#include <map>

#include "core/backend/in_pieces.hpp"
#include "core/rules/checks.hpp"
#include "core/rules/limits.hpp"
#include "sqlite/expiry.hpp"
#include "sqlite/manifest.hpp"
#include "sqlite/reserve.hpp"
#include "sqlite/sqlite_catalog.hpp"
#include "sqlite/vectors.hpp"

namespace embedjobs::sqlite {
namespace {

constexpr const char* kInsert =
    "INSERT INTO reservations (space_id, text_hash, key_id, fence_counter, fence_nonce) VALUES (?, ?, ?, ?, ?) "
    "ON CONFLICT (space_id, text_hash) DO NOTHING";
constexpr const char* kLoad =
    "SELECT key_id, fence_counter, fence_nonce FROM reservations WHERE space_id = ? AND text_hash = ?";
constexpr const char* kTake =
    "UPDATE reservations SET key_id = ?3, fence_counter = ?4, fence_nonce = ?5 WHERE space_id = ?1 AND text_hash = ?2";
constexpr const char* kEnd = "DELETE FROM reservations WHERE space_id = ? AND text_hash = ? AND key_id = ?";
// The lease of a key, where the fence is the current one.
constexpr const char* kLeaseOf =
    "SELECT j.lease_boot_id, j.lease_boot_time, j.lease_holder, j.lease_length "
    "FROM keys AS k CROSS JOIN jobs AS j INDEXED BY jobs_open ON j.catalog_id = k.catalog_id AND j.key_id = k.id AND "
    "j.status <= 1 "
    "WHERE k.id = ? AND k.fence_counter = ? AND k.holder_nonce = ? AND j.status = 1";
// The table is small: reservations end one by one as vectors are stored, so this finds what dead and failed passes
// left.
constexpr const char* kDropStale =
    "DELETE FROM reservations WHERE (space_id, text_hash) IN"
    " (SELECT r.space_id, r.text_hash FROM reservations AS r CROSS JOIN keys AS k ON k.id = r.key_id"
    "  WHERE r.fence_counter <> k.fence_counter OR r.fence_nonce <> k.holder_nonce LIMIT ?)";

struct Holder {
  std::int64_t key_id = 0;
  Fence fence;
};

/// One call, in one transaction.
class Reserver {
 public:
  Reserver(Connection& connection, Database& database, const KeyRow& key, const PassContext& context)
      : connection_(connection),
        expiry_(database),
        self_{key.id, context.fence},
        space_id_(make_space(connection, key.catalog_id, context.space.id())),
        probe_(connection, space_id_, context) {}

  Reservation reserve(const TextHash& text) {
    if (probe_.reusable(text)) {
      return Reservation::kStored;
    }
    if (connection_.run(kInsert, space_id_, text, self_.key_id, self_.fence.counter, self_.fence.nonce) == 1) {
      return Reservation::kMine;
    }
    Holder holder;
    if (Query row = connection_.query(kLoad, space_id_, text); row.next()) {
      holder = {row.integer(0), {row.number(1), row.number(2)}};
    }
    if (holder.key_id != self_.key_id && lives(holder)) {
      return Reservation::kElsewhere;
    }
    if (holder.key_id != self_.key_id || holder.fence != self_.fence) {
      connection_.run(kTake, space_id_, text, self_.key_id, self_.fence.counter, self_.fence.nonce);
    }
    return Reservation::kMine;
  }

  void give_up(const TextHash& text) { end_reservation(connection_, space_id_, text, self_.key_id); }

 private:
  bool lives(const Holder& holder) {
    const auto [entry, is_new] = lives_.try_emplace({holder.key_id, holder.fence.nonce}, false);
    if (is_new) {
      Query row = connection_.query(kLeaseOf, holder.key_id, holder.fence.counter, holder.fence.nonce);
      entry->second = row.next() && !expiry_.ended({std::string(row.text(0)), Duration(row.integer(1)),
                                                    std::string(row.text(2)), Duration(row.integer(3))});
    }
    return entry->second;
  }

  Connection& connection_;
  Expiry expiry_;
  Holder self_;
  std::int64_t space_id_;
  VectorProbe probe_;
  std::map<std::pair<std::int64_t, std::uint64_t>, bool> lives_;  // by key and nonce: asked once
};

}  // namespace

void end_reservation(Connection& connection, std::int64_t space_id, const TextHash& text, std::int64_t key_id) {
  connection.run(kEnd, space_id, text, key_id);
}

void drop_stale_reservations(Connection& connection, std::size_t limit) {
  connection.run(kDropStale, limit);
}

Result<std::vector<Reservation>> SqliteCatalog::reserve(const PassContext& context, std::span<const TextHash> texts,
                                                        std::span<const TextHash> given_up) {
  if (Status status = core::check_pass(context); !status.ok()) {
    return status;
  }
  std::vector<Reservation> answer;
  Status done = core::for_pieces(texts, core::kMaxRowsPerTransaction, [&](std::span<const TextHash> piece) -> Status {
    std::vector<Reservation> part;
    Status status = database_->write([&](Connection& connection) -> Status {
      part.clear();  // the transaction may run twice
      auto key = fenced_key(connection, context);
      if (!key.ok() || (piece.empty() && given_up.empty())) {
        return key.status();
      }
      Reserver reserver(connection, *database_, *key, context);
      for (const TextHash& text : given_up) {
        reserver.give_up(text);
      }
      for (const TextHash& text : piece) {
        part.push_back(reserver.reserve(text));
      }
      return {};
    });
    answer.insert(answer.end(), part.begin(), part.end());
    given_up = {};  // they are few
    return status;
  });
  return done.ok() ? Result<std::vector<Reservation>>(std::move(answer)) : done;
}

}  // namespace embedjobs::sqlite
