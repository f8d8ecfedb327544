#include "core/maintenance/reconcile.hpp"

#include <vector>

#include <fmt/format.h>

#include "core/values/guard.hpp"
#include "embedjobs/sys/store_rules.hpp"

namespace embedjobs {
namespace core {
namespace {

bool differs(const std::string& desired, const std::string& actual) {
  return !desired.empty() && desired != actual;
}

bool is_parked(const Failure& failure, WallTime now) {
  return failure.occurrences > 0 && !failure.resolved && rules::parked_until(failure) > now;
}

Status wrong_count(std::string_view who, std::size_t answered, std::size_t asked) {
  return {Code::kInternal, fmt::format("{} answered {} entries for {} keys", who, answered, asked)};
}

}  // namespace

std::optional<std::string> gap_reason(const Desired& desired, const SpecState& actual,
                                      const std::optional<Job>& last_job, const Failure& failure, WallTime now) {
  if (last_job && is_open(last_job->status)) {
    return std::nullopt;
  }
  if (is_parked(failure, now)) {
    return std::nullopt;
  }
  if (!actual.complete) {
    return "no complete vectors";
  }
  if (differs(desired.content_version, actual.content_version)) {
    return "the document changed";
  }
  if (differs(desired.space_id, actual.space_id)) {
    return fmt::format("vectors are of space {}, the target is {}", actual.space_id, desired.space_id);
  }
  if (!actual.splitter_version.empty() && differs(desired.splitter_version, actual.splitter_version)) {
    return fmt::format("split by {}, now {}", actual.splitter_version, desired.splitter_version);
  }
  if (last_job && last_job->status == JobStatus::kFailed) {
    return "the last pass failed";
  }
  return std::nullopt;
}

Status ReconcileRound::next_page(WallTime now) {
  if (!targets_) {
    if (Status status = learn_targets(); !status.ok()) {
      return status;
    }
  }
  Result<std::vector<SpecVersion>> page = list_page();
  if (!page.ok()) {
    return page.status();
  }
  done_ = page->size() < kReconcilePage;
  if (!page->empty()) {
    if (Status status = enqueue_gaps(*page, now); !status.ok()) {
      return status;
    }
    seen_ += page->size();
    cursor_ = page->back().key;
  }
  if (done_) {
    log(LogLevel::kDebug, fmt::format("reconciler: a round ended: {} documents, {} enqueued", seen_, enqueued_));
  }
  return {};
}

Status ReconcileRound::learn_targets() {
  targets_.emplace();
  if (!parts_.catalog) {
    return {};
  }
  Result<std::vector<CatalogInfo>> catalogs = guarded("the catalog", [&] { return parts_.catalog->catalogs(); });
  if (!catalogs.ok()) {
    targets_.reset();
    return catalogs.status();
  }
  for (CatalogInfo& info : *catalogs) {
    targets_->emplace(std::move(info.catalog_id), std::move(info.target_space_id));
  }
  return {};
}

Desired ReconcileRound::desired(const SpecVersion& document) const {
  Desired desired{document.version, parts_.space_id, parts_.splitter_version};
  if (parts_.catalog) {
    const auto target = targets_->find(document.key.catalog_id);
    desired.space_id = target == targets_->end() ? std::string() : target->second;
  }
  return desired;
}

Result<std::vector<SpecVersion>> ReconcileRound::list_page() {
  Result<std::vector<SpecVersion>> page =
      guarded("the resolver", [&] { return parts_.resolver->list(cursor_ ? &*cursor_ : nullptr, kReconcilePage); });
  // A list that does not move on would be walked for ever.
  if (page.ok() && !page->empty() && cursor_ && page->back().key <= *cursor_) {
    return {Code::kInternal, "the resolver's list is not ordered by key"};
  }
  return page;
}

Status ReconcileRound::enqueue_gaps(const std::vector<SpecVersion>& page, WallTime now) {
  std::vector<SpecKey> keys;
  keys.reserve(page.size());
  for (const SpecVersion& document : page) {
    keys.push_back(document.key);
  }
  // The job is read before the rows: a pass that ends in between is seen as open, not as a gap that it has just filled.
  const Result<std::vector<std::optional<Job>>> jobs =
      guarded("the store", [&] { return parts_.store->last_jobs(keys); });
  if (!jobs.ok()) {
    return jobs.status();
  }
  const Result<std::vector<Failure>> failures = guarded("the store", [&] { return parts_.store->failures_of(keys); });
  if (!failures.ok()) {
    return failures.status();
  }
  const Result<std::vector<SpecState>> states =
      guarded("the persister", [&] { return parts_.persister->describe(keys); });
  if (!states.ok()) {
    return states.status();
  }
  if (states->size() != keys.size()) {
    return wrong_count("the persister's describe", states->size(), keys.size());
  }
  if (jobs->size() != keys.size() || failures->size() != keys.size()) {
    return wrong_count("the store", std::min(jobs->size(), failures->size()), keys.size());
  }
  std::vector<SpecKey> gaps;
  std::vector<std::string> reasons;
  for (std::size_t i = 0; i < keys.size(); ++i) {
    if (auto reason = gap_reason(desired(page[i]), (*states)[i], (*jobs)[i], (*failures)[i], now)) {
      gaps.push_back(keys[i]);
      reasons.push_back(*std::move(reason));
    }
  }
  return enqueue_all(gaps, reasons);
}

Status ReconcileRound::enqueue_all(const std::vector<SpecKey>& gaps, const std::vector<std::string>& reasons) {
  if (gaps.empty()) {
    return {};
  }
  const auto answers = guarded("the store", [&]() -> Result<std::vector<Result<EnqueueResult>>> {
    return parts_.store->enqueue_all(gaps, JobKind::kReconciler);
  });
  if (!answers.ok()) {
    return answers.status();
  }
  if (answers->size() != gaps.size()) {
    return wrong_count("the store", answers->size(), gaps.size());
  }
  for (std::size_t i = 0; i < gaps.size(); ++i) {
    const Result<EnqueueResult>& result = (*answers)[i];
    const std::string name = one_line(gaps[i].catalog_id + "/" + gaps[i].spec_name);
    if (result.status().code() ==
        Code::kInvalidArgument) {  // a host's list may hold anything; the rest of it is still served
      log(LogLevel::kWarning, fmt::format("reconciler: {} is left out: {}", name, result.status().message()));
    } else if (!result.ok()) {
      return result.status();
    } else if (result->created) {
      ++enqueued_;
      log(LogLevel::kInfo, fmt::format("reconciler: {} enqueued: {}", name, reasons[i]));
    }
  }
  return {};
}

void ReconcileRound::log(LogLevel level, std::string_view message) const {
  if (parts_.log) {
    (void)guarded("the log sink", [&] { parts_.log(level, message); });
  }
}

}  // namespace core

Result<std::size_t> reconcile(const MaintenanceParts& parts, WallTime now) {
  core::ReconcileRound round(parts);
  while (!round.done()) {
    if (Status status = round.next_page(now); !status.ok()) {
      return status.with_context("reconcile");
    }
  }
  return round.enqueued();
}

}  // namespace embedjobs
