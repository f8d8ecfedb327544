#include "embedjobs/worker.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <utility>

#include "core/worker/worker_shell.hpp"
#include "embedjobs/embedder.hpp"
#include "embedjobs/splitter.hpp"

namespace embedjobs {
namespace {

std::string host_name() {
  std::array<char, 256> host{};
  gethostname(host.data(), host.size() - 1);
  return host.data();
}

WorkerSettings make_settings(const WorkerParts& parts, WorkerOptions options) {
  apply_defaults(options);
  WorkerSettings settings{.options = std::move(options), .host_compute = parts.computer != nullptr};
  if (parts.computer) {
    settings.splitter_version = parts.computer->version();
  } else {
    settings.limits = parts.embedder->limits();
    settings.provider = parts.embedder->provider();
    settings.asks_provider = !parts.embedder->knows_space();
    settings.splitter_version = parts.splitter->version();
  }
  settings.limits.concurrent_calls = std::max<std::size_t>(settings.limits.concurrent_calls, 1);
  settings.lease_duration = parts.store->lease_duration();
  settings.poll_interval = parts.store->poll_interval();
  return settings;
}

}  // namespace

Worker::Impl::Impl(Runtime& runtime, WorkerParts parts, WorkerOptions options)
    : runtime_(runtime), parts_(std::move(parts)), settings_(make_settings(parts_, std::move(options))) {}

WorkerMachine& Worker::Impl::machine() {
  if (!machine_) {
    if (settings_.options.worker_id.empty()) {
      settings_.options.worker_id = fmt::format("{}-{}-{:08x}", host_name(), getpid(), runtime_.random() & 0xffffffffU);
    }
    machine_.emplace(settings_);
  }
  return *machine_;
}

WorkerInfo Worker::Impl::describe_worker(std::string provider, std::string space_id) const {
  return {.worker_id = settings_.options.worker_id,
          .host = host_name(),
          .process_id = getpid(),
          .version = EMBEDJOBS_VERSION,
          .slots = settings_.options.slots,
          .provider = std::move(provider),
          .space_id = std::move(space_id),
          .lease_duration = settings_.lease_duration,
          .started_at = {},
          .last_seen_at = {},
          .read_at = {}};
}

Worker::Worker(Runtime& runtime, WorkerParts parts, WorkerOptions options)
    : impl_(std::make_shared<Impl>(runtime, std::move(parts), std::move(options))) {}

Worker::~Worker() {
  impl_->detach();
}

void Worker::start() {
  impl_->start();
}
void Worker::request_stop(std::function<void()> stopped) {
  impl_->request_stop(std::move(stopped));
}
void Worker::wake() {
  impl_->wake();
}
std::optional<ProviderPause> Worker::provider_pause() const {
  return impl_->provider_pause();
}
WorkerMetrics Worker::metrics() const {
  return impl_->metrics();
}

}  // namespace embedjobs
