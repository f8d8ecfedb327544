// Leases: taken, expired, and what a waiting worker asks for.
#include <algorithm>
#include <limits>

#include "core/backend/in_pieces.hpp"
#include "core/rules/checks.hpp"
#include "core/rules/errors.hpp"
#include "core/rules/limits.hpp"
#include "embedjobs/sys/store_rules.hpp"
#include "sqlite/claim_sql.hpp"
#include "sqlite/enqueue.hpp"
#include "sqlite/expiry.hpp"
#include "sqlite/sqlite_store.hpp"

namespace embedjobs::sqlite {
namespace {

constexpr std::size_t kMaxClaimedAtOnce = 200;
constexpr WallTime kNever{Duration(std::numeric_limits<std::int64_t>::max())};
constexpr WallTime kAlways{Duration(std::numeric_limits<std::int64_t>::min())};

constexpr const char* kCatalogOfId = "SELECT name, target_space FROM catalogs WHERE id = ?";
constexpr const char* kFindCatalogById = "SELECT target_space FROM catalogs WHERE id = ?";
constexpr const char* kIsOther = "SELECT 1 FROM catalogs WHERE id = :id AND " EMBEDJOBS_IS_OTHER;

struct RunningJob {
  JobId id = 0;
  std::int64_t catalog_id = 0;
  std::uint64_t nonce = 0;
  LeaseStamp lease;
};

std::vector<RunningJob> running_jobs(Connection& connection) {
  std::vector<RunningJob> jobs;
  Query row = connection.query(claim_sql::kRunning, core::kMaxRunningSeen);
  while (row.next()) {
    jobs.push_back({.id = row.integer(0),
                    .catalog_id = row.integer(1),
                    .nonce = row.number(2),
                    .lease = {std::string(row.text(3)), Duration(row.integer(4)), std::string(row.text(5)),
                              Duration(row.integer(6))}});
  }
  return jobs;
}

void expire_job(Connection& connection, JobId id, const StoreOptions& rules, WallTime now) {
  std::optional<JobRow> row = load_job(connection, id);
  std::optional<KeyRow> key = row ? load_key(connection, row->key_id) : std::nullopt;
  if (!key) {
    return;
  }
  std::vector<rules::InFlight> in_flight = load_in_flight(connection, id);
  const rules::Settled settled = rules::expire(row->job, key->state, in_flight, rules, now);
  save_key(connection, *key);
  save_job(connection, row->job);
  note_settled(connection, *row, settled, in_flight, now);
}

std::size_t expire_ended(Connection& connection, Database& database, std::size_t limit) {
  Expiry expiry(database);
  std::size_t expired = 0;
  for (const RunningJob& job : running_jobs(connection)) {
    if (expired < limit && expiry.ended(job.lease)) {
      expire_job(connection, job.id, database.options().store, database.clock().wall_now());
      ++expired;
    }
  }
  return expired;
}

Lease lease_of(Connection& connection, const JobRow& row, const KeyRow& key) {
  return {.job = row.job,
          .state = row.job.state,
          .reuse_floor = key.state.reuse_floor,
          .suspects = rules::suspects_of(load_in_flight(connection, row.job.id))};
}

/// What an earlier call with the same nonce has claimed.
std::vector<Lease> claimed_before(Connection& connection, std::uint64_t nonce) {
  std::vector<Lease> leases;
  for (const RunningJob& running : running_jobs(connection)) {
    std::optional<JobRow> row = running.nonce == nonce ? load_job(connection, running.id) : std::nullopt;
    std::optional<KeyRow> key = row ? load_key(connection, row->key_id) : std::nullopt;
    if (key && rules::holds(row->job, key->state, row->job.fence)) {
      leases.push_back(lease_of(connection, *row, *key));
    }
  }
  return leases;
}

/// Picks due jobs without touching them.
class Picker {
 public:
  Picker(Connection& connection, std::string_view space, WallTime now)
      : connection_(connection), space_(space), now_(now) {}

  void by_age(std::size_t count) {
    take(count, [&](WallTime low, WallTime high, std::size_t limit) {
      return connection_.query(claim_sql::kDueByAge, low, high, space_, limit);
    });
  }
  void by_priority(std::size_t count) {
    for (const int priority : {priority_of(JobKind::kSpecWrite), priority_of(JobKind::kReconciler)}) {
      const std::size_t left = count - std::min(count, taken_);
      take(left, [&](WallTime low, WallTime high, std::size_t limit) {
        return connection_.query(claim_sql::kDueByPriority, priority, low, high, space_, limit);
      });
    }
  }
  [[nodiscard]] const std::vector<JobId>& picked() const { return picked_; }
  void start_counting() { taken_ = 0; }

 private:
  template <typename Select>
  void take(std::size_t count, const Select& select) {
    std::size_t left = count;
    const std::pair<WallTime, WallTime> ranges[] = {{kAlways, now_}, {now_ + rules::kFarAhead, kNever}};
    for (const auto& [low, high] : ranges) {
      // Those picked already may come again.
      Query row = select(low, high, left + picked_.size());
      while (left > 0 && row.next()) {
        const JobId id = row.integer(0);
        if (std::find(picked_.begin(), picked_.end(), id) == picked_.end()) {
          picked_.push_back(id);
          --left;
          ++taken_;
        }
      }
    }
  }

  Connection& connection_;
  std::string_view space_;
  WallTime now_;
  std::vector<JobId> picked_;
  std::size_t taken_ = 0;
};

std::vector<JobId> pick_due(Connection& connection, const ClaimRequest& request, WallTime now) {
  const std::size_t count = std::min(request.max_jobs, kMaxClaimedAtOnce);
  const std::size_t by_age = std::min(request.by_age, count);
  Picker picker(connection, request.space_id, now);
  picker.by_age(by_age);
  picker.start_counting();
  picker.by_priority(count - picker.picked().size());
  return picker.picked();
}

void choose_target_of(Connection& connection, std::int64_t catalog_id, std::string_view space) {
  CatalogRow catalog{.id = catalog_id};
  {
    Query row = connection.query(kFindCatalogById, catalog_id);
    if (!row.next()) {
      return;
    }
    catalog.target_space = row.text(0);
  }
  choose_target(connection, catalog, space);
}

std::optional<Lease> claim_job(Connection& connection, Database& database, JobId id, const ClaimRequest& request) {
  std::optional<JobRow> row = load_job(connection, id);
  std::optional<KeyRow> key = row ? load_key(connection, row->key_id) : std::nullopt;
  if (!key) {
    return std::nullopt;
  }
  const WallTime now = database.clock().wall_now();
  const Duration duration = database.options().store.lease_duration;
  rules::claim(row->job, key->state,
               {.worker_id = request.worker_id,
                .nonce = request.nonce,
                .epoch = current_epoch(connection),
                .now = now,
                .lease_expires_at = now + duration,
                .provider = request.provider});
  save_key(connection, *key);
  save_job(connection, row->job);
  save_lease(connection, id,
             {database.clock().boot_id(), database.clock().boot_time() + duration, database.options().holder_identity,
              duration});
  choose_target_of(connection, row->catalog_id, request.space_id);
  return lease_of(connection, *row, *key);
}

void count_other_space(Connection& connection, std::string_view space, WallTime now, ClaimResult& result) {
  if (connection.value_or(0, claim_sql::kAnyOtherCatalog, space) == 0) {
    return;
  }
  std::int64_t example = 0;
  {
    Query row = connection.query(claim_sql::kOtherDue, now, now + rules::kFarAhead, space, core::kMaxOtherCounted);
    if (row.next()) {
      result.other_space = static_cast<std::size_t>(row.integer(0));
      example = row.integer(1);
    }
  }
  Query row = connection.query(kCatalogOfId, example);
  if (result.other_space > 0 && row.next()) {
    result.other_space_example = core::target_of(row.text(0), row.text(1));
  }
}

/// The first job that may be claimed, and whether an urgent one may be claimed now.
void peek_pending(Connection& connection, std::string_view space, WallTime now, Peek& peek) {
  Picker due(connection, space, now);
  due.by_age(1);
  if (!due.picked().empty()) {
    peek.next_pending_due = Duration(0);
  } else if (Query row = connection.query(claim_sql::kFirstDue, space); row.next()) {
    peek.next_pending_due = row.time(0) - now;
  }
  const auto urgent = [&](WallTime low, WallTime high) {
    return connection.query(claim_sql::kDueByPriority, 0, low, high, space, 1).next();
  };
  peek.urgent_waiting = urgent(kAlways, now) || urgent(now + rules::kFarAhead, kNever);
  peek.next_due = peek.next_pending_due;
}

void peek_running(Connection& connection, Database& database, std::string_view space, bool others, Peek& peek) {
  Expiry expiry(database);
  for (const RunningJob& job : running_jobs(connection)) {
    if (others && connection.value_or(0, kIsOther, job.catalog_id, space) != 0) {
      continue;
    }
    peek.running = true;
    const Duration remaining = expiry.remaining(job.lease);
    peek.next_due = std::min(peek.next_due.value_or(remaining), remaining);
  }
}

}  // namespace

Result<ClaimResult> SqliteStore::claim(const ClaimRequest& request) {
  if (Status status = core::check_claim(request); !status.ok()) {
    return status;
  }
  return database_->write([&](Connection& connection) -> Result<ClaimResult> {
    ClaimResult result;
    result.expired = expire_ended(connection, *database_, core::kExpiredPerClaim);
    result.leases = claimed_before(connection, request.nonce);
    if (result.leases.empty()) {
      for (const JobId id : pick_due(connection, request, now())) {
        if (std::optional<Lease> lease = claim_job(connection, *database_, id, request)) {
          result.leases.push_back(*std::move(lease));
        }
      }
    }
    count_other_space(connection, request.space_id, now(), result);
    return result;
  });
}

Result<std::size_t> SqliteStore::reap(std::size_t limit) {
  auto expired = core::in_pieces(limit, core::kExpiredPerClaim, [&](std::size_t piece) {
    return database_->write(
        [&](Connection& connection) -> Result<std::size_t> { return expire_ended(connection, *database_, piece); });
  });
  if (expired.ok() && *expired > 0) {
    database_->wake().fire();
  }
  return expired;
}

Result<Peek> SqliteStore::peek(std::string_view space_id) {
  return database_->read([&](Connection& connection) -> Result<Peek> {
    Peek peek;
    peek.enqueue_counter = enqueue_counter(connection);
    const bool others = connection.value_or(0, claim_sql::kAnyOtherCatalog, space_id) != 0;
    peek_pending(connection, space_id, now(), peek);
    peek_running(connection, *database_, space_id, others, peek);
    peek.other_space = others && connection.value_or(0, claim_sql::kOtherOpen, space_id) != 0;
    return peek;
  });
}

}  // namespace embedjobs::sqlite
