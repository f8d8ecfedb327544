// The model's queue: see model.hpp.
#include "conformance/model.hpp"

#include <algorithm>
#include <cmath>

namespace embedjobs::test {

using namespace std::chrono_literals;

bool Model::due(const ModelJob& job) const {
  return job.next_run_at <= now() || job.next_run_at > now() + 2h;
}

bool Model::fits(const SpecKey& key, const std::string& space) const {
  const std::string& target = catalogs.at(key.catalog_id).target;
  return target.empty() || target == space;
}

ModelJob* Model::held(JobId id, const SpecKey& key, const Fence& fence) {
  if (!jobs.contains(id) || !specs.contains(key)) {
    return nullptr;
  }
  ModelJob& job = jobs.at(id);
  const ModelSpec& spec = specs.at(key);
  const bool same =
      job.key == key && job.fence == fence && spec.holder == fence.nonce && spec.fence_counter == fence.counter;
  return same && fence.nonce != 0 && job.status == JobStatus::kRunning ? &job : nullptr;
}

void Model::start_over(ModelJob& job, ModelSpec& spec) {
  job.status = JobStatus::kPending;
  job.generation = spec.generation;
  job.next_run_at = now();
  job.attempts = job.errors_in_row = job.crashes_in_row = job.releases_in_row = job.crashes = 0;
  job.fewest_missing = -1;
  job.progressed = false;
  job.paused_since = {};
  spec.in_flight.clear();
}

void Model::leave(ModelJob& job, ModelSpec& spec) {
  spec.holder = 0;
  job.worker_id = "";
  job.lease_expires_at = {};
}

void Model::fail(ModelJob& job, ModelSpec& spec) {
  job.status = JobStatus::kFailed;
  job.completed_at = now();
  spec.open = 0;
  spec.in_flight.clear();
  if (spec.failure.occurrences++ == 0) {
    spec.failure.first_failed_at = now();
  }
  spec.failure.last_failed_at = now();
  spec.failure.last_error = job.last_error;
  spec.failure.resolved = false;
}

JobId Model::open_job(const SpecKey& key, JobKind kind) {
  ModelJob job;
  job.id = ++last_id_;
  job.key = key;
  job.kind = kind;
  job.priority = kind == JobKind::kReconciler ? 1 : 0;
  job.created_at = now();
  start_over(job, specs[key]);
  jobs[job.id] = job;
  return specs[key].open = specs[key].last = job.id;
}

EnqueueResult Model::enqueue(const SpecKey& key, JobKind kind) {
  catalogs[key.catalog_id];
  ModelSpec& spec = specs[key];
  spec.known = true;
  if (kind == JobKind::kReconciler && (spec.open != 0 || spec.removed)) {
    return {spec.open, false, spec.generation};
  }
  ++enqueues;
  ++spec.generation;
  spec.removed = false;
  if (kind == JobKind::kManualRetry) {
    spec.floor = ++epoch_;
  }
  if (spec.open == 0) {
    return {open_job(key, kind), true, spec.generation};
  }
  ModelJob& job = jobs.at(spec.open);
  job.kind = kind;
  if (kind != JobKind::kReconciler) {
    job.priority = 0;
  }
  if (job.status == JobStatus::kPending) {
    start_over(job, spec);
  }
  return {job.id, false, spec.generation};
}

void Model::cancel(ModelSpec& spec) {
  ++spec.generation;
  spec.removed = true;
  spec.holder = 0;
  spec.floor = 0;
  spec.in_flight.clear();
  spec.failure = {};
  if (spec.open != 0) {
    ModelJob& job = jobs.at(std::exchange(spec.open, 0));
    leave(job, spec);
    job.status = JobStatus::kCancelled;
    job.completed_at = now();
  }
}

Code Model::remove_key(const SpecKey& key) {
  ModelSpec& spec = specs[key];
  if (!spec.known || spec.removed) {
    return Code::kNotFound;
  }
  cancel(spec);
  if (!spec.content) {
    clear(key);
  }
  return Code::kOk;
}

ClaimResult Model::claim(const ClaimRequest& request) {
  ClaimResult result;
  result.expired = expire(1000);
  std::vector<JobId> old;
  std::vector<JobId> candidates;
  for (const auto& [id, job] : jobs) {
    if (job.status == JobStatus::kRunning && job.fence.nonce == request.nonce) {
      old.push_back(id);
    } else if (job.status == JobStatus::kPending && due(job)) {
      result.other_space += fits(job.key, request.space_id) ? 0U : 1U;
      if (fits(job.key, request.space_id)) {
        candidates.push_back(id);
      }
    }
  }
  std::vector<JobId> chosen = old;
  const auto take_least = [&](auto rank) {
    const auto least =
        std::min_element(candidates.begin(), candidates.end(), [&](JobId a, JobId b) { return rank(a) < rank(b); });
    chosen.push_back(*least);
    candidates.erase(least);
  };
  for (std::size_t i = 0; old.empty() && i < request.max_jobs && !candidates.empty(); ++i) {
    if (i < request.by_age) {
      take_least([&](JobId id) { return std::tuple(jobs.at(id).next_run_at, id); });
    } else {
      take_least([&](JobId id) { return std::tuple(jobs.at(id).priority, jobs.at(id).next_run_at, id); });
    }
  }
  for (const JobId id : chosen) {
    if (old.empty()) {
      take(id, request);
    }
    result.leases.push_back(lease_of(id));
  }
  return result;
}

void Model::take(JobId id, const ClaimRequest& request) {
  ModelJob& job = jobs.at(id);
  ModelSpec& spec = specs.at(job.key);
  ModelCatalog& catalog = catalogs.at(job.key.catalog_id);
  if (catalog.target.empty()) {
    catalog.target = catalog.search = request.space_id;
  }
  spec.holder = request.nonce;
  job.fence = {++spec.fence_counter, request.nonce};
  job.status = JobStatus::kRunning;
  job.settled = false;
  job.generation = spec.generation;
  job.worker_id = request.worker_id;
  job.epoch = epoch_;
  job.started_at = now();
  ++job.attempts;
  job.reused_count = job.embedded_count = job.embedded_so_far = job.operation_count = 0;
  job.progressed = job.records_in_flight = false;
  job.provider = request.provider;
  job.pass_prompt_tokens = 0;
  renew({id, job.key, job.fence}, rules_.lease_duration);
}

Lease Model::lease_of(JobId id) const {
  const ModelJob& job = jobs.at(id);
  const ModelSpec& spec = specs.at(job.key);
  Lease lease{.job = job, .state = job, .reuse_floor = spec.floor, .suspects = {}};
  for (const auto& [text, row] : spec.in_flight) {
    if (row.suspect || row.set_aside) {
      lease.suspects.push_back({hash_text(text), row.alone, row.set_aside});
    }
  }
  std::sort(lease.suspects.begin(), lease.suspects.end(), [](const Suspect& a, const Suspect& b) {
    return std::tuple(-a.alone, a.text_hash) < std::tuple(-b.alone, b.text_hash);
  });
  return lease;
}

bool Model::renew(const LeaseRef& lease, Duration duration) {
  ModelJob* job = held(lease.job_id, lease.key, lease.fence);
  if (job != nullptr) {
    const Duration length = duration > 0s ? duration : rules_.lease_duration;
    job->lease_expires_at = now() + length;
    specs.at(lease.key).lease_until = clock_->boot_time() + length;
  }
  return job != nullptr;
}

void Model::count(ModelJob& job, std::uint64_t tokens) {
  while (job.pass_prompt_tokens < tokens) {  // one by one: nothing can be counted twice
    ++job.pass_prompt_tokens;
    ++job.prompt_tokens;
    if (!job.provider.empty()) {
      providers[job.provider].provider = job.provider;
      ++providers[job.provider].tokens_total;
    }
  }
}

void Model::note_provider(const std::string& provider, const ProviderNote& note) {
  ProviderState& state = providers[provider];
  state.provider = provider;
  if (!note.space_id.empty()) {
    state.space_id = note.space_id;
  }
  if (note.batch) {
    state.batch_texts = note.batch->texts;
    state.batch_bytes = note.batch->bytes;
  }
  state.input_bytes = note.input_bytes.value_or(state.input_bytes);
  if (note.pause) {
    state.stopped = note.pause->wait > 0s && note.pause->stopped;
  }
  if (note.pause && note.pause->wait > 0s) {
    state.paused_until = now() + note.pause->wait;
    state.pause_reason = note.pause->reason;
  } else if (note.pause) {
    state.paused_until = {};
    state.pause_reason = "";
  }
}

void Model::apply(ModelJob& job, const Progress& progress) {
  count(job, progress.prompt_tokens);
  job.operation_count = progress.operation_count;
  job.reused_count = progress.reused;
  job.embedded_count = progress.embedded;
  job.embedded_so_far = progress.reused + progress.embedded;
  if (progress.embedded > 0) {
    job.progressed = true;
  }
  const bool fewer = job.fewest_missing == -1 ? progress.embedded > 0 : progress.missing < job.fewest_missing;
  job.fewest_missing = job.fewest_missing == -1 || fewer ? progress.missing : job.fewest_missing;
  if (fewer) {
    job.errors_in_row = job.crashes_in_row = job.releases_in_row = 0;
    job.paused_since = {};
  }
}

Code Model::progress(const LeaseRef& lease, const Progress& progress) {
  ModelJob* job = held(lease.job_id, lease.key, lease.fence);
  if (job == nullptr) {
    return Code::kLeaseLost;
  }
  apply(*job, progress);
  return Code::kOk;
}

void Model::drop_answered(ModelSpec& spec) {
  std::erase_if(spec.in_flight,
                [](const auto& row) { return !row.second.sent && !row.second.suspect && !row.second.set_aside; });
}

Code Model::record_in_flight(const LeaseRef& lease, const std::set<std::string>& sent,
                             const std::set<std::string>& answered) {
  ModelJob* job = held(lease.job_id, lease.key, lease.fence);
  if (job == nullptr) {
    return Code::kLeaseLost;
  }
  job->progressed = job->progressed || !answered.empty();
  job->records_in_flight = true;
  ModelSpec& spec = specs.at(lease.key);
  for (auto& [text, row] : spec.in_flight) {
    row.sent = false;
    if (answered.contains(text)) {
      row.suspect = false;
    }
  }
  for (const std::string& text : sent) {
    spec.in_flight[text].sent = true;
  }
  drop_answered(spec);
  return Code::kOk;
}

void Model::count_error(ModelJob& job, ModelSpec& spec, WallTime next) {
  if (++job.errors_in_row >= rules_.max_attempts) {
    fail(job, spec);
    return;
  }
  job.status = JobStatus::kPending;
  job.next_run_at = next;
}

void Model::release(ModelJob& job, ModelSpec& spec, WallTime next) {
  if (++job.releases_in_row % 5 == 0) {
    count_error(job, spec, next);
    return;
  }
  job.attempts = std::max<std::int64_t>(job.attempts - 1, 0);
  job.status = JobStatus::kPending;
  job.next_run_at = next;
}

std::pair<Code, JobStatus> Model::settle(const LeaseRef& lease, const Outcome& outcome) {
  ModelJob* found = held(lease.job_id, lease.key, lease.fence);
  if (found == nullptr) {
    const bool own_effect =
        jobs.contains(lease.job_id) && jobs.at(lease.job_id).fence == lease.fence && jobs.at(lease.job_id).settled;
    return own_effect ? std::pair(Code::kOk, jobs.at(lease.job_id).status)
                      : std::pair(Code::kLeaseLost, JobStatus::kPending);
  }
  ModelJob& job = *found;
  ModelSpec& spec = specs.at(job.key);
  leave(job, spec);
  job.settled = true;
  job.last_error = outcome.kind == OutcomeKind::kComplete ? "" : outcome.error;
  if (outcome.progress) {
    apply(job, *outcome.progress);
  }
  for (auto& [text, row] : spec.in_flight) {
    row.sent = false;
  }
  drop_answered(spec);
  const WallTime later = now() + std::min<Duration>(outcome.delay, 1h);
  if (outcome.kind == OutcomeKind::kComplete) {
    spec.failure.occurrences = 0;
    spec.failure.resolved = true;
    spec.failure.last_success_at = now();
    if (job.epoch >= spec.floor) {
      spec.floor = 0;
    }
  }
  if (spec.generation != job.generation) {
    start_over(job, spec);
  } else if (outcome.kind == OutcomeKind::kComplete) {
    job.status = JobStatus::kSucceeded;
    job.completed_at = now();
    spec.open = 0;
    spec.in_flight.clear();
  } else if (outcome.kind == OutcomeKind::kFail) {
    fail(job, spec);
  } else if (outcome.kind == OutcomeKind::kRetry && outcome.retry_at_once) {
    release(job, spec, now());
  } else if (outcome.kind == OutcomeKind::kRetry) {
    const Duration base = std::min<Duration>(5s * (1 << (job.errors_in_row + 1)), 10min);
    const auto tenths = 8 + std::llround(outcome.jitter * 4);
    count_error(job, spec, now() + std::min<Duration>(base / 10 * tenths, 10min));
  } else if (outcome.reason != ReleaseReason::kPause) {
    release(job, spec, later);
  } else {
    job.attempts = std::max<std::int64_t>(job.attempts - 1, 0);
    job.paused_since = job.paused_since == WallTime{} ? now() : job.paused_since;
    job.status = JobStatus::kPending;
    job.next_run_at = later;
  }
  return {Code::kOk, job.status};
}

void Model::crash(ModelJob& job, ModelSpec& spec) {
  leave(job, spec);
  if (spec.generation != job.generation) {
    start_over(job, spec);
    return;
  }
  ++job.crashes;
  job.last_error = "*";  // any text
  const auto sent =
      std::count_if(spec.in_flight.begin(), spec.in_flight.end(), [](const auto& row) { return row.second.sent; });
  if (job.records_in_flight && sent == 0) {  // some other job's fault
    release(job, spec, now());
    return;
  }
  ++job.crashes_in_row;
  for (auto& [text, row] : spec.in_flight) {
    if (!std::exchange(row.sent, false)) {
      continue;
    }
    row.suspect = true;
    row.alone += sent == 1 ? 1 : 0;
    row.strikes += sent == 1 && !job.progressed ? 1 : 0;
    if (sent == 1 && !job.progressed && row.strikes >= 2) {
      row.set_aside = true;
      job.crashes_in_row = 0;
    }
  }
  if (job.crashes_in_row >= rules_.max_attempts) {
    fail(job, spec);
  } else {
    job.status = JobStatus::kPending;
    job.next_run_at = now();
  }
}

std::size_t Model::expire(std::size_t limit) {
  std::size_t expired = 0;
  for (auto& [id, job] : jobs) {
    if (job.status == JobStatus::kRunning && clock_->boot_time() >= specs.at(job.key).lease_until && expired < limit) {
      crash(job, specs.at(job.key));
      ++expired;
    }
  }
  return expired;
}

std::size_t Model::reap(std::size_t limit) {
  return expire(limit);
}

Peek Model::peek(const std::string& space) const {
  Peek peek;
  peek.enqueue_counter = enqueues;
  const auto least = [](std::optional<Duration>& value, Duration other) {
    value = value ? std::min(*value, other) : other;
  };
  for (const auto& [id, job] : jobs) {
    const bool open = job.status == JobStatus::kPending || job.status == JobStatus::kRunning;
    if (open && !fits(job.key, space)) {
      peek.other_space = true;
    } else if (job.status == JobStatus::kRunning) {
      peek.running = true;
      least(peek.next_due, std::max<Duration>(specs.at(job.key).lease_until - clock_->boot_time(), 0s));
    } else if (job.status == JobStatus::kPending) {
      const Duration wait = due(job) ? Duration(0) : job.next_run_at - now();
      least(peek.next_due, wait);
      least(peek.next_pending_due, wait);
      peek.urgent_waiting = peek.urgent_waiting || (wait == 0s && job.priority == 0);
    }
  }
  return peek;
}

Code Model::resolve_failure(const SpecKey& key) {
  if (!specs.contains(key) || specs.at(key).failure.occurrences == 0) {
    return Code::kNotFound;
  }
  specs.at(key).failure.resolved = true;
  return Code::kOk;
}

std::size_t Model::purge(Duration age, std::size_t limit) {
  std::size_t purged = 0;
  const WallTime before = now() - age;
  std::erase_if(jobs, [&](const auto& entry) {
    const ModelJob& job = entry.second;
    const ModelSpec& spec = specs.at(job.key);
    const bool settled_failure =
        job.status == JobStatus::kFailed && (spec.failure.resolved || spec.failure.occurrences == 0);
    const bool may_go = job.status == JobStatus::kSucceeded || job.status == JobStatus::kCancelled ||
                        (settled_failure && spec.last != job.id);
    const bool goes = may_go && job.completed_at < before && purged < limit;
    purged += goes ? 1 : 0;
    return goes;
  });
  return purged;
}

}  // namespace embedjobs::test
