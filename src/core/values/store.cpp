// What a store does with many at once that has no better way.
#include "embedjobs/store.hpp"

#include <algorithm>

namespace embedjobs {

std::vector<Result<EnqueueResult>> Store::enqueue_all(std::span<const SpecKey> keys, JobKind kind) {
  std::vector<Result<EnqueueResult>> answers;
  answers.reserve(keys.size());
  for (std::size_t i = 0; i < keys.size(); ++i) {
    const auto earlier = std::find(keys.begin(), keys.begin() + static_cast<std::ptrdiff_t>(i), keys[i]);
    const auto place = static_cast<std::size_t>(earlier - keys.begin());
    answers.push_back(place < i ? Result<EnqueueResult>(answers[place]) : enqueue(keys[i], kind));
  }
  return answers;
}

std::vector<Status> Store::progress_all(std::span<const ProgressReport> reports) {
  std::vector<Status> answers;
  answers.reserve(reports.size());
  for (const ProgressReport& report : reports) {
    answers.push_back(progress(report.lease, report.progress));
  }
  return answers;
}

std::vector<Result<JobStatus>> Store::settle_all(std::span<const Settlement> settlements) {
  std::vector<Result<JobStatus>> answers;
  answers.reserve(settlements.size());
  for (const Settlement& settlement : settlements) {
    answers.push_back(settle(settlement.lease, settlement.outcome));
  }
  return answers;
}

}  // namespace embedjobs
