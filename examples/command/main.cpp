// embedjobs: the library as a program. One database file, documents in, answers out.
#include <cstdio>
#include <exception>

#include <fmt/format.h>

#include "commands.hpp"

namespace embedjobs::command {
namespace {

void add_globals(CLI::App& app, Session& session) {
  app.set_version_flag("--version", "embedjobs " EMBEDJOBS_VERSION);
  app.add_option("--db", session.dsn,
                 "The database: sqlite:PATH, postgresql://HOST/NAME, or memory: for nothing that stays")
      ->envname("EMBEDJOBS_DB")
      ->type_name("DSN")
      ->capture_default_str();
  app.add_option("--embedder", session.embedder,
                 "What makes the vectors: ollama:MODEL[@URL], openai:MODEL[@URL], tei[:MODEL][@URL], or "
                 "hashing[:DIM][?delay=50ms][&log=FILE], "
                 "which needs no model. Without it the catalog's own; hashing for a new one. A key comes from "
                 "EMBEDJOBS_API_KEY")
      ->envname("EMBEDJOBS_EMBEDDER")
      ->type_name("EMBEDDER");
  app.add_flag("--json", session.json, "Print data as JSON, one object a line");
}

int run(int argc, const char* const* argv) {
  CLI::App app(
      "Keeps vector embeddings of API documents in step with the documents: what is new is embedded, once, whatever "
      "dies meanwhile.",
      "embedjobs");
  Session session;
  app.fallthrough();  // global options may also stand behind the subcommand
  app.require_subcommand(1);
  add_globals(app, session);
  add_index(app, session);
  add_search(app, session);
  add_status(app, session);
  add_fleet(app, session);
  add_documents(app, session);
  add_work(app, session);
  add_administration(app, session);
  add_rows(app, session);
  add_doctor(app, session);
  app.footer(
      "Durations are written as 500ms, 2s, 10m, 1h. Data goes to standard output, progress and errors to standard "
      "error.\n"
      "Exit codes: 0 all succeeded, 1 something failed or was refused, 2 wrong usage, 75 work is left: it needs a "
      "worker "
      "with\n"
      "another --embedder, waits for the provider, is due later than --max-wait, or the command was interrupted.\n"
      "Examples:\n"
      "  embedjobs index api.yaml\n"
      "  embedjobs search default \"delete a user\"\n"
      "  embedjobs status\n"
      "  embedjobs index --help");
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& answer) {
    return app.exit(answer);  // --help, --version
  } catch (const CLI::ParseError& error) {
    fail(fmt::format("{}; see embedjobs --help", error.what()));
    return kUsage;
  }
  return session.action();
}

// A full disk or a closed pipe behind standard output is an error like any other.
int flushed(int exit) {
  if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0) {
    const int written = fail("can't write to standard output");
    return exit == kSuccess ? written : exit;
  }
  return exit;
}

}  // namespace
}  // namespace embedjobs::command

int main(int argc, char** argv) {
  try {
    return embedjobs::command::flushed(embedjobs::command::run(argc, argv));
  } catch (const std::exception& error) {  // out of memory, or a defect: still one line
    return embedjobs::command::fail(error.what());
  }
}
