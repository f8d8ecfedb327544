#include <algorithm>
#include <cstdio>
#include <memory>
#include <set>

#include <fmt/format.h>

#include "commands.hpp"
#include "files.hpp"
#include "text.hpp"
#include "work.hpp"

namespace embedjobs::command {
namespace {

using namespace std::chrono_literals;

struct IndexFlags {
  std::vector<std::string> files;
  std::string catalog = "default";
  bool items = false;
  WorkFlags work;
  [[nodiscard]] Format format() const { return items ? Format::kItems : Format::kDocument; }
};

struct Input {
  SpecKey key;
  std::string path;
  std::string content;
  std::size_t operations = 0;
};

// A person waits for this command, and runs it again when it died: short leases, and calls that end well within them.
WorkerOptions options_of(const WorkFlags& flags) {
  WorkFlags filled = flags;
  if (!flags.embed_timeout) {
    filled.embed_timeout = flags.lease_duration ? std::min<Duration>(30s, *flags.lease_duration / 2) : Duration(30s);
  }
  if (!flags.lease_duration) {
    filled.lease_duration = std::max<Duration>(1min, 2 * *filled.embed_timeout);
  }
  return filled.options();
}

Result<Input> read_input(const std::string& path, const IndexFlags& flags, const Splitter& splitter) {
  Input input{.key = {flags.catalog, spec_name_of(path)}, .path = path, .content = {}};
  if (Status status = validate(input.key); !status.ok()) {
    return status.with_context(path);
  }
  Result<std::string> content = read_document(path, flags.format());
  if (!content.ok()) {
    return content.status();
  }
  const Result<OperationList> operations = splitter.split(*content);
  if (!operations.ok()) {
    return operations.status().with_context(path);
  }
  input.content = *std::move(content);
  input.operations = operations->size();
  return input;
}

// All files are read and split before the first one is stored: one that is bad is named, and nothing is changed.
int read_inputs(const IndexFlags& flags, std::vector<Input>& inputs) {
  const std::shared_ptr<const Splitter> splitter = splitter_of(flags.format());
  std::set<std::string> names;
  int exit = kSuccess;
  for (const std::string& path : flags.files) {
    if (path == "-") {
      return fail(Status(Code::kInvalidArgument,
                         "index names specs after files; for standard input: embedjobs put CATALOG SPEC -"));
    }
    if (!names.insert(spec_name_of(path)).second) {
      return fail(Status(
          Code::kInvalidArgument,
          fmt::format(
              "two of the files would be the spec '{}': index them into two catalogs (--catalog), or name one with: "
              "embedjobs put CATALOG SPEC FILE",
              spec_name_of(path))));
    }
    Result<Input> input = read_input(path, flags, *splitter);
    if (!input.ok()) {
      exit = std::max(exit, fail(input.status()));
      continue;
    }
    inputs.push_back(*std::move(input));
  }
  return exit;
}

struct Tally {
  std::int64_t operations = 0, embedded = 0;
  bool failed = false, open = false;
};

Result<Tally> tally_of(Engine& engine, const std::vector<Input>& inputs) {
  Tally tally;
  for (const Input& input : inputs) {
    const Result<std::vector<Job>> jobs = engine.jobs({.status = std::nullopt,
                                                       .kind = std::nullopt,
                                                       .catalog_id = input.key.catalog_id,
                                                       .spec_name = input.key.spec_name,
                                                       .limit = 1});
    if (!jobs.ok()) {
      return jobs.status();
    }
    if (jobs->empty()) {
      continue;
    }
    const Job& job = jobs->front();
    tally.operations += job.operation_count;
    tally.embedded += job.embedded_count;
    tally.failed = tally.failed || job.status == JobStatus::kFailed;
    tally.open = tally.open || is_open(job.status);
  }
  return tally;
}

std::string summary_of(const Tally& tally) {
  if (tally.embedded == 0) {
    return fmt::format("nothing to embed: all {} operations were stored already", tally.operations);
  }
  return fmt::format("{} embedded, {} stored already", counted(tally.embedded, "operation"),
                     tally.operations - tally.embedded);
}

Status print_statuses(const Session& session, Engine& engine, const IndexFlags& flags,
                      const std::vector<Input>& inputs) {
  const Result<std::vector<SpecStatus>> statuses = engine.status(flags.catalog);
  if (!statuses.ok()) {
    return statuses.status();
  }
  for (const SpecStatus& status : *statuses) {
    if (std::any_of(inputs.begin(), inputs.end(), [&](const Input& input) { return input.key == status.key; })) {
      print_line(session.json ? status_json(status) : status_line(status));
    }
  }
  return {};
}

int finish(const Session& session, Engine& engine, const IndexFlags& flags, const std::vector<Input>& inputs,
           const WorkEnd& end) {
  const Result<Tally> tally = tally_of(engine, inputs);
  if (!tally.ok()) {
    return fail(tally.status());
  }
  if (!tally->failed && !tally->open) {
    std::fputs((session.json ? summary_of(*tally) + "\n" : std::string()).c_str(), stderr);
    print(session.json ? std::string() : summary_of(*tally) + "\n");
  }
  if (Status status = print_statuses(session, engine, flags, inputs); !status.ok()) {
    return fail(status);
  }
  if (tally->failed) {
    return kFailed;
  }
  if (tally->open) {
    (void)end.report_what_is_left(flags.work.max_wait);
    return kWorkLeft;
  }
  return kSuccess;
}

int run_index(const Session& session, const IndexFlags& flags) {
  const SignalStop signals;
  std::vector<Input> inputs;
  if (const int exit = read_inputs(flags, inputs); exit != kSuccess) {
    return exit;
  }
  Result<NamedEmbedder> embedder = embedder_for_catalog(session, flags.catalog, Use::kEmbed, signals.token());
  if (!embedder.ok()) {
    return fail(embedder.status());
  }
  Progress progress(Progress::Style::kBarOrLines);
  const Result<std::unique_ptr<Engine>> engine =
      open_engine(session, *std::move(embedder), &progress, options_of(flags.work));
  if (!engine.ok()) {
    return fail(engine.status());
  }
  for (Input& input : inputs) {
    const Result<EnqueueResult> put =
        flags.items ? (*engine)->put_items(input.key, input.content) : (*engine)->put(input.key, input.content);
    if (!put.ok()) {
      return fail(put.status().with_context(input.path));
    }
    progress.expect(input.key, static_cast<std::int64_t>(input.operations));
    input.content = std::string();
  }
  const WorkEnd end = work(**engine, progress, signals, true, flags.work.max_wait);
  if (!end.status.ok()) {
    return fail(end.status);
  }
  return finish(session, **engine, flags, inputs, end);
}

}  // namespace

void add_index(CLI::App& app, Session& session) {
  auto flags = std::make_shared<IndexFlags>();
  CLI::App* command =
      app.add_subcommand("index", "Store documents and embed what is new in them, until everything is searchable");
  command
      ->add_option(
          "files", flags->files,
          "OpenAPI documents, JSON or YAML, or items. A spec is named after its file, without folder and extension")
      ->required()
      ->type_name("FILE");
  command->add_option("--catalog", flags->catalog, "The catalog that the specs belong to [default]")
      ->capture_default_str();
  command->add_flag("--items", flags->items, kItemsHelp);
  add_work_flags(*command, flags->work);
  command->footer(
      "Stopped or killed in the middle, run it again: it goes on where it was. A document that can't be read changes "
      "nothing.\n"
      "Examples:\n"
      "  embedjobs index api.yaml\n"
      "  embedjobs index --catalog billing invoices.json payments.json");
  command->callback([&session, flags] { session.action = [&session, flags] { return run_index(session, *flags); }; });
}

}  // namespace embedjobs::command
