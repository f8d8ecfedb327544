#include "simulation/checks.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>

namespace embedjobs::sim {
namespace {

std::string vector_key(std::string_view catalog_id, const Space& space, const TextHash& hash) {
  return fmt::format("{} {} {}", catalog_id, space.id(), to_hex(hash));
}

std::string show(const Fence& fence) {
  return fmt::format("{}:{:x}", fence.counter, fence.nonce);
}

bool ambiguous(const Status& status) {
  return !status.ok() && status.code() != Code::kLeaseLost && status.code() != Code::kNotFound &&
         status.code() != Code::kIncomplete;
}

}  // namespace

void Checker::violation(const std::string& rule, const SpecKey& key, const std::string& what) {
  world_.violation(fmt::format("{}: {}/{}: {}", rule, key.catalog_id, key.spec_name, what));
}

bool Checker::holds(const SpecKey& key, JobId id, const Fence& fence) const {
  const auto job = observer_.store->get(id);
  return job.ok() && job->status == JobStatus::kRunning && job->fence == fence && job->key == key;
}

void Checker::claimed(const Lease& lease, const std::string& worker) {
  const SpecKey& key = lease.job.key;
  world_.trace(fmt::format("  {} leased {}/{} fence {} generation {} attempt {}", worker, key.catalog_id, key.spec_name,
                           show(lease.job.fence), lease.job.generation, lease.job.attempts));
  if (lease.job.fence == last_fence_[key]) {
    return;  // the same claim, sent again
  }
  if (lease.job.fence.counter <= last_fence_[key].counter) {
    violation("1 (fence)", key, "a claim did not raise the fence");
  }
  last_fence_[key] = lease.job.fence;
  floor_of_[{key, lease.job.fence.nonce}] = lease.reuse_floor;
  if (floors_.contains(key) && lease.reuse_floor == 0) {
    violation("2 (manual retry)", key, "a pass may reuse old vectors although no retry has succeeded");
  }
  if (Budget& budget = budgets_[key]; budget.generation != lease.job.generation) {
    budget = {.generation = lease.job.generation};
  }
  workers_[lease.job.fence.nonce] = worker;
  const auto until = lease_until_.find(key);
  if (until != lease_until_.end() && until->second.first > world_.elapsed()) {
    violation("1 (one holder)", key, fmt::format("claimed while {} still holds the lease", until->second.second));
  }
  if (lease.job.started_at == WorldClock(world_).wall_now()) {
    lease_until_[key] = {world_.elapsed() + lease_duration_, worker};
  } else {
    lease_until_.erase(key);  // leased by an earlier call whose answer was lost: nobody knows since when
  }
  if (removed_.contains(key)) {
    violation("7 (removal)", key, "a removed spec was claimed");
  }
}

void Checker::renewed(const LeaseRef& lease, bool held) {
  if (!held) {
    violation("1 (fence)", lease.key, "a stale holder renewed its lease");
  }
  const auto until = lease_until_.find(lease.key);
  if (until != lease_until_.end()) {
    until->second.first = world_.elapsed() + lease_duration_;
  }
}

void Checker::wrote(const char* what, const SpecKey& key, bool held, const Status& answer) {
  if (!answer.ok()) {
    world_.trace(fmt::format("  {} of {}/{}: {}", what, key.catalog_id, key.spec_name, answer.to_string()));
  }
  if (answer.ok() && !held) {
    violation("1 (fence)", key, fmt::format("a stale holder's {} was accepted", what));
  }
  if (answer.code() == Code::kLeaseLost && held) {
    violation("1 (fence)", key, fmt::format("the holder's {} was refused", what));
  }
}

void Checker::persisted(const PassContext& context, std::span<const VectorRow> rows) {
  if (removed_.contains(context.key)) {
    violation("7 (removal)", context.key, "a chunk of a removed spec was accepted");
  }
  std::set<TextHash>& texts = embedded_[{context.key, context.fence.nonce}];
  std::transform(rows.begin(), rows.end(), std::inserter(texts, texts.end()),
                 [](const VectorRow& row) { return row.text_hash; });
  if (context.prompt_tokens < texts.size() * Provider::kTokensAText) {
    violation("tokens", context.key, "a pass tells fewer tokens than its chunks have cost");
  }
  for (const VectorRow& row : rows) {
    const bool finite = std::all_of(row.vector.begin(), row.vector.end(), [](float f) { return std::isfinite(f); });
    const bool zero = std::all_of(row.vector.begin(), row.vector.end(), [](float f) { return f == 0.0F; });
    if (!finite || zero || row.vector.size() != context.space.dimension) {
      violation("5 (vectors)", context.key, "a vector that is not one was stored");
    }
    const std::string text = vector_key(context.key.catalog_id, context.space, row.text_hash);
    if (stored_at_.emplace(text, world_.elapsed()).second || epochs_[text] < context.epoch) {
      epochs_[text] = std::max(epochs_[text], context.epoch);
    }
    std::erase_if(grants_[text],
                  [&](const Grant& grant) { return grant.key == context.key && grant.fence == context.fence; });
  }
}

Checker::Tokens Checker::tokens(JobId id) const {
  const auto job = observer_.store->get(id);
  const auto provider = observer_.store->provider_state(Provider::kName);
  const auto state = observer_.store->job_state(id);
  return {job.ok() ? job->prompt_tokens : 0, state.ok() ? state->pass_prompt_tokens : 0,
          provider.ok() ? provider->tokens_total : 0};
}

std::int64_t Checker::fewest_missing(JobId id) const {
  const auto state = observer_.store->job_state(id);
  return state.ok() ? state->fewest_missing : -1;
}

void Checker::counted(const SpecKey& key, JobId id, bool held, std::uint64_t told, const Tokens& before,
                      const Status& answer) {
  const Tokens after = tokens(id);
  const std::uint64_t all = std::max(before.pass, told);
  if (after.pass != before.pass && (!held || after.pass != all)) {
    violation("tokens", key, fmt::format("{} were told, {} counted after {}", told, after.pass, before.pass));
  }
  if (answer.ok() && held && after.pass != all) {
    violation("tokens", key, fmt::format("a write succeeded, and {} of its {} tokens are counted", after.pass, told));
  }
  if (after.job - before.job != after.pass - before.pass ||
      after.provider - before.provider != after.pass - before.pass) {
    violation("tokens", key, "job, pass and provider were not given the same");
  }
  tokens_counted_ += after.provider - before.provider;
}

bool Checker::took_effect(const PassContext& context, std::span<const VectorRow> rows) const {
  Manifest manifest;
  for (const VectorRow& row : rows) {
    manifest.add(row.operation_id, row.text_hash);
  }
  const auto stored = observer_.catalog->list_existing(context, manifest);
  return stored.ok() && std::find(stored->begin(), stored->end(), false) == stored->end();
}

bool Checker::reusable(const PassContext& context, const TextHash& hash) const {
  const auto epoch = epochs_.find(vector_key(context.key.catalog_id, context.space, hash));
  return epoch != epochs_.end() && epoch->second >= context.reuse_floor;
}

void Checker::listed(const PassContext& context, const Manifest& wanted, const std::vector<bool>& answer) {
  for (std::size_t i = 0; i < answer.size(); ++i) {
    const bool stored = reusable(context, wanted.text_hash(i));
    if (stored && !answer[i]) {
      violation("3 (reuse)", context.key, fmt::format("the stored vector of {} was not found", wanted.operation_id(i)));
    }
    if (!stored && answer[i]) {
      violation("8 (manifest)", context.key,
                fmt::format("a vector of {} was found that was never stored", wanted.operation_id(i)));
    }
  }
}

void Checker::given_up(const PassContext& context, std::span<const TextHash> texts) {
  for (const TextHash& text : texts) {
    std::erase_if(grants_[vector_key(context.key.catalog_id, context.space, text)],
                  [&](const Grant& grant) { return grant.key == context.key && grant.fence == context.fence; });
  }
}

void Checker::reserved(const PassContext& context, std::span<const TextHash> texts,
                       const std::vector<Reservation>& answer) {
  for (std::size_t i = 0; i < answer.size(); ++i) {
    const std::string text = vector_key(context.key.catalog_id, context.space, texts[i]);
    if (answer[i] == Reservation::kStored && !reusable(context, texts[i])) {
      violation("8 (manifest)", context.key, "a vector was found that was never stored, or may not be reused");
    }
    if (answer[i] != Reservation::kMine) {
      continue;
    }
    for (const Grant& grant : grants_[text]) {
      if (grant.key != context.key && leased(grant.key) && holds(grant.key, grant.job_id, grant.fence)) {
        violation("3 (reservation)", context.key, fmt::format("{} holds a text of it already", grant.key.spec_name));
      }
    }
    grants_[text].push_back(
        {context.key, context.job_id, context.fence, world_.elapsed(), workers_[context.fence.nonce]});
  }
}

// A text may be sent although its vector is stored only by a pass that was given it before: a stale one.
void Checker::sent(std::string_view text, const Space& space) {
  const std::string catalog_id(text.substr(0, text.find(' ')));
  const std::string address = vector_key(catalog_id, space, hash_text(text));
  const auto stored = stored_at_.find(address);
  if (stored == stored_at_.end() || retried_.contains(catalog_id)) {
    return;
  }
  const std::vector<Grant>& grants = grants_[address];
  if (std::none_of(grants.begin(), grants.end(), [&](const Grant& grant) { return grant.since <= stored->second; })) {
    world_.violation(
        fmt::format("3 (reuse): '{}' was sent although its vector was stored before any pass reserved it", text));
  }
}

void Checker::finalized(const PassContext& context, const Manifest& manifest) {
  std::map<std::string, std::string> wanted;
  for (std::size_t i = 0; i < manifest.size(); ++i) {
    wanted.emplace(manifest.operation_id(i), to_hex(manifest.text_hash(i)));
  }
  Space space;
  if (rows(context.key, &space) != wanted) {
    violation("8 (manifest)", context.key, "the visible rows are not the finalized manifest");
  }
  if (!wanted.empty() && space != context.space) {
    violation("4 (space)", context.key, "the finalized manifest is not visible in its space");
  }
}

// A pass that has not split its document yet knows nothing of what is missing, whatever it says.
void Checker::told_progress(const SpecKey& key, const Progress& progress) {
  if (progress.operation_count == 0) {
    return;
  }
  Budget& budget = budgets_[key];
  const std::int64_t before = budget.fewest_missing < 0 ? progress.missing + progress.embedded : budget.fewest_missing;
  if (progress.missing < before) {
    budget.errors = budget.releases = 0;
  }
  budget.fewest_missing = std::min(before, progress.missing);
}

// Errors count, and every fifth release; pauses never. Only five in a row without anything new stored end a job.
void Checker::count_outcome(const LeaseRef& lease, const Outcome& outcome, JobStatus status) {
  if (outcome.progress) {
    told_progress(lease.key, *outcome.progress);
  }
  Budget& budget = budgets_[lease.key];
  const bool pause = outcome.kind == OutcomeKind::kRelease && outcome.reason == ReleaseReason::kPause;
  const bool error = outcome.kind == OutcomeKind::kRetry && !outcome.retry_at_once;
  budget.errors += error ? 1 : 0;
  budget.releases += !error && !pause ? 1 : 0;
  const bool could_go_on = outcome.kind == OutcomeKind::kRetry || outcome.kind == OutcomeKind::kRelease;
  if (could_go_on && status == JobStatus::kFailed && budget.errors + budget.releases / 5 < 5) {
    violation("10 (budget)", lease.key,
              fmt::format("failed after {} errors and {} releases without progress", budget.errors, budget.releases));
  }
}

void Checker::settled(const LeaseRef& lease, const Outcome& outcome, JobStatus status) {
  count_outcome(lease, outcome, status);
  if (outcome.kind == OutcomeKind::kComplete && floor_of_[{lease.key, lease.fence.nonce}] > 0) {
    floors_.erase(lease.key);
  }
  lease_until_.erase(lease.key);
  end_grants([&](const Grant& grant) { return grant.key == lease.key && grant.fence == lease.fence; });
  world_.trace(fmt::format("  settled {}/{} as {}: {}", lease.key.catalog_id, lease.key.spec_name, to_string(status),
                           outcome.error));
  if (status == JobStatus::kPending || status == JobStatus::kRunning) {
    return;
  }
  const auto job = observer_.store->get(lease.job_id);
  const auto info = observer_.catalog->specs(lease.key.catalog_id, nullptr, 1000);
  if (job.ok() && info.ok()) {
    for (const SpecInfo& spec : *info) {
      if (spec.key == lease.key && spec.generation > job->generation) {
        violation("2 (generation)", lease.key, "a job ended although its key had moved on");
      }
    }
  }
  std::map<std::string, std::string> wanted;
  if (status == JobStatus::kSucceeded && document_rows(lease.key, wanted) && rows(lease.key) != wanted) {
    violation("2 (success)", lease.key, "the visible rows are not the document's");
  }
}

bool Checker::is_stored(const std::string& catalog_id, const Space& space, const TextHash& hash) const {
  return stored_at_.contains(vector_key(catalog_id, space, hash));
}

void Checker::process_gone(const std::string& worker, bool seen) {
  if (seen) {
    std::erase_if(lease_until_, [&](const auto& entry) { return entry.second.second == worker; });
  }
  end_grants([&](const Grant& grant) { return grant.worker == worker; });
}

void Checker::removed(const SpecKey& key) {
  removed_.insert(key);
  floors_.erase(key);
  lease_until_.erase(key);
  if (!rows(key).empty()) {
    violation("7 (removal)", key, "rows are left");
  }
}

std::map<std::string, std::string> Checker::rows(const SpecKey& key, Space* space) const {
  std::map<std::string, std::string> rows;
  const auto answer = observer_.catalog->rows(key, false, [&rows](const StoredRow& row) {
    rows.emplace(row.operation_id, to_hex(row.text_hash));
    return true;
  });
  if (answer.ok() && space != nullptr) {
    *space = *answer;
  }
  return rows;
}

bool Checker::document_rows(const SpecKey& key, std::map<std::string, std::string>& rows) const {
  const auto document = observer_.catalog->resolve(key);
  if (!document.ok()) {
    return false;
  }
  const auto operations = splitter_.split(document->content);
  if (!operations.ok()) {
    return false;
  }
  for (std::size_t i = 0; i < operations->size(); ++i) {
    rows.emplace(operations->operation_id(i), to_hex(operations->text_hash(i)));
  }
  return true;
}

Result<ClaimResult> CheckedStore::claim(const ClaimRequest& request) {
  Result<ClaimResult> answer = inner_->claim(request);
  if (answer.ok()) {
    for (const Lease& lease : answer->leases) {
      checker_.claimed(lease, request.worker_id);
    }
  } else if (ambiguous(answer.status())) {
    checker_.world().trace("  claim: " + answer.status().to_string());
    checker_.claim_lost(request.worker_id);
  }
  return answer;
}

Result<std::vector<bool>> CheckedStore::renew(std::span<const LeaseRef> leases, Duration lease_duration,
                                              Duration time_limit) {
  std::vector<bool> held;
  for (const LeaseRef& lease : leases) {
    held.push_back(checker_.holds(lease.key, lease.job_id, lease.fence));
  }
  Result<std::vector<bool>> answer = inner_->renew(leases, lease_duration, time_limit);
  for (std::size_t i = 0; answer.ok() && i < leases.size(); ++i) {
    if ((*answer)[i]) {
      checker_.renewed(leases[i], held[i]);
    }
  }
  return answer;
}

Status CheckedStore::progress(const LeaseRef& lease, const Progress& progress) {
  const bool held = checker_.holds(lease.key, lease.job_id, lease.fence);
  const Checker::Tokens before = checker_.tokens(lease.job_id);
  const std::int64_t missing = checker_.fewest_missing(lease.job_id);
  Status answer = inner_->progress(lease, progress);
  checker_.counted(lease.key, lease.job_id, held, progress.prompt_tokens, before, answer);
  checker_.wrote("progress", lease.key, held, answer);
  // Without an answer only the store knows whether it was told; if nothing became less there, it does not matter.
  if (held && (answer.ok() || checker_.fewest_missing(lease.job_id) != missing)) {
    checker_.told_progress(lease.key, progress);
  }
  return answer;
}

Status CheckedStore::record_in_flight(const LeaseRef& lease, std::span<const TextHash> sent,
                                      std::span<const TextHash> answered) {
  const bool held = checker_.holds(lease.key, lease.job_id, lease.fence);
  Status answer = inner_->record_in_flight(lease, sent, answered);
  checker_.wrote("record", lease.key, held, answer);
  return answer;
}

Result<JobStatus> CheckedStore::settle(const LeaseRef& lease, const Outcome& outcome) {
  const bool held = checker_.holds(lease.key, lease.job_id, lease.fence);
  const auto before = checker_.observer().store->get(lease.job_id);
  const auto state = checker_.observer().store->job_state(lease.job_id);
  const Checker::Tokens tokens = checker_.tokens(lease.job_id);
  Result<JobStatus> answer = inner_->settle(lease, outcome);
  checker_.counted(lease.key, lease.job_id, held, outcome.progress ? outcome.progress->prompt_tokens : 0, tokens,
                   answer.status());
  const bool own_effect = before.ok() && state.ok() && state->settled && before->fence == lease.fence;
  checker_.wrote("settle", lease.key, held || (own_effect && answer.ok()), answer.status());
  if (held && !checker_.holds(lease.key, lease.job_id, lease.fence)) {  // whatever was answered, this is what was done
    const auto after = checker_.observer().store->get(lease.job_id);
    checker_.settled(lease, outcome, after.ok() ? after->status : JobStatus::kPending);
  }
  return answer;
}

Result<std::vector<bool>> CheckedPersister::list_existing(const PassContext& context, const Manifest& wanted) {
  Result<std::vector<bool>> answer = inner_->list_existing(context, wanted);
  if (answer.ok()) {
    checker_.listed(context, wanted, *answer);
  }
  return answer;
}

Result<std::vector<Reservation>> CheckedPersister::reserve(const PassContext& context, std::span<const TextHash> texts,
                                                           std::span<const TextHash> given_up) {
  const bool held = checker_.holds(context.key, context.job_id, context.fence);
  Result<std::vector<Reservation>> answer = inner_->reserve(context, texts, given_up);
  checker_.wrote("reservation", context.key, held, answer.status());
  if (answer.ok()) {
    checker_.given_up(context, given_up);
    checker_.reserved(context, texts, *answer);
  }
  return answer;
}

Status CheckedPersister::persist_batch(const PassContext& context, std::span<const VectorRow> rows) {
  const bool held = checker_.holds(context.key, context.job_id, context.fence);
  Space before;
  const auto visible = checker_.rows(context.key, &before);
  const Checker::Tokens tokens = checker_.tokens(context.job_id);
  const bool stored_before = checker_.took_effect(context, rows);
  Status answer = inner_->persist_batch(context, rows);
  if (!stored_before && checker_.took_effect(context, rows) &&
      checker_.tokens(context.job_id).pass < context.prompt_tokens) {
    checker_.world().violation("tokens: what a stored chunk cost is not counted");
  }
  checker_.counted(context.key, context.job_id, held, context.prompt_tokens, tokens, answer);
  checker_.wrote("chunk", context.key, held, answer);
  if (answer.ok() || (ambiguous(answer) && checker_.took_effect(context, rows))) {
    checker_.persisted(context, rows);
  }
  if (answer.ok() && !visible.empty() && before != context.space && checker_.rows(context.key) != visible) {
    checker_.world().violation("4 (space): a chunk of the new space is visible before its manifest");
  }
  return answer;
}

Status CheckedPersister::finalize(const PassContext& context, const Manifest& manifest) {
  const bool held = checker_.holds(context.key, context.job_id, context.fence);
  Status answer = inner_->finalize(context, manifest);
  checker_.wrote("finalize", context.key, held, answer);
  if (answer.ok()) {
    checker_.finalized(context, manifest);
  }
  return answer;
}

}  // namespace embedjobs::sim
