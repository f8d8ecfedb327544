#include "memory/state.hpp"

#include <cstring>

#include "embedjobs/sys/store_rules.hpp"

namespace embedjobs::memory {

KeyEntry& State::key_row(const SpecKey& key) {
  catalogs.try_emplace(key.catalog_id);
  KeyEntry& entry = *keys.try_emplace(key).first;
  entry.second.failure.key = key;
  return entry;
}

KeyEntry* State::find_key(const SpecKey& key) {
  const auto found = keys.find(key);
  return found == keys.end() ? nullptr : &*found;
}

std::pair<KeyMap::iterator, KeyMap::iterator> State::keys_of(std::string_view catalog_id) {
  const auto begin = keys.lower_bound(SpecKey{std::string(catalog_id), {}});
  auto end = begin;
  while (end != keys.end() && end->first.catalog_id == catalog_id) {
    ++end;
  }
  return {begin, end};
}

core::ProviderRow& State::provider(std::string_view name) {
  core::ProviderRow& row = providers.try_emplace(std::string(name)).first->second;
  row.state.provider = name;
  return row;
}

void State::add_tokens(const rules::StoredJob& job, std::uint64_t tokens) {
  if (tokens > 0 && !job.provider.empty()) {
    core::add_tokens(provider(job.provider), tokens, clock->wall_now());
  }
}

rules::StoredJob* State::open_job(const KeyRow& row) {
  return row.open_job == 0 ? nullptr : &jobs.at(row.open_job);
}

std::pair<rules::StoredJob*, KeyRow*> State::find_held(JobId job_id, const SpecKey& key, const Fence& fence) {
  const auto job = jobs.find(job_id);
  KeyEntry* entry = find_key(key);
  if (job == jobs.end() || entry == nullptr || job->second.key != key ||
      !rules::holds(job->second, entry->second.state, fence)) {
    return {nullptr, nullptr};
  }
  return {&job->second, &entry->second};
}

bool State::lives(const Holder& holder) {
  KeyEntry* entry = find_key(holder.key);
  const rules::StoredJob* job = entry == nullptr ? nullptr : open_job(entry->second);
  return job != nullptr && rules::holds(*job, entry->second.state, holder.fence) &&
         !rules::lease_ended(entry->second.lease_until, clock->boot_time());
}

EnqueueResult State::open_new_job(KeyEntry& entry, JobKind kind, WallTime now) {
  auto& [key, row] = entry;
  rules::StoredJob job = rules::new_job(key, row.state, kind, now);
  job.id = ++last_job_id;
  row.open_job = row.last_job = job.id;
  row.in_flight.clear();
  open_jobs.insert(job.id);
  jobs.emplace(job.id, job);
  return {job.id, true, row.state.generation};
}

EnqueueResult State::enqueue(KeyEntry& entry, JobKind kind, WallTime now) {
  KeyRow& row = entry.second;
  rules::StoredJob* open = open_job(row);
  if (kind == JobKind::kReconciler && (open != nullptr || row.state.removed)) {
    return {row.open_job, false, row.state.generation};
  }
  ++enqueue_counter;
  epoch += kind == JobKind::kManualRetry ? 1 : 0;
  rules::raise_generation(row.state, kind, epoch);
  if (open == nullptr) {
    return open_new_job(entry, kind, now);
  }
  rules::enqueue_open(*open, row.state, kind, now);
  if (open->status == JobStatus::kPending) {
    row.in_flight.clear();
  }
  return {open->id, false, row.state.generation};
}

void State::enqueue_for_switch(KeyEntry& entry, WallTime now) {
  KeyRow& row = entry.second;
  ++enqueue_counter;
  rules::raise_generation(row.state, JobKind::kReconciler, epoch);
  rules::StoredJob* open = open_job(row);
  if (open == nullptr) {
    open_new_job(entry, JobKind::kReconciler, now);
    return;
  }
  if (open->status == JobStatus::kRunning) {
    rules::revoke(*open, row.state, now);
  } else {
    rules::enqueue_open(*open, row.state, open->kind, now);
  }
  row.in_flight.clear();
}

void State::cancel(KeyEntry& entry, WallTime now) {
  auto& [key, row] = entry;
  rules::cancel(open_job(row), row.state, now);
  open_jobs.erase(row.open_job);
  row.open_job = 0;
  row.in_flight.clear();
  row.failure = {.key = key};
}

void State::note_settled(KeyRow& row, const rules::StoredJob& job, const rules::Settled& settled, WallTime now) {
  if (settled.succeeded) {
    rules::note_success(row.failure, now);
  }
  if (settled.failed) {
    rules::note_failure(row.failure, job.last_error, now);
  }
  if (settled.fresh_budget) {
    row.in_flight.clear();
  }
  if (!is_open(job.status)) {
    open_jobs.erase(job.id);
    row.open_job = 0;
  }
}

std::size_t State::expire_ended(std::size_t limit) {
  const WallTime now = clock->wall_now();
  const Duration boot_now = clock->boot_time();
  std::size_t expired = 0;
  for (auto next = open_jobs.begin(); next != open_jobs.end() && expired < limit;) {
    rules::StoredJob& job = jobs.at(*next++);  // note_settled may take this job out of open_jobs
    KeyRow& row = keys.at(job.key);
    if (job.status == JobStatus::kRunning && rules::lease_ended(row.lease_until, boot_now)) {
      note_settled(row, job, rules::expire(job, row.state, row.in_flight, rules, now), now);
      ++expired;
    }
  }
  return expired;
}

}  // namespace embedjobs::memory
