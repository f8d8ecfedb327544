#include "memory/state.hpp"

#include <cstring>

#include "core/rules/due.hpp"

namespace embedjobs::memory {

UnitEntry& State::unit(const SpecKey& key) {
  catalogs.try_emplace(key.catalog_id);
  UnitEntry& entry = *units.try_emplace(key).first;
  entry.second.failure.key = key;
  return entry;
}

UnitEntry* State::find_unit(const SpecKey& key) {
  const auto found = units.find(key);
  return found == units.end() ? nullptr : &*found;
}

std::pair<UnitMap::iterator, UnitMap::iterator> State::units_of(std::string_view catalog_id) {
  const auto begin = units.lower_bound(SpecKey{std::string(catalog_id), {}});
  auto end = begin;
  while (end != units.end() && end->first.catalog_id == catalog_id) {
    ++end;
  }
  return {begin, end};
}

core::ProviderRow& State::provider(std::string_view name) {
  core::ProviderRow& row = providers.try_emplace(std::string(name)).first->second;
  row.state.provider = name;
  return row;
}

void State::add_tokens(const Job& job, std::uint64_t tokens) {
  if (tokens > 0 && !job.provider.empty()) {
    core::add_tokens(provider(job.provider), tokens, clock->wall_now());
  }
}

Job* State::open_job(const Unit& unit) {
  return unit.open_job == 0 ? nullptr : &jobs.at(unit.open_job);
}

std::pair<Job*, Unit*> State::find_held(JobId job_id, const SpecKey& key, const Fence& fence) {
  const auto job = jobs.find(job_id);
  UnitEntry* entry = find_unit(key);
  if (job == jobs.end() || entry == nullptr || job->second.key != key ||
      !core::holds(job->second, entry->second.state, fence)) {
    return {nullptr, nullptr};
  }
  return {&job->second, &entry->second};
}

bool State::lives(const Holder& holder) {
  UnitEntry* entry = find_unit(holder.key);
  const Job* job = entry == nullptr ? nullptr : open_job(entry->second);
  return job != nullptr && core::holds(*job, entry->second.state, holder.fence) &&
         !core::lease_ended(entry->second.lease_until, clock->boot_time());
}

EnqueueResult State::open_new_job(UnitEntry& entry, JobKind kind, WallTime now) {
  auto& [key, unit] = entry;
  Job job = core::new_job(key, unit.state, kind, now);
  job.id = ++last_job_id;
  unit.open_job = unit.last_job = job.id;
  unit.in_flight.clear();
  open_jobs.insert(job.id);
  jobs.emplace(job.id, job);
  return {job.id, true, unit.state.generation};
}

EnqueueResult State::enqueue(UnitEntry& entry, JobKind kind, WallTime now) {
  Unit& unit = entry.second;
  Job* open = open_job(unit);
  if (kind == JobKind::kReconciler && (open != nullptr || unit.state.removed)) {
    return {unit.open_job, false, unit.state.generation};
  }
  ++enqueue_counter;
  epoch += kind == JobKind::kManualRetry ? 1 : 0;
  core::raise_generation(unit.state, kind, epoch);
  if (open == nullptr) {
    return open_new_job(entry, kind, now);
  }
  core::enqueue_open(*open, unit.state, kind, now);
  if (open->status == JobStatus::kPending) {
    unit.in_flight.clear();
  }
  return {open->id, false, unit.state.generation};
}

void State::enqueue_for_switch(UnitEntry& entry, WallTime now) {
  Unit& unit = entry.second;
  ++enqueue_counter;
  core::raise_generation(unit.state, JobKind::kReconciler, epoch);
  Job* open = open_job(unit);
  if (open == nullptr) {
    open_new_job(entry, JobKind::kReconciler, now);
    return;
  }
  if (open->status == JobStatus::kRunning) {
    core::revoke(*open, unit.state, now);
  } else {
    core::enqueue_open(*open, unit.state, open->kind, now);
  }
  unit.in_flight.clear();
}

void State::cancel(UnitEntry& entry, WallTime now) {
  auto& [key, unit] = entry;
  core::cancel(open_job(unit), unit.state, now);
  open_jobs.erase(unit.open_job);
  unit.open_job = 0;
  unit.in_flight.clear();
  unit.failure = {.key = key};
}

void State::note_settled(Unit& unit, const Job& job, const core::Settled& settled, WallTime now) {
  if (settled.succeeded) {
    core::note_success(unit.failure, now);
  }
  if (settled.failed) {
    core::note_failure(unit.failure, job.last_error, now);
  }
  if (settled.fresh_budget) {
    unit.in_flight.clear();
  }
  if (!is_open(job.status)) {
    open_jobs.erase(job.id);
    unit.open_job = 0;
  }
}

std::size_t State::expire_ended(std::size_t limit) {
  const WallTime now = clock->wall_now();
  const Duration boot_now = clock->boot_time();
  std::size_t expired = 0;
  for (auto next = open_jobs.begin(); next != open_jobs.end() && expired < limit;) {
    Job& job = jobs.at(*next++);  // note_settled may take this job out of open_jobs
    Unit& unit = units.at(job.key);
    if (job.status == JobStatus::kRunning && core::lease_ended(unit.lease_until, boot_now)) {
      note_settled(unit, job, core::expire(job, unit.state, unit.in_flight, rules, now), now);
      ++expired;
    }
  }
  return expired;
}

}  // namespace embedjobs::memory
