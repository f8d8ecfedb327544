// Reservations: which pass embeds a text.
#include "postgres/reserve.hpp"

#include <algorithm>
#include <map>

#include "core/backend/in_pieces.hpp"
#include "core/rules/checks.hpp"
#include "core/rules/limits.hpp"
#include "postgres/manifest.hpp"
#include "postgres/postgres_catalog.hpp"
#include "postgres/vectors.hpp"

namespace embedjobs::postgres {
namespace {

// In the order of hashes, so that two passes never wait for each other crosswise. A row of a transaction that has not
// ended is waited for.
constexpr const char* kInsert =
    "INSERT INTO @reservations (space_id, text_hash, key_id, fence_counter, fence_nonce) "
    "SELECT $1, u.text_hash, $3, $4, $5 FROM unnest($2::bytea[]) AS u (text_hash) ORDER BY u.text_hash "
    "ON CONFLICT (space_id, text_hash) DO NOTHING RETURNING text_hash";
constexpr const char* kLock =
    "SELECT text_hash, key_id, fence_counter, fence_nonce FROM @reservations WHERE space_id = $1 AND text_hash = ANY "
    "($2) "
    "ORDER BY text_hash FOR UPDATE";
constexpr const char* kTake =
    "UPDATE @reservations SET key_id = $3, fence_counter = $4, fence_nonce = $5 WHERE space_id = $1 AND text_hash = "
    "ANY ($2)";
constexpr const char* kEnd = "DELETE FROM @reservations WHERE space_id = $1 AND text_hash = ANY ($2) AND key_id = $3";
// Passes whose fence is the current one and whose lease has not ended.
constexpr const char* kLiving =
    "SELECT k.id, k.fence_counter, k.holder_nonce FROM @keys AS k "
    "WHERE k.id = ANY ($1) AND (SELECT true FROM @leases AS l WHERE l.fence_nonce = k.holder_nonce AND l.fence_counter "
    "= k.fence_counter"
    " AND l.job_id = (SELECT j.id FROM @jobs AS j WHERE j.key_id = k.id) AND l.lease_until > $2)";
// The table is small: reservations end as vectors are stored, so this finds what dead and failed passes left.
constexpr const char* kDropStale =
    "DELETE FROM @reservations WHERE (space_id, text_hash) IN"
    " (SELECT r.space_id, r.text_hash FROM @reservations AS r JOIN @keys AS k ON k.id = r.key_id"
    "  WHERE r.fence_counter <> k.fence_counter OR r.fence_nonce <> k.holder_nonce LIMIT $1 FOR UPDATE OF r SKIP "
    "LOCKED)";

struct Holder {
  std::int64_t key_id = 0;
  Fence fence;
  friend bool operator==(const Holder&, const Holder&) = default;
};

/// One call, in one transaction. Texts are settled step by step: what is stored, what is free, what another pass left
/// or holds.
class Reserver {
 public:
  Reserver(Connection& connection, const KeyRow& key, const PassContext& context, std::span<const TextHash> texts)
      : connection_(connection),
        context_(context),
        self_{key.id, context.fence},
        space_id_(make_space(connection, key.catalog_id, context.space.id())) {
    for (const TextHash& text : texts) {
      open_.push_back(text);
    }
    std::sort(open_.begin(), open_.end());
    open_.erase(std::unique(open_.begin(), open_.end()), open_.end());
  }

  std::vector<Reservation> run(std::span<const TextHash> texts) {
    take_stored(open_);
    insert();
    take_over();
    std::vector<Reservation> answer;
    answer.reserve(texts.size());
    for (const TextHash& text : texts) {
      const auto found = answer_.find(text);
      // What is in nobody's hands any more when it is looked at was stored, or is free the next time.
      answer.push_back(found == answer_.end() ? Reservation::kElsewhere : found->second);
    }
    return answer;
  }

 private:
  /// Texts of `among` that have a vector are stored, whatever was said about them before.
  void take_stored(const std::vector<TextHash>& among) {
    if (among.empty()) {
      return;
    }
    const std::vector<bool> stored = reusable(connection_, space_id_, context_, among);
    for (std::size_t i = 0; i < among.size(); ++i) {
      if (stored[i]) {
        answer_[among[i]] = Reservation::kStored;
      }
    }
    std::erase_if(open_, [this](const TextHash& text) { return answer_.contains(text); });
  }

  void insert() {
    if (open_.empty()) {
      return;
    }
    std::vector<TextHash> inserted;
    {
      Query row = connection_.query(kInsert, space_id_, open_, self_.key_id, self_.fence.counter, self_.fence.nonce);
      while (row.next()) {
        inserted.push_back(row.hash(0));
        answer_[inserted.back()] = Reservation::kMine;
      }
    }
    // A pass that held one may have stored its vector and ended the reservation since the vectors were looked at.
    take_stored(inserted);
    std::vector<TextHash> stored;
    std::copy_if(inserted.begin(), inserted.end(), std::back_inserter(stored),
                 [this](const TextHash& text) { return answer_[text] == Reservation::kStored; });
    if (!stored.empty()) {
      end_reservations(connection_, space_id_, stored, self_.key_id);
    }
    std::erase_if(open_, [this](const TextHash& text) { return answer_.contains(text); });
  }

  /// What is left has a reservation already: this pass's own, a living one's, or a dead one's.
  void take_over() {
    if (open_.empty()) {
      return;
    }
    std::vector<std::pair<TextHash, Holder>> held;
    std::vector<std::int64_t> others;
    {
      Query row = connection_.query(kLock, space_id_, open_);
      while (row.next()) {
        held.emplace_back(row.hash(0), Holder{row.integer(1), {row.number(2), row.number(3)}});
        others.push_back(row.integer(1));
      }
    }
    const std::vector<Holder> living = find_living(others);
    std::vector<TextHash> dead;
    for (const auto& [text, holder] : held) {
      const bool lives =
          holder.key_id != self_.key_id && std::find(living.begin(), living.end(), holder) != living.end();
      answer_[text] = lives ? Reservation::kElsewhere : Reservation::kMine;
      if (!lives && !(holder == self_)) {
        dead.push_back(text);
      }
    }
    if (!dead.empty()) {
      connection_.run_later(kTake, space_id_, dead, self_.key_id, self_.fence.counter, self_.fence.nonce);
    }
  }

  std::vector<Holder> find_living(std::vector<std::int64_t>& key_ids) {
    std::sort(key_ids.begin(), key_ids.end());
    key_ids.erase(std::unique(key_ids.begin(), key_ids.end()), key_ids.end());
    std::vector<Holder> living;
    Query row = connection_.query(kLiving, key_ids, connection_.moment().lease);
    while (row.next()) {
      living.push_back({row.integer(0), {row.number(1), row.number(2)}});
    }
    return living;
  }

  Connection& connection_;
  const PassContext& context_;
  Holder self_;
  std::int64_t space_id_;
  std::vector<TextHash> open_;
  std::map<TextHash, Reservation> answer_;
};

}  // namespace

void end_reservations(Connection& connection, std::int64_t space_id, const std::vector<TextHash>& texts,
                      std::int64_t key_id) {
  connection.run_later(kEnd, space_id, texts, key_id);
}

void drop_stale_reservations(Connection& connection, std::size_t limit) {
  connection.run_later(kDropStale, limit_of(limit));
}

Result<std::vector<Reservation>> PostgresCatalog::reserve(const PassContext& context, std::span<const TextHash> texts,
                                                          std::span<const TextHash> given_up) {
  if (Status status = core::check_pass(context); !status.ok()) {
    return status;
  }
  std::vector<Reservation> answer;
  Status done = core::for_pieces(texts, core::kMaxRowsPerTransaction, [&](std::span<const TextHash> piece) -> Status {
    auto part = database_->write([&](Connection& connection) -> Result<std::vector<Reservation>> {
      auto key = fenced_key(connection, context, FenceCheck::kHold);
      if (!key.ok()) {
        return key.status();
      }
      if (!given_up.empty()) {
        const std::int64_t space_id = find_space(connection, key->catalog_id, context.space.id());
        end_reservations(connection, space_id, {given_up.begin(), given_up.end()}, key->id);
      }
      return piece.empty() ? std::vector<Reservation>() : Reserver(connection, *key, context, piece).run(piece);
    });
    if (part.ok()) {
      answer.insert(answer.end(), part->begin(), part->end());
    }
    given_up = {};  // they are few
    return part.status();
  });
  return done.ok() ? Result<std::vector<Reservation>>(std::move(answer)) : done;
}

}  // namespace embedjobs::postgres
