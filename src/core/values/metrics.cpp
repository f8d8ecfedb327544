#include "embedjobs/metrics.hpp"

#include <fmt/format.h>

#include <iterator>
#include <string_view>

namespace embedjobs {
namespace {

struct Counter {
  std::string_view name;  ///< Without prefix and "_total".
  std::uint64_t WorkerMetrics::*value;
  std::string_view help;
};

constexpr Counter kCounters[] = {
    {"jobs_claimed", &WorkerMetrics::jobs_claimed, "Jobs that this engine's worker has claimed."},
    {"jobs_succeeded", &WorkerMetrics::jobs_succeeded, "Passes that ended with every operation embedded."},
    {"jobs_retried", &WorkerMetrics::jobs_retried, "Passes that ended with an error and are tried again."},
    {"jobs_failed", &WorkerMetrics::jobs_failed, "Passes that ended their job as failed."},
    {"jobs_released", &WorkerMetrics::jobs_released, "Passes that released their job: stop, yield or pause."},
    {"leases_renewed", &WorkerMetrics::leases_renewed, "Lease renewals that the store confirmed."},
    {"leases_lost", &WorkerMetrics::leases_lost, "Leases that were lost while their pass ran."},
    {"renewals_failed", &WorkerMetrics::renewals_failed, "Heartbeats that got no answer in time."},
    {"leases_expired", &WorkerMetrics::leases_expired, "Leases of dead workers that this worker put back."},
    {"operations_reused", &WorkerMetrics::operations_reused, "Operations whose vector was stored already."},
    {"operations_embedded", &WorkerMetrics::operations_embedded, "Operations that were given a new vector."},
    {"provider_calls", &WorkerMetrics::provider_calls, "Calls of the embedding provider."},
    {"provider_errors", &WorkerMetrics::provider_errors, "Calls of the embedding provider that failed."},
    {"provider_texts", &WorkerMetrics::provider_texts, "Texts sent to the embedding provider."},
    {"provider_tokens", &WorkerMetrics::provider_tokens, "Tokens as counted by the embedding provider."},
    {"provider_pauses", &WorkerMetrics::provider_pauses, "Pauses that the embedding provider asked for."},
    {"chunks_persisted", &WorkerMetrics::chunks_persisted, "Chunks that are durable."},
    {"persist_errors", &WorkerMetrics::persist_errors, "Chunks or manifests that could not be persisted."},
};

struct Gauge {
  std::string_view name;
  std::int64_t WorkerMetrics::*value;
  std::string_view help;
};

constexpr Gauge kGauges[] = {
    {"passes_running", &WorkerMetrics::running, "Passes that run now."},
    {"provider_calls_in_flight", &WorkerMetrics::calls_in_flight, "Provider calls under way now."},
    {"provider_waiting", &WorkerMetrics::provider_waiting, "1 while work waits for the embedding provider."},
    {"batch_size", &WorkerMetrics::batch_size, "Texts a provider call at most, as adapted to the provider."},
};

struct JobGauge {
  JobStatus status;
  std::int64_t StoreCounts::*value;
};

constexpr JobGauge kJobGauges[] = {
    {JobStatus::kPending, &StoreCounts::pending},     {JobStatus::kRunning, &StoreCounts::running},
    {JobStatus::kSucceeded, &StoreCounts::succeeded}, {JobStatus::kFailed, &StoreCounts::failed},
    {JobStatus::kCancelled, &StoreCounts::cancelled},
};

/// What the store remembers of a provider.
struct ProviderFamily {
  std::string_view name, type, help;
  std::uint64_t (*value)(const ProviderState& state);
};

constexpr ProviderFamily kProviderFamilies[] = {
    {"ledger_tokens_total", "counter", "Prompt tokens of all processes, as the provider counted them.",
     [](const ProviderState& state) { return state.tokens_total; }},
    {"ledger_tokens_today", "gauge", "Prompt tokens of all processes since midnight UTC.",
     [](const ProviderState& state) { return state.tokens_today; }},
    {"provider_batch_texts", "gauge", "Texts a call that the provider was found to take; 0: no limit was met.",
     [](const ProviderState& state) { return std::uint64_t{state.batch_texts}; }},
    {"provider_paused", "gauge", "1 while a worker waits for the provider.",
     [](const ProviderState& state) { return is_paused(state, state.read_at) ? std::uint64_t{1} : std::uint64_t{0}; }},
};

std::string label_value(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    if (c == '\\' || c == '"') {
      escaped += '\\';
    }
    escaped += c;  // a provider's name has no line breaks
  }
  return escaped;
}

}  // namespace

std::string render_prometheus(const MetricsSnapshot& snapshot) {
  std::string text;
  const auto family = [&text](std::string_view name, std::string_view type, std::string_view help) {
    fmt::format_to(std::back_inserter(text), "# HELP {0} {2}\n# TYPE {0} {1}\n", name, type, help);
  };
  for (const Counter& counter : kCounters) {
    const std::string name = fmt::format("embedjobs_{}_total", counter.name);
    family(name, "counter", counter.help);
    fmt::format_to(std::back_inserter(text), "{} {}\n", name, snapshot.worker.*counter.value);
  }
  for (const Gauge& gauge : kGauges) {
    const std::string name = fmt::format("embedjobs_{}", gauge.name);
    family(name, "gauge", gauge.help);
    fmt::format_to(std::back_inserter(text), "{} {}\n", name, snapshot.worker.*gauge.value);
  }
  if (snapshot.jobs) {
    family("embedjobs_jobs", "gauge", "Jobs in the store, by status.");
    for (const JobGauge& gauge : kJobGauges) {
      fmt::format_to(std::back_inserter(text), "embedjobs_jobs{{status=\"{}\"}} {}\n", to_string(gauge.status),
                     (*snapshot.jobs).*gauge.value);
    }
  }
  if (snapshot.workers_live) {
    family("embedjobs_workers_live", "gauge", "Workers of all processes that were heard of within their lease.");
    fmt::format_to(std::back_inserter(text), "embedjobs_workers_live {}\n", *snapshot.workers_live);
  }
  for (const ProviderFamily& each : kProviderFamilies) {
    if (!snapshot.providers || snapshot.providers->empty()) {
      break;
    }
    family(fmt::format("embedjobs_{}", each.name), each.type, each.help);
    for (const ProviderState& state : *snapshot.providers) {
      fmt::format_to(std::back_inserter(text), "embedjobs_{}{{provider=\"{}\"}} {}\n", each.name,
                     label_value(state.provider), each.value(state));
    }
  }
  return text;
}

}  // namespace embedjobs
