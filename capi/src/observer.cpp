// A host's log, events and reload.
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

}  // namespace

LogSink make_log_sink(TablePtr<embedjobs_observer> table) {
  if (!table || (*table)->log == nullptr) {
    return {};
  }
  return [table = std::move(table)](LogLevel level, std::string_view message) {
    const std::string line(message);
    const Frame frame(table->state());
    (*table)->log((*table)->user_data, static_cast<std::int32_t>(level), line.c_str(), line.size());
  };
}

EventSink make_event_sink(TablePtr<embedjobs_observer> table) {
  if (!table || ((*table)->event == nullptr && (*table)->reload == nullptr)) {
    return {};
  }
  return [table = std::move(table)](const Event& event) {
    const Frame frame(table->state());
    if ((*table)->event != nullptr) {
      const embedjobs_event view = view_of(event);
      (*table)->event((*table)->user_data, &view);
    }
    if ((*table)->reload != nullptr && event.kind == EventKind::kJobSucceeded) {
      (*table)->reload((*table)->user_data, event.key.catalog_id.c_str(), event.key.spec_name.c_str());
    }
  };
}

}  // namespace embedjobs::capi
