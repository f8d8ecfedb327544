#include "options.hpp"

#include <algorithm>
#include <limits>

#include <fmt/format.h>

#include "core/runtime/log_queue.hpp"
#include "core/values/utf8.hpp"
#include "embedjobs/limits.hpp"
#include "hosts.hpp"
#include "layout.hpp"

namespace embedjobs::capi {
namespace {

/// Every table that the options point to. A table that can't be read stays null, and its Status says why.
struct Tables {
  TablePtr<embedjobs_embedder> embedder;
  TablePtr<embedjobs_computer> computer;
  TablePtr<embedjobs_persister> persister;
  TablePtr<embedjobs_resolver> resolver;
  TablePtr<embedjobs_observer> observer;
  TablePtr<embedjobs_secret_source> secret_source;
};

template <typename Table>
void read_table(const Table* from, const std::shared_ptr<HostState>& state, TablePtr<Table>& to, Status& first_error) {
  if (from == nullptr) {
    return;
  }
  Table table{};
  Status status = read_known(from, table);
  if (status.ok()) {
    to = std::make_shared<OwnedTable<Table>>(table, state);
    status = check_unknown(*from);
  }
  if (first_error.ok()) {
    first_error = std::move(status);
  }
}

/// All of them, also after one could not be read: what could be is destroyed by whoever drops the tables.
Status read_tables(const embedjobs_options& from, const std::shared_ptr<HostState>& state, Tables& tables) {
  Status status;
  read_table(from.host_embedder, state, tables.embedder, status);
  read_table(from.host_computer, state, tables.computer, status);
  read_table(from.host_persister, state, tables.persister, status);
  read_table(from.host_resolver, state, tables.resolver, status);
  read_table(from.observer, state, tables.observer, status);
  read_table(from.secret_source, state, tables.secret_source, status);
  return status;
}

template <typename Part>
Status take(Result<std::shared_ptr<Part>> made, std::shared_ptr<Part>& to) {
  if (!made.ok()) {
    return made.status();
  }
  to = *std::move(made);
  return {};
}

Status make_parts(const Tables& tables, OpenOptions& to) {
  Status status;
  if (tables.embedder && !to.options.embedder.empty()) {
    return {Code::kInvalidArgument, "give embedder or host_embedder, not both"};
  }
  if (tables.secret_source) {
    status = take(make_keyed_embedder(to.options.embedder, tables.secret_source), to.parts.embedder);
  }
  if (status.ok() && tables.embedder) {
    status = take(make_host_embedder(tables.embedder), to.parts.embedder);
  }
  if (status.ok() && tables.computer) {
    status = take(make_host_computer(tables.computer), to.parts.computer);
  }
  if (status.ok() && tables.persister) {
    status = take(make_host_persister(tables.persister), to.parts.persister);
  }
  if (status.ok() && tables.resolver) {
    status = take(make_host_resolver(tables.resolver), to.parts.resolver);
  }
  to.options.log = core::one_at_a_time(make_log_sink(tables.observer));
  to.options.events = make_event_sink(tables.observer, to.options.log);
  return status;
}

/// A name that people and other programs will read. NULL is none.
Status check_label(const char* label, std::string_view what) {
  const std::string_view text = label == nullptr ? "" : label;
  if (text.size() > kMaxNameBytes) {
    return {Code::kInvalidArgument,
            fmt::format("{} has {} bytes, at most {} are allowed", what, text.size(), kMaxNameBytes)};
  }
  const bool plain =
      std::none_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
  return plain && core::is_valid_utf8(text)
             ? Status()
             : Status(Code::kInvalidArgument, fmt::format("{} is not UTF-8 without control characters", what));
}

Status check_labels(const embedjobs_options& from, const Tables& tables) {
  Status status = check_label(from.worker_id, "worker_id");
  if (status.ok()) {
    status = check_label(from.embedder, "embedder");
  }
  if (status.ok() && tables.embedder) {
    status = check_label((*tables.embedder)->provider, "embedjobs_embedder.provider");
  }
  if (status.ok() && tables.computer) {
    status = check_label((*tables.computer)->version, "embedjobs_computer.version");
  }
  return status;
}

int to_int(std::int64_t value) {
  return static_cast<int>(std::clamp<std::int64_t>(value, 0, std::numeric_limits<int>::max()));
}

/// Zero and below stay so: the default. Ten years is the most that the core takes.
Duration to_duration(std::int64_t ms) {
  constexpr std::int64_t kTenYears = std::chrono::milliseconds(std::chrono::hours(24 * 3650)).count();
  return std::chrono::milliseconds(std::clamp<std::int64_t>(ms, 0, kTenYears));
}

void read_worker(const embedjobs_options& from, WorkerOptions& to) {
  to.slots = to_int(from.slots);
  to.batch_size = to_int(from.batch_size);
  to.batch_bytes = from.batch_bytes;
  to.lease_duration = to_duration(from.lease_duration_ms);
  to.embed_timeout = to_duration(from.embed_timeout_ms);
  to.provider_concurrency = to_int(from.provider_concurrency);
  to.requests_per_minute = from.requests_per_minute;
  to.tokens_per_minute = from.tokens_per_minute;
  to.daily_token_budget = from.daily_token_budget;
  to.safety_bound = to_duration(from.safety_bound_ms);
  to.fallback_poll = to_duration(from.fallback_poll_ms);
  to.worker_id = from.worker_id == nullptr ? "" : from.worker_id;
}

void read_maintenance(const embedjobs_options& from, MaintenanceOptions& to) {
  to.reaper_interval = to_duration(from.reaper_interval_ms);
  to.reconciler_interval = to_duration(from.reconciler_interval_ms);
  to.retention_interval = to_duration(from.retention_interval_ms);
  to.job_retention = to_duration(from.job_retention_ms);
  to.vector_grace = to_duration(from.vector_grace_ms);
}

}  // namespace

Result<OpenOptions> read_options(const embedjobs_options* options, const std::shared_ptr<HostState>& state) {
  OpenOptions read;
  if (options == nullptr) {
    return read;
  }
  embedjobs_options from{};
  if (Status status = read_known(options, from); !status.ok()) {
    return status;
  }
  Tables tables;
  const Status tables_read = read_tables(from, state, tables);
  if (Status status = check_unknown(*options); !status.ok()) {
    return status;
  }
  if (!tables_read.ok()) {
    return tables_read;
  }
  if (Status status = check_labels(from, tables); !status.ok()) {
    return status;
  }
  if (from.dsn != nullptr) {
    read.options.dsn = from.dsn;
  }
  read.options.embedder = from.embedder == nullptr ? "" : from.embedder;
  read_worker(from, read.options.worker);
  read_maintenance(from, read.options.maintenance);
  if (Status status = make_parts(tables, read); !status.ok()) {
    return status;
  }
  return read;
}

}  // namespace embedjobs::capi
