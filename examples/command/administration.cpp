#include <memory>

#include <fmt/format.h>

#include "commands.hpp"
#include "json.hpp"
#include "text.hpp"
#ifdef EMBEDJOBS_HAS_SQLITE
#include "embedjobs/sqlite.hpp"
#endif
#ifdef EMBEDJOBS_HAS_POSTGRES
#include "embedjobs/postgres.hpp"
#endif

namespace embedjobs::command {
namespace {

struct RetryFlags {
  std::string catalog, spec;
  bool failed = false;
};

int retry_failed(const Session& session, Engine& engine) {
  const Result<std::size_t> count = engine.retry_failed();
  if (!count.ok()) {
    return fail(count.status());
  }
  print_line(session.json ? JsonObject().integer("enqueued", static_cast<std::int64_t>(*count)).str()
                          : fmt::format("{} failed specs will be embedded afresh", *count));
  return kSuccess;
}

int run_retry(const Session& session, const RetryFlags& flags) {
  if (flags.failed != flags.catalog.empty() || flags.catalog.empty() != flags.spec.empty()) {
    return fail(Status(Code::kInvalidArgument, "retry takes CATALOG SPEC, or --failed alone"));
  }
  const Result<std::unique_ptr<Engine>> engine = open_for_reading(session);
  if (!engine.ok()) {
    return fail(engine.status());
  }
  if (flags.failed) {
    return retry_failed(session, **engine);
  }
  const Result<EnqueueResult> retry = (*engine)->retry({flags.catalog, flags.spec});
  if (!retry.ok()) {
    return fail(with_hint(retry.status()));
  }
  if (session.json) {
    print_line(JsonObject()
                   .text("catalog_id", flags.catalog)
                   .text("spec_name", flags.spec)
                   .integer("job_id", retry->job_id)
                   .boolean("created", retry->created)
                   .integer("generation", static_cast<std::int64_t>(retry->generation))
                   .str());
  } else {
    print_line(fmt::format("{}: everything will be embedded afresh by job {}{}",
                           printable(flags.catalog + "/" + flags.spec), retry->job_id,
                           retry->created ? "" : ", which was open already"));
  }
  return kSuccess;
}

int run_reconcile(const Session& session) {
  const Result<std::unique_ptr<Engine>> engine = open_for_reading(session);
  if (!engine.ok()) {
    return fail(engine.status());
  }
  const Result<std::size_t> count = (*engine)->reconcile();
  if (!count.ok()) {
    return fail(count.status());
  }
  print_line(session.json ? JsonObject().integer("enqueued", static_cast<std::int64_t>(*count)).str()
                          : fmt::format("{} gaps found and enqueued", *count));
  return kSuccess;
}

int run_switch_space(const Session& session, const std::string& catalog) {
  if (session.embedder.empty()) {
    return fail(
        Status(Code::kInvalidArgument, "switch-space needs --embedder: the one whose space the catalog moves to"));
  }
  const Result<std::shared_ptr<Embedder>> embedder = make_embedder(session.embedder);
  if (!embedder.ok()) {
    return fail(embedder.status());
  }
  const Result<Space> space = (*embedder)->space({});
  if (!space.ok()) {
    return fail(space.status());
  }
  const Result<std::unique_ptr<Engine>> engine = open_for_reading(session);
  if (!engine.ok()) {
    return fail(engine.status());
  }
  const Result<std::size_t> count = (*engine)->switch_space(catalog, *space);
  if (!count.ok()) {
    return fail(with_hint(count.status()));
  }
  if (session.json) {
    print_line(JsonObject()
                   .text("catalog_id", catalog)
                   .text("target_space_id", space->id())
                   .integer("enqueued", static_cast<std::int64_t>(*count))
                   .str());
  } else {
    print_line(fmt::format("{}: target space {}; {} specs enqueued, searches read the old space until they are done",
                           printable(catalog), printable(space->id()), *count));
  }
  return kSuccess;
}

bool is_postgres(const Session& session) {
  return session.dsn.starts_with("postgresql://") || session.dsn.starts_with("postgres://");
}

/// The version of the schema before or after; 0: there is none.
Result<int> schema_version(const Session& session) {
#ifdef EMBEDJOBS_HAS_POSTGRES
  if (is_postgres(session)) {
    const Result<PostgresSchema> schema = inspect_postgres(session.dsn);
    return schema.ok() ? Result<int>(schema->database_version) : Result<int>(schema.status());
  }
#endif
#ifdef EMBEDJOBS_HAS_SQLITE
  constexpr std::string_view kSqlite = "sqlite:";
  if (session.dsn.starts_with(kSqlite) && require_database(session).ok()) {
    const Result<SqliteSchema> schema = inspect_sqlite(session.dsn.substr(kSqlite.size()));
    return schema.ok() ? Result<int>(schema->file_version) : Result<int>(schema.status());
  }
#endif
  return 0;
}

constexpr int kMaxSchemaVersion = 1'000'000;

struct MigrateFlags {
  bool print_only = false;
  int from = -1;  ///< Not given: the database is asked.
};

/// The SQL that is still to be run, for those who run it themselves.
int print_migration(const Session& session, int from) {
#ifdef EMBEDJOBS_HAS_POSTGRES
  if (is_postgres(session)) {
    const Result<PostgresSchema> schema = from < 0 ? inspect_postgres(session.dsn) : parse_postgres(session.dsn);
    if (!schema.ok()) {
      return fail(schema.status());
    }
    const int version = from < 0 ? schema->database_version : from;
    const Result<std::string> sql = postgres_migration_sql(schema->name, version, schema->wanted_vectors);
    if (!sql.ok()) {
      return fail(sql.status());
    }
    if (version < schema->library_version) {
      print_line(*sql);
    }
    return kSuccess;
  }
#endif
  return fail(Status(Code::kInvalidArgument,
                     "migrate --print is for PostgreSQL: name the database with --db postgresql://..."));
}

int run_migrate(const Session& session, const MigrateFlags& flags) {
  if (flags.print_only) {
    return print_migration(session, flags.from);
  }
  const Result<int> before = schema_version(session);
  if (!before.ok()) {
    return fail(before.status());
  }
  // Opening migrates; every command does, this one does nothing else.
  const Result<Backend> backend = open_backend(session.dsn, {}, nullptr);
  if (!backend.ok()) {
    return fail(backend.status());
  }
  const Result<int> after = schema_version(session);
  if (!after.ok()) {
    return fail(after.status());
  }
  if (session.json) {
    print_line(JsonObject().integer("from_version", *before).integer("to_version", *after).str());
  } else if (*before == *after) {
    print_line(fmt::format("the schema is up to date (version {})", *after));
  } else {
    print_line(*before == 0 ? fmt::format("the schema was made (version {})", *after)
                            : fmt::format("the schema was migrated from version {} to {}", *before, *after));
  }
  return kSuccess;
}

int run_index_vectors(const Session& session, const std::string& catalog) {
#ifdef EMBEDJOBS_HAS_POSTGRES
  if (is_postgres(session)) {
    Progress shown(Progress::Style::kOutcomesOnly);
    const Result<std::vector<PostgresIndex>> indexes =
        index_postgres_vectors(session.dsn, catalog, [&shown](const PostgresIndexProgress& progress) {
          shown.say(progress.total > 0 ? fmt::format("{}: {} of {}", progress.phase, progress.done, progress.total)
                                       : progress.phase);
        });
    if (!indexes.ok()) {
      return fail(indexes.status());
    }
    for (const PostgresIndex& index : *indexes) {
      print_line(session.json ? JsonObject()
                                    .text("index", index.name)
                                    .text("space_id", index.space_id)
                                    .boolean("created", index.created)
                                    .str()
                              : fmt::format("{}: {} over the vectors of {}", index.name,
                                            index.created ? "made" : "is there already", printable(index.space_id)));
    }
    return kSuccess;
  }
#endif
  return fail(Status(Code::kInvalidArgument,
                     fmt::format("index-vectors {} is for PostgreSQL: name the database with --db postgresql://...",
                                 printable(catalog))));
}

std::string metrics_json(const MetricsSnapshot& snapshot) {
  const auto count = [](std::uint64_t value) { return static_cast<std::int64_t>(value); };
  const WorkerMetrics& worker = snapshot.worker;
  JsonObject json;
  if (snapshot.jobs) {
    json.object("jobs", JsonObject()
                            .integer("pending", snapshot.jobs->pending)
                            .integer("running", snapshot.jobs->running)
                            .integer("succeeded", snapshot.jobs->succeeded)
                            .integer("failed", snapshot.jobs->failed)
                            .integer("cancelled", snapshot.jobs->cancelled));
  } else {
    json.null("jobs");
  }
  json.integer("workers_live", snapshot.workers_live)
      .integer("jobs_claimed", count(worker.jobs_claimed))
      .integer("jobs_succeeded", count(worker.jobs_succeeded))
      .integer("jobs_retried", count(worker.jobs_retried))
      .integer("jobs_failed", count(worker.jobs_failed))
      .integer("jobs_released", count(worker.jobs_released))
      .integer("leases_renewed", count(worker.leases_renewed))
      .integer("leases_lost", count(worker.leases_lost))
      .integer("renewals_failed", count(worker.renewals_failed))
      .integer("leases_expired", count(worker.leases_expired))
      .integer("operations_reused", count(worker.operations_reused))
      .integer("operations_embedded", count(worker.operations_embedded))
      .integer("provider_calls", count(worker.provider_calls))
      .integer("provider_errors", count(worker.provider_errors))
      .integer("provider_texts", count(worker.provider_texts))
      .integer("provider_tokens", count(worker.provider_tokens))
      .integer("provider_pauses", count(worker.provider_pauses))
      .integer("chunks_persisted", count(worker.chunks_persisted))
      .integer("persist_errors", count(worker.persist_errors));
  return json.str();
}

int run_metrics(const Session& session) {
  const Result<std::unique_ptr<Engine>> engine = open_for_reading(session);
  if (!engine.ok()) {
    return fail(engine.status());
  }
  const Result<MetricsSnapshot> snapshot = (*engine)->metrics();
  if (!snapshot.ok()) {
    return fail(snapshot.status());
  }
  if (session.json) {
    print_line(metrics_json(*snapshot));
  } else {
    print(render_prometheus(*snapshot));
  }
  return kSuccess;
}

void add_retry(CLI::App& app, Session& session) {
  auto flags = std::make_shared<RetryFlags>();
  CLI::App* retry = app.add_subcommand("retry", "Embed a spec afresh, or every spec that failed");
  retry->add_option("catalog", flags->catalog, "The catalog")->type_name("CATALOG");
  retry->add_option("spec", flags->spec, "The spec")->type_name("SPEC");
  retry->add_flag("--failed", flags->failed, "Every spec whose last job failed");
  retry->footer(
      "Only vectors that are computed from now on count. A job that is running is not interrupted: it runs once more "
      "after "
      "it.\nExamples:\n  embedjobs retry billing invoices\n  embedjobs retry --failed");
  retry->callback([&session, flags] { session.action = [&session, flags] { return run_retry(session, *flags); }; });
}

void add_reconcile(CLI::App& app, Session& session) {
  CLI::App* reconcile =
      app.add_subcommand("reconcile", "Enqueue every spec whose rows are not what its document asks for");
  reconcile->footer(
      "A worker does this by itself every five minutes. Specs that keep failing wait longer and longer; retry does not "
      "wait.\nExample:\n  "
      "embedjobs reconcile && embedjobs work --until-idle");
  reconcile->callback([&session] { session.action = [&session] { return run_reconcile(session); }; });
}

void add_switch_space(CLI::App& app, Session& session) {
  auto catalog = std::make_shared<std::string>();
  CLI::App* switch_space = app.add_subcommand("switch-space", "Move a catalog to the vectors of another embedder");
  switch_space->add_option("catalog", *catalog, "The catalog")->required()->type_name("CATALOG");
  switch_space->footer(
      "Searches are answered from the old vectors until all specs have new ones.\nExample:\n  embedjobs switch-space "
      "default --embedder "
      "hashing:1024 && embedjobs work --until-idle");
  switch_space->callback(
      [&session, catalog] { session.action = [&session, catalog] { return run_switch_space(session, *catalog); }; });
}

void add_migrate(CLI::App& app, Session& session) {
  CLI::App* migrate = app.add_subcommand("migrate", "Make the database, or bring its schema up to date");
  auto migrate_flags = std::make_shared<MigrateFlags>();
  [[maybe_unused]] CLI::Option* print = migrate->add_flag(
      "--print", migrate_flags->print_only, "Change nothing: print the SQL that is still to be run (PostgreSQL)");
#ifdef EMBEDJOBS_HAS_POSTGRES
  migrate
      ->add_option("--from", migrate_flags->from,
                   "With --print: the schema's version, 0 for none; the database is not asked then")
      ->needs(print)
      ->check(CLI::Range(0, kMaxSchemaVersion))
      ->type_name("VERSION");
#endif
  migrate->footer(
      "Every command does so when it opens the database; this one does nothing else. A schema of a newer version is "
      "refused.\nExamples:\n  "
      "embedjobs migrate --db sqlite:/var/lib/embedjobs.db\n  embedjobs migrate --db postgresql://owner@db/app --print "
      "| psql "
      "postgresql://owner@db/app\n  embedjobs migrate --db 'postgresql:///app?schema=embeddings' --print --from 0 > "
      "schema.sql");
  migrate->callback([&session, migrate_flags] {
    session.action = [&session, migrate_flags] { return run_migrate(session, *migrate_flags); };
  });
}

void add_index_vectors(CLI::App& app, Session& session) {
  auto indexed = std::make_shared<std::string>();
  CLI::App* index_vectors =
      app.add_subcommand("index-vectors", "Make an index over a catalog's vectors (PostgreSQL with pgvector)");
  index_vectors->add_option("catalog", *indexed, "The catalog")->required()->type_name("CATALOG");
  index_vectors->footer(
      "An HNSW index makes searches of large catalogs fast, and every new vector dearer. It is made while work goes "
      "on; what an "
      "interrupted "
      "run left is replaced.\nExample:\n  embedjobs index-vectors default --db postgresql://owner@db/app");
  index_vectors->callback(
      [&session, indexed] { session.action = [&session, indexed] { return run_index_vectors(session, *indexed); }; });
}

void add_metrics(CLI::App& app, Session& session) {
  CLI::App* metrics = app.add_subcommand("metrics", "Show the counts of the queue as Prometheus text");
  metrics->footer(
      "Counters of work belong to a process: those of this short one are zero.\nExample:\n  embedjobs metrics > "
      "/var/lib/node_exporter/embedjobs.prom");
  metrics->callback([&session] { session.action = [&session] { return run_metrics(session); }; });
}

}  // namespace

void add_administration(CLI::App& app, Session& session) {
  add_retry(app, session);
  add_reconcile(app, session);
  add_switch_space(app, session);
  add_migrate(app, session);
  add_index_vectors(app, session);
  add_metrics(app, session);
}

}  // namespace embedjobs::command
