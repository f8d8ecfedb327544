// What a person or a page reads: status, health, rows, verification.
#include <fmt/format.h>

#include <algorithm>

#include "core/engine/engine_impl.hpp"
#include "core/rules/errors.hpp"
#include "core/rules/fleet.hpp"

namespace embedjobs {
namespace {

constexpr Duration kLongPause = std::chrono::hours(24);
constexpr std::size_t kMostRunningJobs = 10'000;

SpecStatus status_row(const SpecInfo& info, const std::optional<Job>& job) {
  SpecStatus row;
  row.key = info.key;
  row.operation_count = info.operation_count;
  row.embedding_count = info.embedding_count;
  row.visible_space_id = info.visible_space_id;
  if (!job) {
    return row;
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
  return row;
}

/// Counts rows into a catalog's health. The label of a spec's badge and its place in these counts are the same thing.
class HealthCounter {
 public:
  explicit HealthCounter(WallTime now) : now_(now) {}

  void add(const SpecStatus& row, const std::optional<Job>& job) {
    ++health_.specs;
    if (!row.job_known) {
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

/// Walks the rows of a spec along its document, both in order of operation ids, and keeps the first difference.
class RowComparison {
 public:
  explicit RowComparison(const Manifest& manifest) : manifest_(manifest), order_(manifest.sorted_by_id()) {}

  /// False once a difference is known.
  bool visit(const StoredRow& row) {
    if (next_ < order_.size() && manifest_.operation_id(order_[next_]) < row.operation_id) {
      return missing();
    }
    if (next_ == order_.size() || manifest_.operation_id(order_[next_]) != row.operation_id) {
      difference_ = fmt::format("row '{}' is not an operation of the document", row.operation_id);
      return false;
    }
    if (manifest_.text_hash(order_[next_]) != row.text_hash) {
      difference_ = fmt::format("row '{}' is of another text ({}) than the document has ({})", row.operation_id,
                                to_hex(row.text_hash), to_hex(manifest_.text_hash(order_[next_])));
      return false;
    }
    ++next_;
    return true;
  }

  /// After the last row.
  std::string difference() {
    if (difference_.empty() && next_ < order_.size()) {
      (void)missing();
    }
    return difference_;
  }

 private:
  bool missing() {
    difference_ = fmt::format("operation '{}' has no row", manifest_.operation_id(order_[next_]));
    return false;
  }

  const Manifest& manifest_;
  std::vector<std::uint32_t> order_;
  std::size_t next_ = 0;
  std::string difference_;
};

}  // namespace

Status Engine::Impl::require_catalog(const std::string& catalog_id) {
  if (Status status = validate_catalog_id(catalog_id); !status.ok()) {
    return status;
  }
  if (Status status = require_documents("catalogs"); !status.ok()) {
    return status;
  }
  return catalog_->search_space_of(catalog_id).status();
}

Status Engine::Impl::for_each_spec(const std::optional<std::string>& catalog_id,
                                   const std::function<Status(const SpecInfo&, const std::optional<Job>&)>& visit) {
  std::optional<SpecKey> after;
  for (;;) {
    const Result<std::vector<SpecInfo>> page = catalog_->specs(catalog_id, after ? &*after : nullptr, core::kPage);
    if (!page.ok()) {
      return page.status();
    }
    std::vector<SpecKey> keys;
    std::transform(page->begin(), page->end(), std::back_inserter(keys), [](const SpecInfo& info) { return info.key; });
    const Result<std::vector<std::optional<Job>>> jobs = store_->last_jobs(keys);
    if (!jobs.ok()) {
      return jobs.status();
    }
    for (std::size_t i = 0; i < keys.size(); ++i) {
      if (Status status = visit((*page)[i], (*jobs)[i]); !status.ok()) {
        return status;
      }
    }
    if (page->size() < core::kPage) {
      return {};
    }
    after = keys.back();
  }
}

/// What the store knows of documents that the host keeps: the counts of their last pass.
Status Engine::Impl::host_statuses(const std::optional<std::string>& catalog_id, const VisitStatus& visit) {
  std::optional<SpecKey> after;
  for (;;) {
    const auto page =
        core::guarded("the resolver", [&] { return resolver_->list(after ? &*after : nullptr, core::kPage); });
    if (!page.ok()) {
      return page.status();
    }
    if (after && !page->empty() && page->back().key <= *after) {
      return {Code::kInternal, "the resolver's list is not ordered by key"};
    }
    std::vector<SpecKey> keys;
    for (const SpecVersion& document : *page) {
      if (!catalog_id || document.key.catalog_id == *catalog_id) {
        keys.push_back(document.key);
      }
    }
    const Result<std::vector<std::optional<Job>>> jobs = store_->last_jobs(keys);
    const bool known = jobs.status().code() != Code::kRefused;  // a host's store need not tell
    if (known && !jobs.ok()) {
      return jobs.status();
    }
    for (std::size_t i = 0; i < keys.size(); ++i) {
      const std::optional<Job> job = known ? (*jobs)[i] : std::nullopt;
      SpecInfo info;
      info.key = keys[i];
      if (job) {
        info.operation_count = job->operation_count;
        info.embedding_count = job->status == JobStatus::kSucceeded ? job->embedded_so_far : 0;
      }
      SpecStatus row = status_row(info, job);
      row.job_known = known;
      visit(row, job);
    }
    if (page->size() < core::kPage) {
      return {};
    }
    after = page->back().key;
  }
}

Status Engine::Impl::for_each_status(const std::optional<std::string>& catalog_id, const VisitStatus& visit) {
  if (!catalog_) {
    return host_statuses(catalog_id, visit);
  }
  if (catalog_id) {
    if (Status status = require_catalog(*catalog_id); !status.ok()) {
      return status;
    }
  }
  return for_each_spec(catalog_id, [&](const SpecInfo& info, const std::optional<Job>& job) {
    visit(status_row(info, job), job);
    return Status();
  });
}

// A running job waits for the provider of its worker. Which worker will take a pending one is open: it waits if a
// provider is paused that makes vectors of the catalog's space, or whose space, or the catalog's, nobody knows yet.
Status Engine::Impl::add_pauses(std::vector<SpecStatus>& rows, const std::vector<std::string>& providers_of_rows) {
  Result<std::vector<ProviderState>> known = store_->providers();
  if (!known.ok()) {
    return known.status().code() == Code::kRefused ? Status() : known.status();
  }
  std::erase_if(*known, [](const ProviderState& state) { return !is_paused(state, state.read_at); });
  if (known->empty()) {
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
    const auto paused = std::find_if(known->begin(), known->end(), concerns);
    if (paused != known->end()) {
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

Result<std::vector<WorkerStatus>> Engine::Impl::workers() {
  Result<std::vector<WorkerInfo>> known = store_->workers();
  if (!known.ok()) {
    return known.status();
  }
  Result<std::vector<Job>> running = store_->list({.status = JobStatus::kRunning,
                                                   .kind = std::nullopt,
                                                   .catalog_id = std::nullopt,
                                                   .spec_name = std::nullopt,
                                                   .limit = kMostRunningJobs});
  if (!running.ok()) {
    return running.status();
  }
  return core::fleet_of(*std::move(known), *std::move(running));
}

Result<CatalogHealth> Engine::Impl::health(const std::optional<std::string>& catalog_id) {
  HealthCounter counter(clock_->wall_now());
  const Status status =
      for_each_status(catalog_id, [&](const SpecStatus& row, const std::optional<Job>& job) { counter.add(row, job); });
  if (!status.ok()) {
    return status;
  }
  // A key that failed and is queued again still fails, until it succeeds or an operator says otherwise.
  Result<std::vector<Failure>> failures = store_->failures(catalog_id, 1);
  if (failures.status().code() == Code::kRefused) {
    CatalogHealth health = counter.result(std::nullopt);
    health.failures_known = false;
    return health;
  }
  if (!failures.ok()) {
    return failures.status();
  }
  return counter.result(failures->empty() ? std::nullopt : std::optional<Failure>(failures->front()));
}

Result<std::string> Engine::Impl::difference_of(const SpecKey& key) {
  const Result<Document> document = core::guarded("the resolver", [&] { return resolver_->resolve(key); });
  if (!document.ok()) {
    return document.status();
  }
  const Result<OperationList> operations =
      core::guarded("the splitter", [&] { return splitter_->split(document->content); });
  if (!operations.ok()) {
    return "the document can't be split: " + operations.status().message();
  }
  RowComparison comparison(operations->manifest());
  // With vectors, so that a damaged one is found.
  const Result<Space> rows = catalog_->rows(key, true, [&](const StoredRow& row) { return comparison.visit(row); });
  if (rows.status().code() == Code::kUnusable) {
    return rows.status().message();
  }
  if (!rows.ok()) {
    return rows.status();
  }
  return comparison.difference();
}

Result<std::vector<VerifyReport>> Engine::Impl::verify(std::string_view catalog_id,
                                                       const std::optional<std::string>& spec_name) {
  Status status = require_vectors("verify");
  if (status.ok() && !splitter_) {
    status = Status(Code::kRefused, "verify: documents are split by the host's computer");
  }
  const std::string catalog(catalog_id);
  if (status.ok()) {
    status = spec_name ? validate(SpecKey{catalog, *spec_name}) : require_catalog(catalog);
  }
  if (!status.ok()) {
    return status;
  }
  std::vector<VerifyReport> reports;
  const auto check = [&](const SpecKey& key) -> Status {
    Result<std::string> difference = difference_of(key);
    if (difference.ok()) {
      reports.push_back({.key = key, .equal = difference->empty(), .difference = *difference});
    }
    return difference.status();
  };
  if (spec_name) {
    status = check({catalog, *spec_name});
    if (status.code() == Code::kGone) {
      return core::no_such_spec({catalog, *spec_name});
    }
  } else {
    status = for_each_spec(catalog, [&](const SpecInfo& info, const std::optional<Job>&) {
      Status checked = check(info.key);
      const bool removed_meanwhile = checked.code() == Code::kGone || checked.code() == Code::kNotFound;
      return removed_meanwhile ? Status() : checked;
    });
  }
  if (!status.ok()) {
    return status;
  }
  return reports;
}

Result<std::vector<SpecStatus>> Engine::status(std::optional<std::string> catalog_id) {
  return impl_->call([&] { return impl_->status(catalog_id); });
}

Result<std::vector<ProviderState>> Engine::providers() {
  return impl_->call([&] { return impl_->providers(); });
}

Result<std::vector<WorkerStatus>> Engine::workers() {
  return impl_->call([&] { return impl_->workers(); });
}

Result<CatalogHealth> Engine::health(std::optional<std::string> catalog_id) {
  return impl_->call([&] { return impl_->health(catalog_id); });
}

Result<std::vector<CatalogInfo>> Engine::catalogs() {
  return impl_->call([&] { return impl_->catalogs(); });
}

Result<Space> Engine::rows(const SpecKey& key, bool with_vectors, const std::function<bool(const StoredRow&)>& visit) {
  return impl_->call([&]() -> Result<Space> {
    if (Status status = impl_->require_vectors("rows"); !status.ok()) {
      return status;
    }
    if (Status status = validate(key); !status.ok()) {
      return status;
    }
    return impl_->catalog_->rows(key, with_vectors, visit);
  });
}

Result<std::vector<VerifyReport>> Engine::verify(std::string_view catalog_id, std::optional<std::string> spec_name) {
  return impl_->call([&] { return impl_->verify(catalog_id, spec_name); });
}

}  // namespace embedjobs
