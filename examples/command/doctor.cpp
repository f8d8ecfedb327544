// doctor: is everything there that work needs, and if not, what is to be done.
#include <sys/statvfs.h>

#include <filesystem>
#include <memory>
#include <optional>

#include <fmt/format.h>

#include "commands.hpp"
#include "embedjobs/provider_health.hpp"
#include "json.hpp"
#include "text.hpp"
#ifdef EMBEDJOBS_HAS_SQLITE
#include <sqlite3.h>

#include "embedjobs/sqlite.hpp"
#include "embedjobs/sys/catalog.hpp"
#endif

namespace embedjobs::command {
namespace {

using namespace std::chrono_literals;

constexpr Duration kProviderLimit = 30s;
constexpr std::string_view kSqlite = "sqlite:";
constexpr std::uintmax_t kLeastFreeBytes = std::uintmax_t{256} << 20;

struct Finding {
  std::string check;
  bool ok = true;
  std::string detail, advice;
  JsonObject more;  ///< What only this check has.
};

void print_finding(const Session& session, const Finding& finding) {
  if (session.json) {
    print_line(JsonObject()
                   .text("check", finding.check)
                   .boolean("ok", finding.ok)
                   .text("detail", finding.detail)
                   .text("advice", finding.advice)
                   .object("more", finding.more)
                   .str());
    return;
  }
  const std::string advice = finding.advice.empty() ? "" : "; " + finding.advice;
  print_line(fmt::format("{} {}: {}{}", coloured(finding.ok ? "ok  " : "FAIL", finding.ok ? Tone::kGreen : Tone::kRed),
                         finding.check, printable(finding.detail), printable(advice)));
}

// --- provider

/// The embedder that work would use. Empty: it can't be told.
std::string chosen_embedder(const Session& session, const std::vector<CatalogInfo>& catalogs) {
  if (!session.embedder.empty()) {
    return session.embedder;
  }
  std::string space_id;
  for (const CatalogInfo& info : catalogs) {
    if (!info.target_space_id.empty() && !space_id.empty() && info.target_space_id != space_id) {
      return {};
    }
    space_id = info.target_space_id.empty() ? space_id : info.target_space_id;
  }
  return space_id.empty() ? "hashing" : embedder_spec_for(space_id).ok() ? *embedder_spec_for(space_id) : std::string();
}

Finding describe_health(const ProviderHealth& health) {
  Finding finding{
      .check = "provider", .ok = health.state == HealthState::kOk, .detail = {}, .advice = health.advice, .more = {}};
  const std::string who =
      fmt::format("{} {} at {}", health.kind, health.model.empty() ? "(model not known)" : health.model, health.url);
  finding.detail = finding.ok ? fmt::format("{}, {} dimensions", who, health.dimension)
                              : fmt::format("{}: {} ({})", who, to_string(health.state), health.detail);
  finding.more.text("kind", health.kind)
      .text("model", health.model)
      .text("url", health.url)
      .integer("dimension", static_cast<std::int64_t>(health.dimension))
      .text("state", to_string(health.state));
  return finding;
}

/// What a close look has measured, as the end of a line.
void describe_measures(const ProviderHealth& health, Finding& finding) {
  const auto milliseconds = [](Duration time) { return time / std::chrono::milliseconds(1); };
  if (!health.batches.empty()) {
    finding.detail += "; " + health.batches;
    finding.more.text("batches", health.batches);
  }
  if (!health.long_texts.empty()) {
    finding.detail += "; long texts: " + health.long_texts;
    finding.more.text("long_texts", health.long_texts);
  }
  if (health.long_bytes != 0) {
    finding.detail += fmt::format("; a short text takes {} ms, {} bytes {} ms", milliseconds(health.short_time),
                                  health.long_bytes, milliseconds(health.long_time));
    finding.more.integer("short_ms", milliseconds(health.short_time))
        .integer("long_ms", milliseconds(health.long_time))
        .integer("long_bytes", static_cast<std::int64_t>(health.long_bytes));
  }
  for (const std::string& warning : health.warnings) {
    finding.advice += (finding.advice.empty() ? "" : "; ") + warning;
  }
}

/// Asks the provider; `space_id` is its space, where it has one.
Finding check_provider(const std::string& spec, std::string& space_id) {
  Finding finding{.check = "provider", .ok = false, .detail = {}, .advice = {}, .more = {}};
  if (spec.empty()) {
    finding.detail = "which embedder makes the catalogs' vectors can't be told from their spaces";
    finding.advice = "name it with --embedder";
    return finding;
  }
  const Result<std::shared_ptr<Embedder>> embedder = make_embedder(spec);
  if (!embedder.ok()) {
    finding.detail = embedder.status().message();
    return finding;
  }
  CallContext context;
  context.time_limit = kProviderLimit;
  if (const auto checkable = std::dynamic_pointer_cast<HealthCheck>(*embedder)) {
    const ProviderHealth health = checkable->check_closely(context);
    finding = describe_health(health);
    describe_measures(health, finding);
    if (!finding.ok) {
      return finding;
    }
  }
  const Result<Space> space = (*embedder)->space(context);
  if (!space.ok()) {
    finding.ok = false;
    finding.detail = space.status().message();
    return finding;
  }
  space_id = space->id();
  finding.ok = true;
  finding.detail = finding.detail.empty() ? spec : finding.detail;
  finding.more.text("space_id", space_id);
  return finding;
}

// --- database

#ifdef EMBEDJOBS_HAS_SQLITE
struct CloseSqlite {
  void operator()(sqlite3* connection) const { sqlite3_close_v2(connection); }
};
using Connection = std::unique_ptr<sqlite3, CloseSqlite>;

/// Runs `sql`; the first column of its first row is put into `answer`.
bool ask(const Connection& connection, const char* sql, std::string& answer) {
  sqlite3_stmt* statement = nullptr;
  int code = sqlite3_prepare_v2(connection.get(), sql, -1, &statement, nullptr);
  if (code == SQLITE_OK) {
    code = sqlite3_step(statement);
    if (code == SQLITE_ROW) {
      const auto* const text = reinterpret_cast<const char*>(sqlite3_column_text(statement, 0));
      answer = text != nullptr ? text : "";
    }
  }
  if (code != SQLITE_ROW && code != SQLITE_DONE) {
    answer = sqlite3_errmsg(connection.get());
  }
  sqlite3_finalize(statement);
  return code == SQLITE_ROW || code == SQLITE_DONE;
}

Connection open_file(const std::string& path, int flags) {
  sqlite3* connection = nullptr;
  const int code = sqlite3_open_v2(path.c_str(), &connection, flags, nullptr);
  Connection opened(connection);
  if (code == SQLITE_OK) {
    sqlite3_busy_timeout(connection, 5000);
    return opened;
  }
  return nullptr;
}

Finding check_schema(const std::string& path) {
  Finding finding{.check = "database", .ok = false, .detail = {}, .advice = {}, .more = {}};
  const Result<SqliteSchema> schema = inspect_sqlite(path);
  if (!schema.ok()) {
    finding.detail = schema.status().message();
    return finding;
  }
  finding.more.integer("file_version", schema->file_version).integer("library_version", schema->library_version);
  finding.ok = schema->file_version <= schema->library_version;
  finding.detail = fmt::format("{} has schema version {} of {}", path, schema->file_version, schema->library_version);
  if (!finding.ok) {
    finding.advice = "it is of a newer embedjobs: update this one";
  }
  return finding;
}

Finding check_integrity(const std::string& path) {
  Finding finding{.check = "integrity", .ok = false, .detail = "the file can't be opened", .advice = {}, .more = {}};
  const Connection connection = open_file(path, SQLITE_OPEN_READONLY);
  std::string answer;
  if (connection && ask(connection, "PRAGMA quick_check(1)", answer)) {
    finding.ok = answer == "ok";
  }
  finding.detail = finding.ok ? "no damage found" : answer.empty() ? finding.detail : answer;
  finding.advice =
      finding.ok ? "" : "stop the workers, and restore a backup or rebuild the file with `sqlite3 FILE .recover`";
  return finding;
}

Finding check_writable(const std::string& path) {
  Finding finding{
      .check = "writable", .ok = false, .detail = "the file can't be opened for writing", .advice = {}, .more = {}};
  const Connection connection = open_file(path, SQLITE_OPEN_READWRITE);
  std::string answer;
  finding.ok = connection && sqlite3_db_readonly(connection.get(), "main") == 0 &&
               ask(connection, "BEGIN IMMEDIATE", answer) && ask(connection, "ROLLBACK", answer);
  finding.detail = finding.ok ? "the file can be written" : answer.empty() ? finding.detail : answer;
  finding.advice =
      finding.ok ? "" : "check the rights of the file and its folder, and whether another process holds it";
  return finding;
}

Finding check_disk(const std::string& path) {
  Finding finding{.check = "disk", .ok = true, .detail = {}, .advice = {}, .more = {}};
  std::filesystem::path folder = std::filesystem::path(path).parent_path();
  folder = folder.empty() ? std::filesystem::path(".") : folder;
  struct statvfs space {};
  if (statvfs(folder.c_str(), &space) != 0) {
    finding.ok = false;
    finding.detail = fmt::format("the folder {} can't be looked at", folder.string());
    return finding;
  }
  const std::uintmax_t free = static_cast<std::uintmax_t>(space.f_bavail) * space.f_frsize;
  finding.more.integer("free_bytes", static_cast<std::int64_t>(free));
  finding.ok = free >= kLeastFreeBytes;
  finding.detail = fmt::format("{} MiB are free", free >> 20);
  finding.advice = finding.ok ? "" : "make room before the next index: a full disk stops all work";
  return finding;
}

std::vector<Finding> check_file(const std::string& path) {
  std::vector<Finding> findings{check_schema(path)};
  if (findings.front().ok) {
    findings.push_back(check_integrity(path));
    findings.push_back(check_writable(path));
  }
  findings.push_back(check_disk(path));
  return findings;
}
#else
std::vector<Finding> check_file(const std::string& /*path*/) {
  return {{.check = "database", .ok = false, .detail = "this build has no SQLite backend", .advice = {}, .more = {}}};
}
#endif

Finding check_catalogs(const std::vector<CatalogInfo>& catalogs, const std::string& space_id) {
  Finding finding{
      .check = "catalogs", .ok = true, .detail = fmt::format("{} catalogs", catalogs.size()), .advice = {}, .more = {}};
  for (const CatalogInfo& info : catalogs) {
    if (finding.ok && !space_id.empty() && !info.target_space_id.empty() && info.spec_count > 0 &&
        info.target_space_id != space_id) {
      finding.ok = false;
      finding.detail = fmt::format("catalog '{}' is of space {}, the embedder makes {}", info.catalog_id,
                                   info.target_space_id, space_id);
      finding.advice =
          fmt::format("name the embedder of its space, or move it with: embedjobs switch-space {}", info.catalog_id);
    }
  }
  return finding;
}

/// What is at the path of a database that can't be one. Nothing is made there.
std::optional<Finding> check_place(const std::string& path) {
  Finding finding{.check = "database", .ok = false, .detail = {}, .advice = {}, .more = {}};
  std::error_code error;
  if (std::filesystem::is_directory(path, error)) {
    finding.detail = fmt::format("{} is a directory", path);
    finding.advice = fmt::format("name a file in it, for example --db {}{}", kSqlite,
                                 (std::filesystem::path(path) / "embedjobs.db").string());
    return finding;
  }
  const std::filesystem::path folder = std::filesystem::path(path).parent_path();
  if (folder.empty() || std::filesystem::is_directory(folder, error)) {
    return std::nullopt;
  }
  const bool there = std::filesystem::exists(folder, error);
  const std::string_view what = there ? "is no directory" : error ? "can't be looked at" : "is missing";
  finding.detail = fmt::format("{}{} {}", there ? "" : "the directory ", folder.string(), what);
  finding.advice = there || error ? "name another path with --db" : "make it, or name another path with --db";
  return finding;
}

/// What is wrong with the database, and its catalogs where it can be read.
std::vector<Finding> check_database(const Session& session, std::vector<CatalogInfo>& catalogs) {
  std::vector<Finding> findings;
  if (session.dsn.starts_with(kSqlite)) {
    if (std::optional<Finding> wrong = check_place(session.dsn.substr(kSqlite.size()))) {
      return {*std::move(wrong)};
    }
    if (const Status there = require_database(session); !there.ok()) {
      return {{.check = "database",
               .ok = true,
               .detail = "there is none yet",
               .advice = "embedjobs index FILE makes it",
               .more = {}}};
    }
    findings = check_file(session.dsn.substr(kSqlite.size()));
    if (!findings.front().ok) {
      return findings;
    }
  }
  const Result<Backend> backend = open_backend(session.dsn, {}, nullptr);
  Result<std::vector<CatalogInfo>> infos =
      backend.ok() ? backend->catalog->catalogs() : Result<std::vector<CatalogInfo>>(backend.status());
  if (!infos.ok()) {
    findings.push_back({.check = "open", .ok = false, .detail = infos.status().message(), .advice = {}, .more = {}});
    return findings;
  }
  catalogs = *std::move(infos);
  return findings;
}

int run_doctor(const Session& session) {
  std::vector<CatalogInfo> catalogs;
  std::vector<Finding> findings = check_database(session, catalogs);
  std::string space_id;
  findings.insert(findings.begin(), check_provider(chosen_embedder(session, catalogs), space_id));
  if (!catalogs.empty()) {
    findings.push_back(check_catalogs(catalogs, space_id));
  }
  int exit = kSuccess;
  for (const Finding& finding : findings) {
    print_finding(session, finding);
    exit = finding.ok ? exit : kFailed;
  }
  return exit;
}

}  // namespace

void add_doctor(CLI::App& app, Session& session) {
  CLI::App* command = app.add_subcommand("doctor", "Check the provider and the database, and say what to do");
  command->footer(
      "Sends a short text and two long ones to the provider, and changes nothing. Exit code 0: all is well, 1: "
      "something is not.\n"
      "Example: embedjobs doctor --embedder ollama:nomic-embed-text");
  command->callback([&session] { session.action = [&session] { return run_doctor(session); }; });
}

}  // namespace embedjobs::command
