// How specs and catalogs stand: status and health. What nobody tells is shown as unknown, and never as nothing.
#include <fmt/format.h>

#include <algorithm>

#include "core/engine/engine_impl.hpp"
#include "core/rules/errors.hpp"

namespace embedjobs {
namespace {

constexpr Duration kLongPause = std::chrono::hours(24);
/// What a row shows of the vectors that the library keeps.
SpecStatus row_of(const SpecInfo& info) {
  SpecStatus row;
  row.key = info.key;
  row.operation_count = info.operation_count;
  row.embedding_count = info.embedding_count;
  row.complete = info.complete;
  row.visible_space_id = info.visible_space_id;
  return row;
}

/// What a row shows of vectors that the host keeps: the counts of the last pass, and what the persister says.
SpecStatus row_of(const SpecVersion& document, const std::optional<Job>& job, const std::optional<SpecState>& state) {
  SpecStatus row;
  row.key = document.key;
  if (state) {
    row.complete = state->complete && state->content_version == document.version;
    row.visible_space_id = state->space_id;
  }
  const bool succeeded = job && job->status == JobStatus::kSucceeded;
  if (succeeded || (job && job->operation_count > 0)) {
    row.operation_count = job->operation_count;
  }
  if (succeeded) {
    row.embedding_count = job->embedded_so_far;
  }
  return row;
}

void show_job(SpecStatus& row, const std::optional<Job>& job) {
  row.embedded_so_far = 0;
  if (!job) {
    return;
  }
  row.job_status = job->status;
  row.job_attempts = job->attempts;
  row.job_last_error = job->last_error;
  row.job_updated_at = job->updated_at;
  if (job->status == JobStatus::kPending) {
    row.job_next_run_at = job->next_run_at;
  }
  if (job->status == JobStatus::kRunning) {
    row.worker_id = job->worker_id;
    row.job_started_at = job->started_at;
    row.lease_expires_at = job->lease_expires_at;
    row.embedded_so_far = job->embedded_so_far;
    // The pass may be over a newer document than the one that was counted last.
    row.operation_count = job->operation_count > 0 ? job->operation_count : row.operation_count;
  }
}

template <typename Visit>
void visit_row(SpecStatus row, bool job_known, const std::optional<Job>& job, const Visit& visit) {
  row.job_known = job_known;
  if (job_known) {
    show_job(row, job);
  }
  visit(row, job);
}

/// Counts rows into a catalog's health. The label of a spec's badge and its place in these counts are the same thing.
class HealthCounter {
 public:
  explicit HealthCounter(WallTime now) : now_(now) {}

  void add(const SpecStatus& row, const std::optional<Job>& job) {
    ++health_.specs;
    health_.jobs_known = health_.jobs_known && row.job_known;
    if (is_unknown(row)) {
      ++health_.unknown;
      return;
    }
    health_.indexed += make_badge(row).tone == Tone::kGreen ? 1 : 0;
    if (!job) {
      return;
    }
    health_.pending += job->status == JobStatus::kPending ? 1 : 0;
    health_.running += job->status == JobStatus::kRunning ? 1 : 0;
    if (job->status == JobStatus::kFailed) {
      ++health_.failed;
      remember(failed_, *job);
    } else if (is_open(job->status) && job->errors_in_row + job->crashes_in_row > 0) {
      ++retrying_count_;
      remember(retrying_, *job);
    }
    if (is_open(job->status) && job->paused_since != WallTime{} && now_ - job->paused_since >= kLongPause) {
      remember(paused_, *job);
    }
  }

  /// `failure`: the most recent unresolved one, where there is one.
  CatalogHealth result(const std::optional<Failure>& failure) const {
    CatalogHealth health = health_;
    if (failed_) {
      health.degraded_reason = fmt::format("{} failed, for example {}", specs(health.failed), *failed_);
    } else if (failure) {
      health.degraded_reason = fmt::format("{} failed {} times since it last succeeded: {}", name(failure->key),
                                           failure->occurrences, core::one_line(failure->last_error));
    } else if (retrying_) {
      health.degraded_reason =
          fmt::format("{} retried after errors, for example {}", specs(retrying_count_), *retrying_);
    } else if (paused_) {
      health.degraded_reason = fmt::format("the provider has paused for more than a day, for example {}", *paused_);
    }
    health.degraded = !health.degraded_reason.empty();
    return health;
  }

 private:
  static std::string name(const SpecKey& key) { return fmt::format("{}/{}", key.catalog_id, key.spec_name); }
  static std::string specs(std::int64_t count) { return fmt::format("{} {}", count, count == 1 ? "spec" : "specs"); }
  static void remember(std::optional<std::string>& example, const Job& job) {
    if (!example) {
      const std::string error = job.last_error.empty() ? "no error message recorded" : core::one_line(job.last_error);
      example = fmt::format("{}: {}", name(job.key), error);
    }
  }

  WallTime now_;
  CatalogHealth health_;
  std::int64_t retrying_count_ = 0;
  std::optional<std::string> failed_, retrying_, paused_;
};

}  // namespace

Result<Engine::Impl::LastJobs> Engine::Impl::last_jobs(const std::vector<SpecKey>& keys) {
  Result<LastJobs> jobs = core::if_told(store_->last_jobs(keys));
  if (jobs.ok() && *jobs && (*jobs)->size() != keys.size()) {
    return {Code::kInternal, fmt::format("the store answered {} jobs for {} keys", (*jobs)->size(), keys.size())};
  }
  return jobs;
}

Status Engine::Impl::visit_host_page(const std::vector<SpecVersion>& page, const VisitStatus& visit) {
  std::vector<SpecKey> keys;
  std::transform(page.begin(), page.end(), std::back_inserter(keys),
                 [](const SpecVersion& document) { return document.key; });
  const Result<LastJobs> jobs = last_jobs(keys);
  if (!jobs.ok()) {
    return jobs.status();
  }
  // A job says more than the persister does. Where there is none, only the persister can say how the rows stand.
  const LastJobs& told = *jobs;
  std::optional<std::vector<SpecState>> states;
  if (!told || std::find(told->begin(), told->end(), std::nullopt) != told->end()) {
    auto described = core::if_told(core::guarded("the persister", [&] { return persister_->describe(keys); }));
    if (!described.ok()) {
      return described.status();
    }
    states = *std::move(described);
    if (states && states->size() != keys.size()) {
      return {Code::kInternal,
              fmt::format("the persister's describe answered {} entries for {} keys", states->size(), keys.size())};
    }
  }
  for (std::size_t i = 0; i < keys.size(); ++i) {
    const std::optional<Job> job = told ? (*told)[i] : std::nullopt;
    visit_row(row_of(page[i], job, states ? std::optional((*states)[i]) : std::nullopt), told.has_value(), job, visit);
  }
  return {};
}

Status Engine::Impl::host_statuses(const std::optional<std::string>& catalog_id, const VisitStatus& visit) {
  std::optional<SpecKey> after;
  for (;;) {
    auto page = core::guarded("the resolver", [&] { return resolver_->list(after ? &*after : nullptr, core::kPage); });
    if (!page.ok()) {
      return page.status();
    }
    if (after && !page->empty() && page->back().key <= *after) {
      return {Code::kInternal, "the resolver's list is not ordered by key"};
    }
    const bool last = page->size() < core::kPage;
    after = page->empty() ? std::nullopt : std::optional(page->back().key);
    std::erase_if(*page,
                  [&](const SpecVersion& document) { return catalog_id && document.key.catalog_id != *catalog_id; });
    if (Status status = visit_host_page(*page, visit); !status.ok() || last) {
      return status;
    }
  }
}

Status Engine::Impl::for_each_status(const std::optional<std::string>& catalog_id, const VisitStatus& visit) {
  if (catalog_ && catalog_id) {
    if (Status status = require_catalog(*catalog_id); !status.ok()) {
      return status;
    }
  }
  if (!own_vectors_) {
    return host_statuses(catalog_id, visit);
  }
  return for_each_page(catalog_id, [&](const std::vector<SpecInfo>& page, const std::vector<SpecKey>& keys) -> Status {
    const Result<LastJobs> jobs = last_jobs(keys);
    if (!jobs.ok()) {
      return jobs.status();
    }
    for (std::size_t i = 0; i < keys.size(); ++i) {
      visit_row(row_of(page[i]), jobs->has_value(), *jobs ? (**jobs)[i] : std::nullopt, visit);
    }
    return {};
  });
}

// A running job waits for the provider of its worker. Which worker will take a pending one is open: it waits if a
// provider is paused that makes vectors of the catalog's space, or whose space, or the catalog's, nobody knows yet.
Status Engine::Impl::add_pauses(std::vector<SpecStatus>& rows, const std::vector<std::string>& providers_of_rows) {
  Result<std::optional<std::vector<ProviderState>>> told = core::if_told(store_->providers());
  if (!told.ok()) {
    return told.status();
  }
  for (SpecStatus& row : rows) {
    row.pause_known = row.job_known && *told;
  }
  std::vector<ProviderState> known = told->value_or(std::vector<ProviderState>());
  std::erase_if(known, [](const ProviderState& state) { return !is_paused(state, state.read_at); });
  if (known.empty()) {
    return {};
  }
  std::map<std::string, std::string> targets;
  if (catalog_) {
    const Result<std::vector<CatalogInfo>> infos = catalog_->catalogs();
    if (!infos.ok()) {
      return infos.status();
    }
    for (const CatalogInfo& info : *infos) {
      targets[info.catalog_id] = info.target_space_id;
    }
  }
  for (std::size_t i = 0; i < rows.size(); ++i) {
    SpecStatus& row = rows[i];
    const auto concerns = [&](const ProviderState& state) {
      if (row.job_status == JobStatus::kRunning) {
        return state.provider == providers_of_rows[i];
      }
      const std::string& target = targets[row.key.catalog_id];
      return row.job_status == JobStatus::kPending &&
             (target.empty() || state.space_id.empty() || state.space_id == target);
    };
    const auto paused = std::find_if(known.begin(), known.end(), concerns);
    if (paused != known.end()) {
      row.provider_pause = fmt::format("waiting for provider until {}: {}", format_rfc3339(paused->paused_until),
                                       core::one_line(paused->pause_reason));
    }
  }
  return {};
}

Result<std::vector<SpecStatus>> Engine::Impl::status(const std::optional<std::string>& catalog_id) {
  std::vector<SpecStatus> rows;
  std::vector<std::string> providers_of_rows;
  Status status = for_each_status(catalog_id, [&](const SpecStatus& row, const std::optional<Job>& job) {
    rows.push_back(row);
    providers_of_rows.push_back(job ? job->provider : std::string());
  });
  if (status.ok()) {
    status = add_pauses(rows, providers_of_rows);
  }
  if (!status.ok()) {
    return status;
  }
  return rows;
}

Result<CatalogHealth> Engine::Impl::health(const std::optional<std::string>& catalog_id) {
  HealthCounter counter(clock_->wall_now());
  const Status status =
      for_each_status(catalog_id, [&](const SpecStatus& row, const std::optional<Job>& job) { counter.add(row, job); });
  if (!status.ok()) {
    return status;
  }
  // A key that failed and is queued again still fails, until it succeeds or an operator says otherwise.
  const auto failures = core::if_told(store_->failures(catalog_id, 1));
  if (!failures.ok()) {
    return failures.status();
  }
  const bool failed = *failures && !(*failures)->empty();
  CatalogHealth health = counter.result(failed ? std::optional((*failures)->front()) : std::nullopt);
  health.failures_known = failures->has_value();
  return health;
}

Result<std::vector<SpecStatus>> Engine::status(std::optional<std::string> catalog_id) {
  return impl_->call([&] { return impl_->status(catalog_id); });
}

Result<CatalogHealth> Engine::health(std::optional<std::string> catalog_id) {
  return impl_->call([&] { return impl_->health(catalog_id); });
}

}  // namespace embedjobs
