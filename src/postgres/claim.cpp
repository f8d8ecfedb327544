// Leases: taken, expired, and what a waiting worker looks at.
#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <map>

#include "core/checks.hpp"
#include "core/due.hpp"
#include "postgres/claim_sql.hpp"
#include "postgres/postgres_store.hpp"

namespace embedjobs::postgres {
namespace {

constexpr std::size_t kMaxExpiredAtOnce = 100;
constexpr std::size_t kMaxClaimedAtOnce = 200;
constexpr std::size_t kMaxOtherCounted = 1000;
constexpr WallTime kNever{Duration(std::numeric_limits<std::int64_t>::max())};
constexpr WallTime kAlways{Duration(std::numeric_limits<std::int64_t>::min())};

constexpr const char* kCatalogOfId = "SELECT name, target_space FROM @catalogs WHERE id = $1";
// Another claim may be choosing at this moment: its choice is seen the next time.
constexpr const char* kLockUnchosen = "SELECT 1 FROM @catalogs WHERE id = $1 AND target_space = '' FOR NO KEY UPDATE SKIP LOCKED";
constexpr const char* kChooseTarget = "UPDATE @catalogs SET target_space = $2, search_space = $2 WHERE id = $1";
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
    const bool flew = may_fly(held.row.job);
    std::vector<core::InFlight> in_flight = flew ? load_in_flight(connection, held.row.job.id) : std::vector<core::InFlight>();
    const core::Settled settled = core::expire(held.row.job, held.key.state, in_flight, rules, connection.now());
    note_settled(connection, held, settled, in_flight, flew);
    keys.push_back(held.key);
    jobs.push_back(held.row);
  }
  save_keys(connection, keys);
  save_jobs(connection, jobs);
  return ended.size();
}

Lease lease_of(Connection& connection, const Job& job, const KeyRow& key) {
  Lease lease{.job = job, .reuse_floor = key.state.reuse_floor, .suspects = {}};
  if (may_fly(job)) {
    lease.suspects = core::suspects_of(load_in_flight(connection, job.id));
  }
  return lease;
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
    if (core::holds(row.job, key.state, row.job.fence)) {
      leases.push_back(lease_of(connection, row.job, key));
    }
  }
  return leases;
}

/// Picks due jobs and locks them.
class Picker {
 public:
  Picker(Connection& connection, std::string_view space) : connection_(connection), space_(space) {}

  /// The oldest of both priorities. What is looked at for that and not picked stays locked until the claim ends: others leave it alone for
  /// that moment.
  void by_age(std::size_t count) {
    std::vector<Due> due = look(claim_sql::kDueUrgent, count);
    const std::vector<Due> patient = look(claim_sql::kDuePatient, count);
    due.insert(due.end(), patient.begin(), patient.end());
    std::sort(due.begin(), due.end());
    due.resize(std::min(due.size(), count));
    pick(due);
  }
  void by_priority(std::size_t count) {
    const std::size_t wanted = picked_.size() + count;
    pick(look(claim_sql::kDueUrgent, count));
    pick(look(claim_sql::kDuePatient, wanted - picked_.size()));
  }
  [[nodiscard]] const std::vector<std::int64_t>& picked() const { return picked_; }

 private:
  /// When it is due, and its id. What is due too far ahead to be true comes last.
  using Due = std::pair<std::int64_t, std::int64_t>;

  std::vector<Due> look(const char* sql, std::size_t count) {
    std::vector<Due> due;
    const std::pair<WallTime, WallTime> ranges[] = {{kAlways, connection_.now()}, {connection_.now() + core::kFarAhead, kNever}};
    for (const auto& [low, high] : ranges) {
      if (due.size() < count) {
        Query row = connection_.query(sql, space_, low, high, count - due.size(), picked_);
        while (row.next()) {
          due.emplace_back(row.integer(1), row.integer(0));
        }
      }
    }
    return due;
  }
  void pick(const std::vector<Due>& due) {
    for (const auto& [when, id] : due) {
      picked_.push_back(id);
    }
  }

  Connection& connection_;
  std::string_view space_;
  std::vector<std::int64_t> picked_;
};

struct Taken {
  JobRow row;
  KeyRow key;
  std::string target_space;
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
      taken.push_back({read_job(row), read_key(row, kJobColumns), row.text(kJobColumns + kKeyColumns)});
    }
  }
  const auto place = [&](const Taken& one) { return std::find(picked.begin(), picked.end(), one.row.job.id); };
  std::sort(taken.begin(), taken.end(), [&](const Taken& a, const Taken& b) { return place(a) < place(b); });
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

std::vector<Lease> claim_due(Connection& connection, const ClaimRequest& request, Duration lease_duration) {
  const std::size_t count = std::min(request.max_jobs, kMaxClaimedAtOnce);
  Picker picker(connection, request.space_id);
  picker.by_age(std::min(request.by_age, count));
  picker.by_priority(count - picker.picked().size());
  std::vector<Taken> taken = take_picked(connection, picker.picked());
  choose_targets(connection, request.space_id, taken);
  if (taken.empty()) {
    return {};
  }
  const Moment& moment = connection.moment();
  const core::ClaimStamp stamp{.worker_id = request.worker_id,
                               .nonce = request.nonce,
                               .epoch = current_epoch(connection),
                               .now = moment.wall,
                               .lease_expires_at = moment.wall + lease_duration,
                               .provider = request.provider};
  std::vector<KeyRow> keys;
  std::vector<JobRow> jobs;
  std::vector<std::int64_t> ids, counters;
  std::vector<Lease> leases;
  for (Taken& one : taken) {
    core::claim(one.row.job, one.key.state, stamp);
    leases.push_back(lease_of(connection, one.row.job, one.key));
    ids.push_back(one.row.job.id);
    counters.push_back(static_cast<std::int64_t>(one.row.job.fence.counter));
    keys.push_back(one.key);
    jobs.push_back(std::move(one.row));
  }
  save_keys(connection, keys);
  save_jobs(connection, jobs);
  connection.run_later(kInsertLeases, ids, counters, request.nonce, moment.lease + lease_duration, stamp.lease_expires_at);
  return leases;
}

void count_other_space(Connection& connection, std::string_view space, ClaimResult& result) {
  if (connection.value_or(0, claim_sql::kAnyOtherCatalog, space) == 0) {
    return;
  }
  std::int64_t example = 0;
  {
    Query row = connection.query(claim_sql::kOtherDue, space, connection.now(), connection.now() + core::kFarAhead, kMaxOtherCounted);
    if (row.next()) {
      result.other_space = static_cast<std::size_t>(row.integer(0));
      example = row.integer(1);
    }
  }
  if (result.other_space == 0) {
    return;
  }
  if (Query row = connection.query(kCatalogOfId, example); row.next()) {
    result.other_space_example = fmt::format("{} has target space {}", row.blob(0), row.blob(1));
  }
}

}  // namespace

Result<ClaimResult> PostgresStore::claim(const ClaimRequest& request) {
  if (Status status = core::check_claim(request); !status.ok()) {
    return status;
  }
  return database_->write([&](Connection& connection) -> Result<ClaimResult> {
    ClaimResult result;
    result.expired = expire_ended(connection, rules(), kMaxExpiredAtOnce);
    result.leases = claimed_before(connection, request.nonce);
    if (result.leases.empty()) {
      result.leases = claim_due(connection, request, rules().lease_duration);
    }
    count_other_space(connection, request.space_id, result);
    return result;
  });
}

Result<std::size_t> PostgresStore::reap(std::size_t limit) {
  std::size_t total = 0;
  while (total < limit) {
    const std::size_t piece = std::min(limit - total, kMaxExpiredAtOnce);
    auto expired = database_->write([&](Connection& connection) -> Result<std::size_t> {
      const std::size_t count = expire_ended(connection, rules(), piece);
      if (count > 0) {
        notify(connection, schema());
      }
      return count;
    });
    if (!expired.ok()) {
      return expired;
    }
    total += *expired;
    if (*expired < piece) {
      break;
    }
  }
  if (total > 0) {
    database_->wake().fire();
  }
  return total;
}

Result<Peek> PostgresStore::peek(std::string_view space_id) {
  return database_->read([&](Connection& connection) -> Result<Peek> {
    Peek peek;
    const WallTime now = connection.now();
    Query row = connection.query(claim_sql::kPeek, space_id, now, now + core::kFarAhead);
    if (!row.next()) {
      return peek;
    }
    peek.enqueue_counter = row.number(0);
    if (!row.is_null(1)) {
      peek.next_pending_due = row.boolean(2) ? Duration(0) : core::due_in(row.time(1), now);
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
