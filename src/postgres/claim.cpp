// Leases: taken, expired, and what a waiting worker asks for.
#include <algorithm>
#include <map>
#include <unordered_map>

#include "core/backend/in_pieces.hpp"
#include "core/rules/checks.hpp"
#include "core/rules/errors.hpp"
#include "core/rules/limits.hpp"
#include "embedjobs/sys/store_rules.hpp"
#include "postgres/claim_sql.hpp"
#include "postgres/postgres_store.hpp"

namespace embedjobs::postgres {
namespace {

constexpr const char* kCatalogOfId = "SELECT name, target_space FROM @catalogs WHERE id = $1";
// Another claim may be choosing at this moment: its choice is seen the next time.
constexpr const char* kLockUnchosen =
    "SELECT 1 FROM @catalogs WHERE id = $1 AND target_space = '' FOR NO KEY UPDATE SKIP LOCKED";
constexpr const char* kChooseTarget = "UPDATE @catalogs SET target_space = $2, search_space = $2 WHERE id = $1";
// What a claim changes of key and job: see rules::claim. The rest of the rows is not sent.
constexpr const char* kClaimKeys =
    "UPDATE @keys AS k SET fence_counter = u.fence_counter, holder_nonce = $3"
    " FROM unnest($1::bigint[], $2::bigint[]) AS u (id, fence_counter) WHERE k.id = ANY (ARRAY[u.id])";
constexpr const char* kClaimJobs =
    "UPDATE @jobs AS j SET status = 1, fence_counter = u.fence_counter, generation = u.generation, attempts = "
    "u.attempts, fence_nonce = $5,"
    " epoch = $6, started_at = $7, updated_at = $7, worker_id = $8, provider = nullif($9, ''), settled = NULL, "
    "embedded_so_far = NULL,"
    " reused_count = NULL, embedded_count = NULL, operation_count = NULL, progressed = NULL, records_in_flight = NULL,"
    " pass_prompt_tokens = NULL"
    " FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[]) AS u (id, fence_counter, generation, "
    "attempts) WHERE j.id = ANY "
    "(ARRAY[u.id])";
constexpr const char* kInsertLeases =
    "INSERT INTO @leases (job_id, fence_counter, fence_nonce, lease_until, expires_at) "
    "SELECT u.job_id, u.fence_counter, $3, $4, $5 FROM unnest($1::bigint[], $2::bigint[]) AS u (job_id, fence_counter)";

/// Ends leases that have ended. The jobs go back, or fail.
std::size_t expire_ended(Connection& connection, const StoreOptions& rules, std::size_t limit) {
  std::vector<Held> ended;
  {
    Query row = connection.query(claim_sql::kEnded, connection.moment().lease, limit);
    while (row.next()) {
      ended.push_back(read_held(row));
    }
  }
  std::vector<KeyRow> keys;
  std::vector<JobRow> jobs;
  for (Held& held : ended) {
    const bool had_in_flight = may_be_in_flight(held.row.job);
    std::vector<rules::InFlight> in_flight =
        had_in_flight ? load_in_flight(connection, held.row.job.id) : std::vector<rules::InFlight>();
    const rules::Settled settled = rules::expire(held.row.job, held.key.state, in_flight, rules, connection.now());
    note_settled(connection, held, settled, in_flight, had_in_flight);
    keys.push_back(held.key);
    jobs.push_back(held.row);
  }
  save_keys(connection, keys);
  save_jobs(connection, jobs);
  return ended.size();
}

Lease lease_of(Connection& connection, const rules::StoredJob& job, const KeyRow& key) {
  Lease lease{.job = job, .state = job.state, .reuse_floor = key.state.reuse_floor, .suspects = {}};
  if (may_be_in_flight(job)) {
    lease.suspects = rules::suspects_of(load_in_flight(connection, job.id));
  }
  return lease;
}

/// What decides which of its steps a claim takes.
struct Head {
  bool claimed_before = false;
  bool other_catalogs = false;
  bool lease_ended = false;  ///< False also where it was not asked for.
};

Head read_head(Connection& connection, Query&& row) {
  if (!row.next()) {
    return {};
  }
  return {.claimed_before = row.boolean(0),
          .other_catalogs = row.boolean(1),
          .lease_ended = !row.is_null(2) && Duration(row.integer(2)) <= connection.moment().lease};
}

/// What an earlier call with the same nonce has claimed.
std::vector<Lease> claimed_before(Connection& connection, std::uint64_t nonce) {
  std::vector<std::pair<JobRow, KeyRow>> found;
  {
    Query row = connection.query(claim_sql::kClaimedBefore, nonce);
    while (row.next()) {
      found.emplace_back(read_job(row), read_key(row, kJobColumns));
    }
  }
  std::vector<Lease> leases;
  for (const auto& [row, key] : found) {
    if (rules::holds(row.job, key.state, row.job.fence)) {
      leases.push_back(lease_of(connection, row.job, key));
    }
  }
  return leases;
}

/// Picks due jobs and locks them.
class Picker {
 public:
  Picker(Connection& connection, std::string_view space, const DueScan& how)
      : connection_(connection), space_(space), how_(how) {}

  /// The oldest of both priorities. What is read for that and not picked stays locked until the claim ends: others
  /// leave it alone for that moment.
  void by_age(std::size_t count) {
    std::vector<Due> due = read_due(count, true);
    std::sort(due.begin(), due.end());
    due.resize(std::min(due.size(), count));
    pick(due);
  }
  void by_priority(std::size_t count) { pick(read_due(count, false)); }

  [[nodiscard]] const std::vector<std::int64_t>& picked() const { return picked_; }
  [[nodiscard]] const FirstDue& first() const { return first_; }

 private:
  struct Due {
    bool is_far = false;  ///< Due too far ahead to be true: comes last.
    std::int64_t when = 0;
    std::int64_t id = 0;
    auto operator<=>(const Due&) const = default;
  };

  std::vector<Due> read_due(std::size_t count, bool of_each) {
    std::vector<Due> due;
    if (count == 0) {
      return due;
    }
    FirstDue first;
    Query row = connection_.query(claim_sql::kDue, space_, how_.above[0], how_.above[1], connection_.known_now(),
                                  rules::kFarAhead, count, picked_, of_each);
    const WallTime now = connection_.now();
    while (row.next()) {
      due.push_back({.is_far = row.boolean(3), .when = row.integer(1), .id = row.integer(0)});
      std::optional<WallTime>& earliest = first[static_cast<std::size_t>(row.integer(2))];
      if (!due.back().is_far && !earliest) {
        earliest = row.time(1);
      }
    }
    // Full of urgent ones: nobody has read the others.
    note_first(0, first[0].value_or(now));
    if (of_each || first[1] || due.size() < count) {
      note_first(1, first[1].value_or(now));
    }
    return due;
  }
  void note_first(std::size_t priority, WallTime when) {
    first_[priority] = std::min(first_[priority].value_or(when), when);
  }
  void pick(const std::vector<Due>& due) {
    for (const Due& one : due) {
      picked_.push_back(one.id);
    }
  }

  Connection& connection_;
  std::string_view space_;
  const DueScan how_;
  std::vector<std::int64_t> picked_;
  FirstDue first_;
};

/// The ids of due jobs, in order; they are locked.
std::vector<std::int64_t> pick_due(Connection& connection, const ClaimRequest& request, DueFloor& floor, DueScan scan) {
  const std::size_t count = std::min(request.max_jobs, core::kMaxRowsPerTransaction);
  while (true) {
    Picker picker(connection, request.space_id, scan);
    picker.by_age(std::min(request.by_age, count));
    picker.by_priority(count - picker.picked().size());
    if (!connection.ok()) {
      return {};
    }
    floor.end(scan, request.space_id, picker.first());
    if (!picker.picked().empty() || scan.full) {
      return picker.picked();
    }
    scan = floor.begin_thorough(request.space_id);
    if (!scan.full) {
      return {};
    }
  }
}

struct Taken {
  JobRow row;
  KeyRow key;
  std::string target_space;
  std::uint64_t epoch = 0;
};

/// In the order in which they were picked.
std::vector<Taken> take_picked(Connection& connection, const std::vector<std::int64_t>& picked) {
  std::vector<Taken> taken;
  if (picked.empty()) {
    return taken;
  }
  {
    Query row = connection.query(claim_sql::kTake, picked);
    while (row.next()) {
      taken.push_back({read_job(row), read_key(row, kJobColumns), row.text(kJobColumns + kKeyColumns),
                       row.number(kJobColumns + kKeyColumns + 1)});
    }
  }
  std::unordered_map<std::int64_t, std::size_t> places;
  for (const std::int64_t id : picked) {
    places.emplace(id, places.size());
  }
  std::sort(taken.begin(), taken.end(),
            [&](const Taken& a, const Taken& b) { return places[a.row.job.id] < places[b.row.job.id]; });
  return taken;
}

/// Leaves the jobs whose catalog has this target, or gets it now.
void choose_targets(Connection& connection, std::string_view space, std::vector<Taken>& taken) {
  std::map<std::int64_t, bool> fits;
  for (const Taken& one : taken) {
    const auto [entry, is_new] = fits.try_emplace(one.key.catalog_id, one.target_space == space);
    if (is_new && one.target_space.empty() && connection.value_or(0, kLockUnchosen, one.key.catalog_id) != 0) {
      connection.run_later(kChooseTarget, one.key.catalog_id, space);
      entry->second = true;
    }
  }
  std::erase_if(taken, [&](const Taken& one) { return !fits[one.key.catalog_id]; });
}

/// Gives the jobs to the claimer.
std::vector<Lease> lease_taken(Connection& connection, const ClaimRequest& request, Duration lease_duration,
                               std::vector<Taken>& taken) {
  if (taken.empty()) {
    return {};
  }
  const Moment& moment = connection.moment();
  const rules::ClaimStamp stamp{.worker_id = request.worker_id,
                                .nonce = request.nonce,
                                .epoch = taken.front().epoch,
                                .now = moment.wall,
                                .lease_expires_at = moment.wall + lease_duration,
                                .provider = request.provider};
  std::vector<std::int64_t> keys, jobs, counters, generations, attempts;
  std::vector<Lease> leases;
  for (Taken& one : taken) {
    rules::StoredJob& job = one.row.job;
    rules::claim(job, one.key.state, stamp);
    leases.push_back(lease_of(connection, job, one.key));
    keys.push_back(one.key.id);
    jobs.push_back(job.id);
    counters.push_back(static_cast<std::int64_t>(job.fence.counter));
    generations.push_back(static_cast<std::int64_t>(job.generation));
    attempts.push_back(job.attempts);
  }
  connection.run_later(kClaimKeys, keys, counters, stamp.nonce);
  connection.run_later(kClaimJobs, jobs, counters, generations, attempts, stamp.nonce, stamp.epoch, stamp.now,
                       storable(stamp.worker_id), storable(stamp.provider));
  connection.run_later(kInsertLeases, jobs, counters, stamp.nonce, moment.lease + lease_duration,
                       stamp.lease_expires_at);
  return leases;
}

void count_other_space(Connection& connection, std::string_view space, ClaimResult& result) {
  std::int64_t example = 0;
  {
    Query row = connection.query(claim_sql::kOtherDue, space, connection.now(), connection.now() + rules::kFarAhead,
                                 core::kMaxOtherCounted);
    if (row.next()) {
      result.other_space = static_cast<std::size_t>(row.integer(0));
      example = row.integer(1);
    }
  }
  if (result.other_space == 0) {
    return;
  }
  if (Query row = connection.query(kCatalogOfId, example); row.next()) {
    result.other_space_example = core::target_of(row.text(0), row.text(1));
  }
}

}  // namespace

Result<ClaimResult> PostgresStore::claim(const ClaimRequest& request) {
  if (Status status = core::check_claim(request); !status.ok()) {
    return status;
  }
  return database_->write([&](Connection& connection) -> Result<ClaimResult> {
    const DueScan scan = due_floor_.begin(request.space_id);
    connection.ask_moment();
    const auto head_row = connection.query_later(claim_sql::kHead, request.space_id, request.nonce, scan.full);
    std::vector<std::int64_t> picked = pick_due(connection, request, due_floor_, scan);
    const Head head = read_head(connection, connection.rows_of(head_row));
    ClaimResult result;
    if (head.lease_ended) {
      result.expired = expire_ended(connection, rules(), core::kExpiredPerClaim);
      picked = pick_due(connection, request, due_floor_, scan);  // with what was put back
    }
    if (head.claimed_before) {
      result.leases = claimed_before(connection, request.nonce);
    }
    if (result.leases.empty()) {
      std::vector<Taken> taken = take_picked(connection, picked);
      choose_targets(connection, request.space_id, taken);
      result.leases = lease_taken(connection, request, rules().lease_duration, taken);
    }
    if (head.other_catalogs && scan.full) {
      count_other_space(connection, request.space_id, result);
    }
    return result;
  });
}

Result<std::size_t> PostgresStore::reap(std::size_t limit) {
  auto expired = core::in_pieces(limit, core::kExpiredPerClaim, [&](std::size_t piece) {
    return database_->write([&](Connection& connection) -> Result<std::size_t> {
      const std::size_t count = expire_ended(connection, rules(), piece);
      if (count > 0) {
        notify(connection, schema());
      }
      return count;
    });
  });
  if (expired.ok() && *expired > 0) {
    database_->wake().fire();
  }
  return expired;
}

Result<Peek> PostgresStore::peek(std::string_view space_id) {
  return database_->read([&](Connection& connection) -> Result<Peek> {
    Peek peek;
    const DueScan scan = due_floor_.begin_thorough(space_id);
    const WallTime now = connection.now();
    Query row = connection.query(claim_sql::kPeek, space_id, now, now + rules::kFarAhead, scan.above[0], scan.above[1],
                                 core::kMaxOtherCounted);
    if (connection.ok()) {
      due_floor_.end(scan, space_id, {});
    }
    if (!row.next()) {
      return peek;
    }
    peek.enqueue_counter = row.number(0);
    if (!row.is_null(1)) {
      peek.next_pending_due = row.boolean(2) ? Duration(0) : rules::due_in(row.time(1), now);
    }
    if (!scan.full) {
      const Duration again = due_floor_.until_full();
      peek.next_pending_due = std::min(peek.next_pending_due.value_or(again), again);
    }
    peek.urgent_waiting = row.boolean(3);
    peek.next_due = peek.next_pending_due;
    if (!row.is_null(4)) {
      peek.running = true;
      const Duration remaining = std::max(Duration(row.integer(4)) - connection.moment().lease, Duration(0));
      peek.next_due = std::min(peek.next_due.value_or(remaining), remaining);
    }
    peek.other_space = row.boolean(5);
    return peek;
  });
}

}  // namespace embedjobs::postgres
