#include "embedjobs/options.hpp"
#include "embedjobs/embedder.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <type_traits>

#include "embedjobs/duration.hpp"
#include "embedjobs/persister.hpp"
#include "embedjobs/resolver.hpp"
#include "embedjobs/sys/catalog.hpp"

namespace embedjobs {
namespace {

constexpr Duration kLongest = std::chrono::hours(24 * 365 * 10);  // keeps sums of times in range

template <typename T>
void default_if_not_positive(T& value, const T& fallback) {
  if (value <= T(0)) {
    value = fallback;
  }
  if constexpr (std::is_same_v<T, Duration>) {
    value = std::min(value, kLongest);
  }
}

}  // namespace

void apply_defaults(WorkerOptions& options) {
  const WorkerOptions defaults;
  default_if_not_positive(options.slots, defaults.slots);
  default_if_not_positive(options.batch_size, defaults.batch_size);
  default_if_not_positive(options.batch_bytes, defaults.batch_bytes);
  default_if_not_positive(options.lease_duration, defaults.lease_duration);
  default_if_not_positive(options.embed_timeout, defaults.embed_timeout);
  default_if_not_positive(options.safety_bound, defaults.safety_bound);
  default_if_not_positive(options.fallback_poll, defaults.fallback_poll);
  options.provider_concurrency = std::max(options.provider_concurrency, 0);
  options.requests_per_minute = std::max(options.requests_per_minute, 0LL);
  options.tokens_per_minute = std::max(options.tokens_per_minute, 0LL);
  options.daily_token_budget = std::max(options.daily_token_budget, 0LL);
}

void apply_defaults(StoreOptions& options) {
  const StoreOptions defaults;
  default_if_not_positive(options.lease_duration, defaults.lease_duration);
  options.lease_duration = std::min(options.lease_duration, kMaxLease);
  default_if_not_positive(options.max_attempts, defaults.max_attempts);
}

void apply_defaults(MaintenanceOptions& options) {
  const MaintenanceOptions defaults;
  default_if_not_positive(options.reaper_interval, defaults.reaper_interval);
  default_if_not_positive(options.reconciler_interval, defaults.reconciler_interval);
  default_if_not_positive(options.retention_interval, defaults.retention_interval);
  default_if_not_positive(options.job_retention, defaults.job_retention);
  default_if_not_positive(options.vector_grace, defaults.vector_grace);
}

std::vector<std::string> warnings(const WorkerOptions& options) {
  std::vector<std::string> lines;
  if (options.embed_timeout >= options.lease_duration) {
    lines.push_back(fmt::format(
        "embed_timeout ({}) >= lease_duration ({}): after a crash in a slow call the job waits a whole lease; "
        "lower embed_timeout or raise lease_duration",
        format_duration(options.embed_timeout), format_duration(options.lease_duration)));
  }
  return lines;
}

bool Embedder::adopt(const Space& /*recorded*/) {
  return false;
}

Result<std::vector<Reservation>> Persister::reserve(const PassContext& /*context*/, std::span<const TextHash> texts,
                                                    std::span<const TextHash> /*given_up*/) {
  return std::vector<Reservation>(texts.size(), Reservation::kMine);
}

Status Catalog::remember_embedder(std::string_view /*catalog_id*/, std::string_view /*space_id*/,
                                  std::string_view /*spec*/) {
  return {Code::kRefused, "this catalog remembers no embedders"};
}

Result<std::string> Catalog::remembered_embedder(std::string_view /*catalog_id*/, std::string_view /*space_id*/) {
  return {Code::kRefused, "this catalog remembers no embedders"};
}

Result<std::vector<SpecState>> Persister::describe(std::span<const SpecKey> /*keys*/) {
  return {Code::kRefused, "this persister can't describe what it holds"};
}

Result<std::vector<SpecVersion>> SpecResolver::list(const SpecKey* /*after*/, std::size_t /*limit*/) {
  return {Code::kRefused, "this resolver can't list its documents"};
}

}  // namespace embedjobs
