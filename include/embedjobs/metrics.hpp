// Counters of one engine and gauges of its store, as a snapshot and as Prometheus text.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "embedjobs/jobs.hpp"
#include "embedjobs/provider.hpp"

namespace embedjobs {

/// Since the engine was opened. Every member is exact at some moment between call and return.
struct WorkerMetrics {
  std::uint64_t jobs_claimed = 0, jobs_succeeded = 0, jobs_retried = 0, jobs_failed = 0, jobs_released = 0;
  std::uint64_t leases_renewed = 0, leases_lost = 0, renewals_failed = 0, leases_expired = 0;
  std::uint64_t operations_reused = 0, operations_embedded = 0;
  std::uint64_t provider_calls = 0, provider_errors = 0, provider_texts = 0, provider_tokens = 0, provider_pauses = 0;
  std::uint64_t chunks_persisted = 0, persist_errors = 0;
  std::int64_t running = 0;           ///< Passes now.
  std::int64_t calls_in_flight = 0;   ///< Provider calls now.
  std::int64_t batch_size = 0;        ///< Texts a call, as adapted.
  std::int64_t provider_waiting = 0;  ///< 1 while work waits for the provider.
};

/// Counters of this process and gauges of the whole store.
struct MetricsSnapshot {
  WorkerMetrics worker;
  std::optional<StoreCounts> jobs;                      ///< None: the store does not tell.
  std::optional<std::vector<ProviderState>> providers;  ///< None: the store does not tell.
  /// Workers that the store has heard of within their lease, of all processes. None: the store does not tell.
  std::optional<std::int64_t> workers_live;
};

/// Prometheus text exposition format 0.0.4: one HELP and TYPE a family, names "embedjobs_...". What is not known has no
/// family.
std::string render_prometheus(const MetricsSnapshot& snapshot);

}  // namespace embedjobs
