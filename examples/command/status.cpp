#include <memory>

#include <fmt/format.h>

#include "commands.hpp"
#include "json.hpp"
#include "text.hpp"

namespace embedjobs::command {
namespace {

std::optional<std::string> given(const std::string& text) {
  return text.empty() ? std::nullopt : std::optional(text);
}

std::string provider_line(const ProviderState& state) {
  std::string line = fmt::format("provider {}: {} prompt tokens today, {} in all", printable(state.provider),
                                 state.tokens_today, state.tokens_total);
  if (state.stopped) {
    line += "; refuses every text";
  }
  if (state.batch_texts > 0) {
    line += fmt::format("; at most {} texts a call", state.batch_texts);
  }
  if (is_paused(state, state.read_at)) {
    line += fmt::format("; waiting until {}: {}", format_rfc3339(state.paused_until), printable(state.pause_reason));
  }
  return line;
}

std::string provider_json(const ProviderState& state) {
  const bool paused = is_paused(state, state.read_at);
  return JsonObject()
      .text("provider", state.provider)
      .text_or_null("space_id", state.space_id)
      .integer("batch_texts", static_cast<std::int64_t>(state.batch_texts))
      .integer("batch_bytes", static_cast<std::int64_t>(state.batch_bytes))
      .time("paused_until", paused ? state.paused_until : WallTime{})
      .text_or_null("pause_reason", paused ? state.pause_reason : std::string())
      .integer("tokens_today", static_cast<std::int64_t>(state.tokens_today))
      .integer("tokens_total", static_cast<std::int64_t>(state.tokens_total))
      .time("updated_at", state.updated_at)
      .str();
}

int run_providers(const Session& session) {
  const Result<std::unique_ptr<Engine>> engine = open_for_reading(session);
  if (!engine.ok()) {
    return fail(engine.status());
  }
  const Result<std::vector<ProviderState>> providers = (*engine)->providers();
  if (!providers.ok()) {
    return fail(providers.status());
  }
  for (const ProviderState& state : *providers) {
    print_line(session.json ? provider_json(state) : provider_line(state));
  }
  if (providers->empty() && !session.json) {
    print_line("nothing was learned of a provider yet");
  }
  return kSuccess;
}

int run_status(const Session& session, const std::string& catalog) {
  const Result<std::unique_ptr<Engine>> engine = open_for_reading(session);
  if (!engine.ok()) {
    return fail(engine.status());
  }
  const Result<std::vector<SpecStatus>> statuses = statuses_of(**engine, given(catalog));
  if (!statuses.ok()) {
    return fail(statuses.status());
  }
  for (const SpecStatus& status : *statuses) {
    print_line(session.json ? status_json(status) : status_line(status));
  }
  if (session.json) {
    return kSuccess;
  }
  if (statuses->empty()) {
    print_line("no specs yet: add one with 'embedjobs index FILE'");
    return kSuccess;
  }
  const Result<CatalogHealth> health = (*engine)->health(given(catalog));
  if (!health.ok()) {
    return fail(health.status());
  }
  const Banner banner = make_banner(*health);
  print_line(coloured(banner.text, banner.tone));
  if (health->degraded) {
    print_line(fmt::format("degraded: {}", printable(health->degraded_reason)));
  }
  const Result<std::vector<ProviderState>> providers = (*engine)->providers();
  if (!providers.ok()) {
    return fail(providers.status());
  }
  for (const ProviderState& state : *providers) {
    print_line(provider_line(state));
  }
  return kSuccess;
}

struct JobFlags {
  std::string status, catalog, spec;
  std::size_t limit = 100;
};

std::string job_json(const Job& job) {
  return JsonObject()
      .integer("id", job.id)
      .text("catalog_id", job.key.catalog_id)
      .text("spec_name", job.key.spec_name)
      .text("kind", to_string(job.kind))
      .text("status", to_string(job.status))
      .integer("attempts", job.attempts)
      .text("last_error", job.last_error)
      .time("next_run_at", job.next_run_at)
      .text_or_null("worker_id", job.worker_id)
      .time("lease_expires_at", job.status == JobStatus::kRunning ? job.lease_expires_at : WallTime{})
      .time("created_at", job.created_at)
      .time("started_at", job.started_at)
      .time("completed_at", job.completed_at)
      .integer("embedded_so_far", job.embedded_so_far)
      .integer("reused_count", job.reused_count)
      .integer("embedded_count", job.embedded_count)
      .integer("prompt_tokens", static_cast<std::int64_t>(job.prompt_tokens))
      .integer("generation", static_cast<std::int64_t>(job.generation))
      .str();
}

int run_jobs(const Session& session, const JobFlags& flags) {
  const Result<std::unique_ptr<Engine>> engine = open_for_reading(session);
  if (!engine.ok()) {
    return fail(engine.status());
  }
  const Result<std::vector<Job>> jobs = (*engine)->jobs({.status = parse_job_status(flags.status),
                                                         .kind = std::nullopt,
                                                         .catalog_id = given(flags.catalog),
                                                         .spec_name = given(flags.spec),
                                                         .limit = flags.limit});
  if (!jobs.ok()) {
    return fail(jobs.status());
  }
  Table table({"ID", "SPEC", "KIND", "STATUS", "ATTEMPTS", "OPERATIONS", "UPDATED", "HELD BY", "LEASE UNTIL", "ERROR"});
  for (const Job& job : *jobs) {
    const bool held = job.status == JobStatus::kRunning;
    if (session.json) {
      print_line(job_json(job));
      continue;
    }
    table.add({std::to_string(job.id), job.key.catalog_id + "/" + job.key.spec_name, std::string(to_string(job.kind)),
               std::string(to_string(job.status)), std::to_string(job.attempts),
               fmt::format("{}/{}", job.embedded_so_far, job.operation_count), format_rfc3339(job.updated_at),
               held ? job.worker_id : "", held ? format_rfc3339(job.lease_expires_at) : "", job.last_error});
  }
  if (!session.json) {
    print(table.empty() ? "no jobs\n" : table.str());
  }
  return kSuccess;
}

}  // namespace

void add_status(CLI::App& app, Session& session) {
  auto catalog = std::make_shared<std::string>();
  CLI::App* status = app.add_subcommand("status", "Show how each spec stands, and the health of the catalog");
  status->add_option("catalog", *catalog, "Only this catalog")->type_name("CATALOG");
  status->footer(
      "A line a spec: its badge, and what it means. With --json one object a spec.\nExample:\n  embedjobs status "
      "--json | jq -r "
      ".badge.label");
  status->callback(
      [&session, catalog] { session.action = [&session, catalog] { return run_status(session, *catalog); }; });

  auto flags = std::make_shared<JobFlags>();
  CLI::App* jobs = app.add_subcommand("jobs", "List jobs, newest first");
  jobs->add_option("--status", flags->status, "Only those that are this")
      ->check(CLI::IsMember({"pending", "running", "succeeded", "failed", "cancelled"}))
      ->type_name("STATUS");
  jobs->add_option("--catalog", flags->catalog, "Only those of this catalog")->type_name("CATALOG");
  jobs->add_option("--spec", flags->spec, "Only those of this spec")->type_name("SPEC");
  jobs->add_option("--limit", flags->limit, "At most this many")->check(CLI::PositiveNumber)->capture_default_str();
  CLI::App* providers =
      app.add_subcommand("providers", "Show what was learned of providers: tokens, batch sizes, pauses");
  providers->footer("Example:\n  embedjobs providers --json | jq .tokens_today");
  providers->callback([&session] { session.action = [&session] { return run_providers(session); }; });

  jobs->footer("Example:\n  embedjobs jobs --status failed");
  jobs->callback([&session, flags] { session.action = [&session, flags] { return run_jobs(session, *flags); }; });
}

}  // namespace embedjobs::command
