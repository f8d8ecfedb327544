// A job's life between its claim and its end.
#include <algorithm>
#include <map>

#include "core/rules/checks.hpp"
#include "core/rules/errors.hpp"
#include "postgres/backend.hpp"
#include "postgres/job_records.hpp"
#include "postgres/postgres_store.hpp"
#include "postgres/provider_tokens.hpp"

namespace embedjobs::postgres {
namespace {

constexpr const char* kEnqueue =
    "SELECT place, job_id, created, generation FROM @enqueue_at($1, $2, $3::int, coalesce(nullif($4, 0), @time_now()))";

// A lease's row is there as long as its job runs under that fence: whatever voids the fence (removal, expiry, a switch)
// deletes it. Locked in the order of ids, and before they are written, so that two processes never wait for each other.
constexpr const char* kRemoveKey = "SELECT @remove_key_at($1, $2, $3)";
constexpr const char* kRenew =
    "WITH held AS ("
    " SELECT l.fence_nonce, l.job_id, u.place FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::text[], "
    "$5::text[]) WITH ORDINALITY"
    "  AS u (job_id, fence_counter, fence_nonce, catalog_id, spec_name, place)"
    " JOIN @leases AS l ON l.fence_nonce = ANY (ARRAY[u.fence_nonce]) AND l.job_id = u.job_id AND l.fence_counter = "
    "u.fence_counter"
    " JOIN @jobs AS j ON j.id = ANY (ARRAY[l.job_id]) " EMBEDJOBS_KEYS_OF_JOBS
    " WHERE k.spec_name = u.spec_name AND c.name = u.catalog_id"
    " ORDER BY l.job_id FOR NO KEY UPDATE OF l),"
    " renewed AS (UPDATE @leases AS l SET lease_until = $6, expires_at = $7 FROM held AS h"
    "  WHERE l.fence_nonce = ANY (ARRAY[h.fence_nonce]) AND l.job_id = h.job_id)"
    " SELECT place FROM held";

/// Each call leaves a few rows in job_counts.
constexpr unsigned kCallsPerAddingUp = 1024;

bool is_current(const Held& held, const LeaseRef& lease) {
  return held.row.job.key == lease.key && rules::holds(held.row.job, held.key.state, lease.fence);
}

using HeldJobs = std::map<JobId, Held>;

HeldJobs held_jobs(std::vector<Held> locked) {
  HeldJobs held;
  for (Held& one : locked) {
    const JobId id = one.row.job.id;
    held.emplace(id, std::move(one));
  }
  return held;
}

/// Null: the lease is lost.
Held* current(HeldJobs& held, const LeaseRef& lease) {
  const auto found = held.find(lease.job_id);
  return found != held.end() && is_current(found->second, lease) ? &found->second : nullptr;
}

template <typename Item>
std::vector<JobId> ids_of(std::span<const Item> items) {
  std::vector<JobId> ids;
  for (const Item& item : items) {
    ids.push_back(item.lease.job_id);
  }
  return ids;
}

/// The specs of one catalog, and where each stands in a call.
struct Specs {
  std::vector<std::string_view> names;
  std::map<std::string_view, std::vector<std::size_t>> places;
};

/// The same call sent again, after its answer was lost: the status that the job has now.
Result<JobStatus> settled_before(Connection& connection, const LeaseRef& lease) {
  const std::optional<JobRow> row = load_job(connection, lease.job_id);
  return row && rules::settled_before(row->job, lease) ? Result<JobStatus>(row->job.status)
                                                       : core::lease_lost(lease.job_id, lease.key);
}

/// Each in turn, on what was locked for all.
std::vector<Result<JobStatus>> settle_held(Connection& connection, std::span<const Settlement> settlements,
                                           const StoreOptions& rules) {
  std::vector<Result<JobStatus>> answers;
  connection.ask_moment();
  HeldJobs held = held_jobs(lock_jobs(connection, ids_of(settlements)));
  std::vector<KeyRow> keys;
  std::vector<JobRow> jobs;
  ProviderTokens tokens;
  for (const auto& [lease, outcome] : settlements) {
    Held* one = current(held, lease);
    if (one == nullptr) {
      answers.push_back(settled_before(connection, lease));
      continue;
    }
    rules::StoredJob& job = one->row.job;
    const bool had_in_flight = may_be_in_flight(job);
    std::vector<rules::InFlight> in_flight =
        had_in_flight ? load_in_flight(connection, job.id) : std::vector<rules::InFlight>();
    const rules::Settled settled = rules::settle(job, one->key.state, outcome, rules, connection.now());
    rules::settle_in_flight(in_flight);
    note_settled(connection, *one, settled, in_flight, had_in_flight);
    tokens[job.provider] += settled.tokens;
    keys.push_back(one->key);
    jobs.push_back(one->row);
    answers.emplace_back(job.status);
  }
  save_keys(connection, keys);
  save_jobs(connection, jobs);
  add_tokens(connection, tokens);
  return answers;
}

bool any_pending(const std::vector<Result<JobStatus>>& answers) {
  return std::any_of(answers.begin(), answers.end(),
                     [](const auto& answer) { return answer.ok() && *answer == JobStatus::kPending; });
}

}  // namespace

std::shared_ptr<Store> make_store(std::shared_ptr<Database> database) {
  return std::make_shared<PostgresStore>(std::move(database));
}

Result<EnqueueResult> PostgresStore::enqueue(const SpecKey& key, JobKind kind) {
  return enqueue_all({&key, 1}, kind).front();
}

std::vector<Result<EnqueueResult>> PostgresStore::enqueue_all(std::span<const SpecKey> keys, JobKind kind) {
  std::vector<Result<EnqueueResult>> answers;
  std::map<std::string_view, Specs> catalogs;  // ordered, so that two calls never wait for each other crosswise
  for (std::size_t i = 0; i < keys.size(); ++i) {
    answers.emplace_back(core::check_enqueue(keys[i], kind));
    if (answers[i].status().ok()) {
      Specs& specs = catalogs[keys[i].catalog_id];
      specs.names.push_back(keys[i].spec_name);
      specs.places[keys[i].spec_name].push_back(i);
    }
  }
  if (catalogs.empty()) {
    return answers;
  }
  const Status done = database_->write([&](Connection& connection) -> Status {
    for (const auto& [catalog, specs] : catalogs) {
      Query row = connection.query(kEnqueue, catalog, specs.names, kind, connection.known_now());
      while (row.next()) {
        const EnqueueResult result{.job_id = row.integer(1), .created = row.boolean(2), .generation = row.number(3)};
        for (const std::size_t place : specs.places.at(specs.names[static_cast<std::size_t>(row.integer(0)) - 1])) {
          answers[place] = result;
        }
      }
    }
    return {};
  });
  if (done.ok()) {
    database_->wake().fire();
    return answers;
  }
  for (const auto& [catalog, specs] : catalogs) {
    for (const auto& [name, places] : specs.places) {
      for (const std::size_t place : places) {
        answers[place] = done;
      }
    }
  }
  return answers;
}

Status PostgresStore::remove_key(const SpecKey& key) {
  if (Status status = validate(key); !status.ok()) {
    return status;
  }
  return database_->write([&](Connection& connection) -> Status {
    if (connection.value_or(1, kRemoveKey, key.catalog_id, key.spec_name, connection.now()) == 0) {
      return core::no_such_spec(key);
    }
    return {};
  });
}

Result<std::vector<bool>> PostgresStore::renew(std::span<const LeaseRef> leases, Duration lease_duration,
                                               Duration time_limit) {
  const Duration duration = lease_duration > Duration(0) ? std::min(lease_duration, kMaxLease) : rules().lease_duration;
  std::vector<std::int64_t> ids, counters, nonces;
  std::vector<std::string_view> catalogs, specs;
  for (const LeaseRef& lease : leases) {
    ids.push_back(lease.job_id);
    counters.push_back(static_cast<std::int64_t>(lease.fence.counter));
    nonces.push_back(static_cast<std::int64_t>(lease.fence.nonce));
    catalogs.push_back(lease.key.catalog_id);
    specs.push_back(lease.key.spec_name);
  }
  return database_->write_renewal(time_limit, [&](Connection& connection) -> Result<std::vector<bool>> {
    std::vector<bool> renewed(leases.size(), false);
    const Moment& moment = connection.moment();
    Query row = connection.query(kRenew, ids, counters, nonces, catalogs, specs, moment.lease + duration,
                                 moment.wall + duration);
    while (row.next()) {
      renewed[static_cast<std::size_t>(row.integer(0)) - 1] = true;
    }
    return renewed;
  });
}

Status PostgresStore::progress(const LeaseRef& lease, const Progress& progress) {
  const ProgressReport report{lease, progress};
  return progress_all({&report, 1}).front();
}

std::vector<Status> PostgresStore::progress_all(std::span<const ProgressReport> reports) {
  std::vector<Status> answers(reports.size());
  const Status done = database_->write([&](Connection& connection) -> Status {
    connection.ask_moment();
    HeldJobs held = held_jobs(lock_jobs_only(connection, ids_of(reports)));
    std::vector<const rules::StoredJob*> changed;
    ProviderTokens tokens;
    for (std::size_t i = 0; i < reports.size(); ++i) {
      Held* one = current(held, reports[i].lease);
      answers[i] = one == nullptr ? core::lease_lost(reports[i].lease.job_id, reports[i].lease.key) : Status();
      if (one != nullptr) {
        rules::StoredJob& job = one->row.job;
        tokens[job.provider] += rules::apply_progress(job, reports[i].progress, connection.now());
        changed.push_back(&job);
      }
    }
    save_progress(connection, changed);
    add_tokens(connection, tokens);
    return {};
  });
  return done.ok() ? answers : std::vector<Status>(reports.size(), done);
}

Status PostgresStore::record_in_flight(const LeaseRef& lease, std::span<const TextHash> sent,
                                       std::span<const TextHash> answered) {
  return database_->write([&](Connection& connection) -> Status {
    std::optional<Held> held = lock_job_only(connection, lease.job_id);
    if (!held || !is_current(*held, lease)) {
      return core::lease_lost(lease.job_id, lease.key);
    }
    rules::StoredJob& job = held->row.job;
    std::vector<rules::InFlight> rows = load_in_flight(connection, job.id);
    rules::record_in_flight(job, rows, sent, answered);
    save_in_flight(connection, job.id, rows);
    save_progress(connection, job);
    return {};
  });
}

Result<JobStatus> PostgresStore::settle(const LeaseRef& lease, const Outcome& outcome) {
  const Settlement settlement{lease, outcome};
  return settle_all({&settlement, 1}).front();
}

std::vector<Result<JobStatus>> PostgresStore::settle_all(std::span<const Settlement> settlements) {
  std::vector<Result<JobStatus>> answers;
  const Status done = database_->write([&](Connection& connection) -> Status {
    answers = settle_held(connection, settlements, rules());
    if (any_pending(answers)) {
      notify(connection, schema());
    }
    return {};
  });
  if (!done.ok()) {
    return {settlements.size(), Result<JobStatus>(done)};
  }
  if (any_pending(answers)) {
    database_->wake().fire();
  }
  if (++settled_calls_ % kCallsPerAddingUp == 0) {
    add_up_counts();  // if it fails, the next one does it
  }
  return answers;
}

}  // namespace embedjobs::postgres
