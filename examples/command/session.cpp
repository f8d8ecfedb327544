#include "session.hpp"

#include <cstdio>
#include <filesystem>

#include <fmt/format.h>

#include "embedjobs/sys/catalog.hpp"
#include "json.hpp"
#include "text.hpp"

namespace embedjobs::command {
namespace {

constexpr std::string_view kSqlite = "sqlite:";
constexpr Duration kSpaceLimit = std::chrono::seconds(20);  // a model may have to be loaded

std::optional<CatalogInfo> find_catalog(const std::vector<CatalogInfo>& catalogs, const std::string& catalog_id) {
  for (const CatalogInfo& info : catalogs) {
    if (info.catalog_id == catalog_id) {
      return info;
    }
  }
  return std::nullopt;
}

Result<Space> space_of(const std::string& embedder_spec, const std::stop_token& stop) {
  const Result<std::shared_ptr<Embedder>> embedder = make_embedder(embedder_spec);
  return embedder.ok() ? (*embedder)->space({.stop = stop, .time_limit = kSpaceLimit})
                       : Result<Space>(embedder.status());
}

/// An error that may be gone by itself: work waits for it, with one line that says what to do.
bool is_passing(Code code) {
  return code == Code::kPaused || code == Code::kRetry || code == Code::kTimeout;
}

// The space that --embedder makes must be the catalog's own: the try-out embedder can't replace real vectors by
// accident. While a switch is under way the embedder of the new space is fine for a search as well: the library makes
// the old one itself.
Result<std::string> check_embedder(const Session& session, const Result<Space>& space, const std::string& space_id,
                                   const std::optional<CatalogInfo>& info) {
  if (!space.ok() || !info || space_id.empty() || space->id() == space_id || space->id() == info->target_space_id) {
    return session.embedder;
  }
  return {
      Code::kRefused,
      fmt::format(
          "catalog '{0}' holds vectors of space {1}, but --embedder {2} makes {3}; leave --embedder out, or move the "
          "catalog with: embedjobs switch-space {0} --embedder {2}",
          info->catalog_id, space_id, session.embedder, space->id())};
}

}  // namespace

int fail(const Status& status) {
  std::fputs(fmt::format("embedjobs: {}\n", printable(status.message())).c_str(), stderr);
  return status.code() == Code::kInvalidArgument ? kUsage : kFailed;
}

int fail(std::string_view message) {
  return fail(Status(Code::kFailed, std::string(message)));
}

void print(std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
}

void print_line(std::string_view text) {
  print(text);
  print("\n");
}

Status require_database(const Session& session) {
  if (!session.dsn.starts_with(kSqlite)) {
    return {};
  }
  const std::string path = session.dsn.substr(kSqlite.size());
  std::error_code error;
  if (std::filesystem::exists(path, error) || error) {
    return {};
  }
  return {
      Code::kNotFound,
      fmt::format("there is no database '{}': make one with 'embedjobs index FILE', or name yours with --db", path)};
}

Result<std::string> embedder_for_catalog(const Session& session, const std::string& catalog_id, bool searching,
                                         const std::stop_token& stop) {
  Result<Space> space = Status();
  if (!session.embedder.empty()) {  // before a database is made for nothing
    space = space_of(session.embedder, stop);
    // A provider that is away is waited for; its space is compared when the work starts.
    if (!space.ok() && (searching || !is_passing(space.status().code()))) {
      return space.status();
    }
  }
  Result<Backend> backend = open_backend(session.dsn, {}, nullptr);
  if (!backend.ok()) {
    return backend.status();
  }
  const Result<std::vector<CatalogInfo>> catalogs = backend->catalog->catalogs();
  if (!catalogs.ok()) {
    return catalogs.status();
  }
  const std::optional<CatalogInfo> info = find_catalog(*catalogs, catalog_id);
  if (searching && !info) {
    return {Code::kNotFound, fmt::format("there is no catalog '{}'; 'embedjobs status' lists them", catalog_id)};
  }
  std::string space_id = info ? info->target_space_id : std::string();
  if (searching && !info->search_space_id.empty()) {
    space_id = info->search_space_id;
  }
  if (!session.embedder.empty()) {
    return check_embedder(session, space, space_id, info);
  }
  if (space_id.empty() && info && info->spec_count > 0) {
    return {
        Code::kRefused,
        fmt::format("catalog '{}' waits for an embedder that did not answer when the catalog was made: name it with "
                    "--embedder",
                    catalog_id)};
  }
  if (space_id.empty()) {
    return std::string("hashing");
  }
  Result<std::string> spec = embedder_spec_for(space_id);
  if (!spec.ok()) {
    return {Code::kRefused,
            fmt::format("catalog '{}' holds vectors of space {}: name the embedder that makes them with --embedder",
                        catalog_id, space_id)};
  }
  return spec;
}

Result<std::unique_ptr<Engine>> open_engine(const Session& session, const std::string& embedder, Progress* progress,
                                            const WorkerOptions& worker) {
  EngineOptions options;
  options.dsn = session.dsn;
  options.embedder = embedder;
  options.worker = worker;
  if (progress != nullptr) {
    options.log = [progress](LogLevel level, std::string_view message) { progress->on_log(level, message); };
    options.events = [progress](const Event& event) { progress->on_event(event); };
  }
  return Engine::open(std::move(options));
}

Result<std::unique_ptr<Engine>> open_for_reading(const Session& session) {
  if (Status status = require_database(session); !status.ok()) {
    return status;
  }
  return open_engine(session, session.embedder);
}

Result<std::vector<SpecStatus>> statuses_of(Engine& engine, const std::optional<std::string>& catalog_id) {
  if (catalog_id) {
    const Result<std::vector<CatalogInfo>> catalogs = engine.catalogs();
    if (!catalogs.ok()) {
      return catalogs.status();
    }
    if (!find_catalog(*catalogs, *catalog_id)) {
      return {Code::kNotFound, fmt::format("there is no catalog '{}'; 'embedjobs status' lists them", *catalog_id)};
    }
  }
  return engine.status(catalog_id);
}

std::string status_json(const SpecStatus& status) {
  const Badge badge = make_badge(status);
  JsonObject badge_json;
  badge_json.text("label", badge.label).text("tone", to_string(badge.tone)).text("tooltip", badge.tooltip);
  JsonObject json;
  json.text("catalog_id", status.key.catalog_id)
      .text("spec_name", status.key.spec_name)
      .integer("operation_count", status.operation_count)
      .integer("embedding_count", status.embedding_count)
      .integer("embedded_so_far", status.embedded_so_far)
      .text_or_null("job_status", status.job_status ? to_string(*status.job_status) : std::string_view())
      .integer("job_attempts", status.job_attempts)
      .text("job_last_error", status.job_last_error)
      .time("job_updated_at", status.job_updated_at)
      .text_or_null("worker_id", status.worker_id)
      .time("job_started_at", status.job_started_at)
      .time("lease_expires_at", status.lease_expires_at)
      .text_or_null("provider_pause", status.provider_pause)
      .object("badge", badge_json);
  return json.str();
}

std::string status_line(const SpecStatus& status) {
  const Badge badge = make_badge(status);
  std::string line = fmt::format("{}: {} ({})", printable(status.key.catalog_id + "/" + status.key.spec_name),
                                 coloured(badge.label, badge.tone), printable(badge.tooltip));
  if (!status.worker_id.empty()) {
    line += fmt::format("; held by {} since {}, lease until {}", printable(status.worker_id),
                        format_rfc3339(status.job_started_at), format_rfc3339(status.lease_expires_at));
  }
  return line;
}

}  // namespace embedjobs::command
