// What all subcommands share: global options, opening, errors, output, exit codes.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>

#include "embedjobs/embedder.hpp"
#include "embedjobs/engine.hpp"
#include "progress.hpp"

namespace embedjobs::command {

enum Exit : int {
  kSuccess = 0,
  kFailed = 1,    ///< Something failed or was refused.
  kUsage = 2,     ///< The command line is wrong.
  kWorkLeft = 75  ///< Work is left (EX_TEMPFAIL); WorkEnd::report_what_is_left() has the reasons.
};

/// The global options, and what the chosen subcommand will do once the command line is read.
struct Session {
  std::string dsn = "sqlite:embedjobs.db";
  std::string embedder;  ///< Empty: the catalog's own.
  bool json = false;
  std::function<int()> action;
};

/// One line on stderr, "embedjobs: message". Returns the exit code that belongs to the error.
int fail(const Status& status);
int fail(std::string_view message);
/// Data goes to stdout. A write that fails is noticed at the end of main.
void print(std::string_view text);
void print_line(std::string_view text);

/// Fails for a database file that is not there: only index, put, work and migrate make one.
Status require_database(const Session& session);

/// What an embedder is wanted for.
enum class Use {
  kStore,   ///< To know which catalog's vectors a document is for. No provider is asked.
  kEmbed,   ///< A provider is asked where the database can't tell the space.
  kSearch,  ///< The same; the space that searches read counts, not the target.
};

/// An embedder, and how it was named. Both empty: the engine chooses.
struct NamedEmbedder {
  std::string spec;
  std::shared_ptr<Embedder> embedder;
};

/// The embedder for `catalog_id`: --embedder where it was given (kRefused when the catalog is of another space), else
/// the catalog's own, else "hashing".
Result<NamedEmbedder> embedder_for_catalog(const Session& session, const std::string& catalog_id, Use use,
                                           const std::stop_token& stop = {});

/// An engine over session.dsn with `embedder`; `progress`, where given, gets log and events.
Result<std::unique_ptr<Engine>> open_engine(const Session& session, NamedEmbedder embedder,
                                            Progress* progress = nullptr, const WorkerOptions& worker = {});
/// The same without work to do: the database must exist.
Result<std::unique_ptr<Engine>> open_for_reading(const Session& session);

/// Visits the spec statuses of a catalog (kNotFound when it does not exist), or of all.
Result<std::vector<SpecStatus>> statuses_of(Engine& engine, const std::optional<std::string>& catalog_id);
std::string status_json(const SpecStatus& status);
/// "catalog/spec: 42/42 indexed (tooltip)".
std::string status_line(const SpecStatus& status);

}  // namespace embedjobs::command
