// A host's log, events and reload.
#include <fmt/format.h>

#include "embedjobs/duration.hpp"
#include "hosts.hpp"

namespace embedjobs::capi {
namespace {

embedjobs_event view_of(const Event& event) {
  embedjobs_event view{};
  view.struct_size = sizeof(view);
  view.catalog_id = event.key.catalog_id.c_str();
  view.spec_name = event.key.spec_name.c_str();
  view.job_id = event.job_id;
  view.attempt = event.attempt;
  view.message = event.message.c_str();
  view.operation_count = event.progress.operation_count;
  view.reused = event.progress.reused;
  view.embedded = event.progress.embedded;
  view.missing = event.progress.missing;
  view.prompt_tokens = event.progress.prompt_tokens;
  view.delay_ms = std::chrono::ceil<std::chrono::milliseconds>(event.delay).count();
  view.count = event.count;
  view.kind = static_cast<std::int32_t>(event.kind);
  return view;
}

/// A host that only logs learns of everything that went wrong while nobody waited for it.
void log_trouble(const LogSink& log, const Event& event) {
  const std::string spec = event.key.catalog_id + "/" + event.key.spec_name;
  switch (event.kind) {
    case EventKind::kJobRetried:
      return log(LogLevel::kWarning,
                 fmt::format("{}: attempt {} failed and is made again: {}", spec, event.attempt, event.message));
    case EventKind::kJobFailed:
      return log(LogLevel::kError, fmt::format("{}: the job failed: {}", spec, event.message));
    case EventKind::kLeaseLost: return log(LogLevel::kWarning, spec + ": the lease was lost, another pass takes over");
    case EventKind::kProviderPaused:
      return log(LogLevel::kWarning,
                 fmt::format("the provider is waited for, {}: {}", format_duration(event.delay), event.message));
    case EventKind::kProviderResumed: return log(LogLevel::kInfo, "the provider answers again");
    case EventKind::kLeaseExpired:
      return log(LogLevel::kWarning, fmt::format("{} leases of workers that stopped were put back", event.count));
    case EventKind::kStoreUnusable: return log(LogLevel::kError, "the database can't be used: " + event.message);
    case EventKind::kJobClaimed:
    case EventKind::kJobProgress:
    case EventKind::kJobSucceeded:
    case EventKind::kJobReleased:
    case EventKind::kLeaseRenewed:
    case EventKind::kBatchResized:
    case EventKind::kChunkPersisted: return;
  }
}

}  // namespace

LogSink make_log_sink(TablePtr<embedjobs_observer> table) {
  if (!table || (*table)->log == nullptr) {
    return {};
  }
  auto log = [table = std::move(table)](LogLevel level, std::string_view message) {
    const std::string line(message);
    const Frame frame(table->state());
    (*table)->log((*table)->user_data, static_cast<std::int32_t>(level), line.c_str(), line.size());
  };
  return log;
}

EventSink make_event_sink(TablePtr<embedjobs_observer> table, LogSink log) {
  if (!table || ((*table)->event == nullptr && (*table)->reload == nullptr && !log)) {
    return {};
  }
  auto deliver = [table = std::move(table), log = std::move(log)](const Event& event) {
    if (log) {
      log_trouble(log, event);
    }
    const Frame frame(table->state());
    if ((*table)->event != nullptr) {
      const embedjobs_event view = view_of(event);
      (*table)->event((*table)->user_data, &view);
    }
    if ((*table)->reload != nullptr && event.kind == EventKind::kJobSucceeded) {
      (*table)->reload((*table)->user_data, event.key.catalog_id.c_str(), event.key.spec_name.c_str());
    }
  };
  return deliver;
}

}  // namespace embedjobs::capi
