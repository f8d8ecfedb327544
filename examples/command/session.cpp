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

Status no_such_catalog(const std::string& catalog_id) {
  return with_hint({Code::kNotFound, fmt::format("there is no catalog '{}'", catalog_id)});
}

/// An error that may be gone by itself: work waits for it, with one line that says what to do.
bool is_passing(Code code) {
  return code == Code::kPaused || code == Code::kRetry || code == Code::kTimeout;
}

Result<NamedEmbedder> named_embedder(std::string spec) {
  Result<std::shared_ptr<Embedder>> made = make_embedder(spec);
  return made.ok() ? NamedEmbedder{std::move(spec), *std::move(made)} : Result<NamedEmbedder>(made.status());
}

/// Whether the embedder's space is told by what the catalog records, without asking the provider.
bool tells_space(Embedder& embedder, const std::string& recorded_id) {
  const Result<Space> recorded = parse_space(recorded_id);
  return embedder.knows_space() || (recorded.ok() && embedder.adopt(*recorded));
}

/// --embedder must make the catalog's own space: the try-out embedder can't replace real vectors by accident. While a
/// switch is under way the embedder of the new space is fine for a search as well: the library makes the old one.
Status check_space(const NamedEmbedder& named, const CatalogInfo& info, const std::string& space_id, Use use,
                   const std::stop_token& stop) {
  if (space_id.empty()) {
    return {};
  }
  if (use == Use::kSearch || !tells_space(*named.embedder, info.target_space_id)) {
    (void)tells_space(*named.embedder, space_id);
  }
  const Result<Space> space = named.embedder->space({.stop = stop, .time_limit = kSpaceLimit});
  if (!space.ok()) {
    // A provider that is away is waited for; its space is compared when the work starts.
    return use != Use::kSearch && is_passing(space.status().code()) ? Status() : space.status();
  }
  if (space->id() == space_id || space->id() == info.target_space_id) {
    return {};
  }
  return {
      Code::kRefused,
      fmt::format(
          "catalog '{0}' holds vectors of space {1}, but --embedder {2} makes {3}; leave --embedder out, or move the "
          "catalog with: embedjobs switch-space {0} --embedder {2}",
          info.catalog_id, space_id, named.spec, space->id())};
}

/// The embedder that the catalog remembers for this space.
Result<NamedEmbedder> remembered_embedder(Catalog& catalog, const CatalogInfo& info, const std::string& space_id) {
  const Result<std::string> spec = catalog.remembered_embedder(info.catalog_id, space_id);
  if (!spec.ok()) {
    return spec.status();
  }
  Result<std::shared_ptr<Embedder>> made = make_remembered_embedder(*spec, space_id);
  if (made.ok()) {
    return NamedEmbedder{*spec, *std::move(made)};
  }
  if (made.status().code() != Code::kNotFound) {
    return made.status();
  }
  return {
      Code::kRefused,
      space_id.empty()
          ? fmt::format("catalog '{}' waits for its embedder, and which one is not recorded: name it with --embedder",
                        info.catalog_id)
          : fmt::format("catalog '{}' holds vectors of space {}, and which embedder makes them is not recorded: name "
                        "it with --embedder",
                        info.catalog_id, space_id)};
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

Result<NamedEmbedder> embedder_for_catalog(const Session& session, const std::string& catalog_id, Use use,
                                           const std::stop_token& stop) {
  NamedEmbedder given;
  if (!session.embedder.empty()) {  // a spec that is wrong makes no database
    Result<NamedEmbedder> named = named_embedder(session.embedder);
    if (!named.ok()) {
      return named.status();
    }
    given = *std::move(named);
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
  if (use == Use::kSearch && !info) {
    return no_such_catalog(catalog_id);
  }
  std::string space_id = info ? info->target_space_id : std::string();
  if (use == Use::kSearch && !info->search_space_id.empty()) {
    space_id = info->search_space_id;
  }
  if (given.embedder) {
    const Status fits = info ? check_space(given, *info, space_id, use, stop) : Status();
    return fits.ok() ? Result<NamedEmbedder>(std::move(given)) : fits;
  }
  if (!info || (space_id.empty() && info->spec_count == 0)) {
    return named_embedder("hashing");
  }
  return remembered_embedder(*backend->catalog, *info, space_id);
}

Result<std::unique_ptr<Engine>> open_engine(const Session& session, NamedEmbedder embedder, Progress* progress,
                                            const WorkerOptions& worker) {
  EngineOptions options;
  options.dsn = session.dsn;
  options.embedder = std::move(embedder.spec);
  options.worker = worker;
  if (progress != nullptr) {
    options.log = [progress](LogLevel level, std::string_view message) { progress->on_log(level, message); };
    options.events = [progress](const Event& event) { progress->on_event(event); };
  }
  EngineParts parts;
  parts.embedder = std::move(embedder.embedder);
  return Engine::open(std::move(options), std::move(parts));
}

Result<std::unique_ptr<Engine>> open_for_reading(const Session& session) {
  if (Status status = require_database(session); !status.ok()) {
    return status;
  }
  return open_engine(session, {.spec = session.embedder, .embedder = nullptr});
}

Result<std::vector<SpecStatus>> statuses_of(Engine& engine, const std::optional<std::string>& catalog_id) {
  if (catalog_id) {
    const Result<std::vector<CatalogInfo>> catalogs = engine.catalogs();
    if (!catalogs.ok()) {
      return catalogs.status();
    }
    if (!find_catalog(*catalogs, *catalog_id)) {
      return no_such_catalog(*catalog_id);
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
