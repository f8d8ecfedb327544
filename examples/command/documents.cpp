#include <memory>

#include <fmt/format.h>

#include "commands.hpp"
#include "files.hpp"
#include "json.hpp"
#include "text.hpp"

namespace embedjobs::command {
namespace {

struct DocumentFlags {
  std::string catalog, spec, file;
  bool items = false;
  [[nodiscard]] Format format() const { return items ? Format::kItems : Format::kDocument; }
};

int run_put(const Session& session, const DocumentFlags& flags) {
  const Result<std::string> content = read_document(flags.file, flags.format());
  if (!content.ok()) {
    return fail(content.status());
  }
  const SpecKey key{flags.catalog, flags.spec};
  Result<NamedEmbedder> embedder = embedder_for_catalog(session, flags.catalog, Use::kStore);
  if (embedder.status().code() == Code::kRefused && session.embedder.empty()) {
    embedder = NamedEmbedder();  // to store a document, nobody needs to know how its catalog's vectors are made
  }
  if (!embedder.ok()) {
    return fail(embedder.status());
  }
  const Result<std::unique_ptr<Engine>> engine = open_engine(session, *std::move(embedder));
  if (!engine.ok()) {
    return fail(engine.status());
  }
  const Result<EnqueueResult> put = flags.items ? (*engine)->put_items(key, *content) : (*engine)->put(key, *content);
  if (!put.ok()) {
    return fail(put.status().code() == Code::kInvalidDocument ? put.status().with_context(flags.file) : put.status());
  }
  if (session.json) {
    print_line(JsonObject()
                   .text("catalog_id", key.catalog_id)
                   .text("spec_name", key.spec_name)
                   .integer("job_id", put->job_id)
                   .boolean("created", put->created)
                   .integer("generation", static_cast<std::int64_t>(put->generation))
                   .str());
  } else {
    print_line(fmt::format(
        "{}: stored; job {} {}", printable(flags.catalog + "/" + flags.spec), put->job_id,
        put->created ? "was made, run it with: embedjobs work" : "was open already and will serve the new content"));
  }
  return kSuccess;
}

int run_remove(const Session& session, const DocumentFlags& flags) {
  const Result<std::unique_ptr<Engine>> engine = open_for_reading(session);
  if (!engine.ok()) {
    return fail(engine.status());
  }
  const bool whole_catalog = flags.spec.empty();
  const Status status =
      whole_catalog ? (*engine)->remove_catalog(flags.catalog) : (*engine)->remove({flags.catalog, flags.spec});
  if (!status.ok()) {
    return fail(with_hint(status));
  }
  if (session.json) {
    print_line(JsonObject()
                   .text("catalog_id", flags.catalog)
                   .text_or_null("spec_name", flags.spec)
                   .boolean("removed", true)
                   .str());
  } else {
    print_line(fmt::format("{}: removed, with its vectors",
                           printable(whole_catalog ? flags.catalog : flags.catalog + "/" + flags.spec)));
  }
  return kSuccess;
}

int run_ops(const Session& session, const DocumentFlags& flags) {
  const Result<std::string> content = read_document(flags.file, flags.format());
  if (!content.ok()) {
    return fail(content.status());
  }
  const Result<OperationList> operations = splitter_of(flags.format())->split(*content);
  if (!operations.ok()) {
    return fail(operations.status().with_context(flags.file));
  }
  for (std::size_t i = 0; i < operations->size(); ++i) {
    const std::string hash = to_hex(operations->text_hash(i));
    if (session.json) {
      print_line(JsonObject()
                     .text("operation_id", operations->operation_id(i))
                     .text("text", operations->text(i))
                     .text("text_hash", hash)
                     .str());
    } else {
      print_line(fmt::format("{}  {}  {}", hash.substr(0, 12), printable(operations->operation_id(i)),
                             printable(operations->text(i))));
    }
  }
  return kSuccess;
}

void add_file(CLI::App& command, DocumentFlags& flags) {
  command.add_option("file", flags.file, "An OpenAPI document, JSON or YAML, or items; - reads standard input")
      ->required()
      ->type_name("FILE");
  command.add_flag("--items", flags.items, kItemsHelp);
}

}  // namespace

void add_documents(CLI::App& app, Session& session) {
  auto flags = std::make_shared<DocumentFlags>();
  CLI::App* put = app.add_subcommand("put", "Store a document and make its job; a worker embeds it");
  put->add_option("catalog", flags->catalog, "The catalog; it is made when it does not exist")
      ->required()
      ->type_name("CATALOG");
  put->add_option("spec", flags->spec, "The name of the document in it")->required()->type_name("SPEC");
  add_file(*put, *flags);
  put->footer(
      "A document that can't be split is refused, and what was stored before stays.\nExample:\n  curl -s "
      "https://api.example.com/openapi.json | embedjobs put web shop -\n  embedjobs put support answers answers.jsonl "
      "--items");
  put->callback([&session, flags] { session.action = [&session, flags] { return run_put(session, *flags); }; });

  CLI::App* remove = app.add_subcommand("remove", "Remove a spec, or a whole catalog: document, rows and open job");
  remove->add_option("catalog", flags->catalog, "The catalog")->required()->type_name("CATALOG");
  remove->add_option("spec", flags->spec, "The spec; without it all specs of the catalog")->type_name("SPEC");
  remove->footer(
      "A pass that is running loses its lease: its rows do not come back.\nExample:\n  embedjobs remove billing "
      "invoices");
  remove->callback([&session, flags] { session.action = [&session, flags] { return run_remove(session, *flags); }; });

  CLI::App* ops =
      app.add_subcommand("ops", "Show the operations of a document: what would be embedded. Needs no database");
  add_file(*ops, *flags);
  ops->footer(
      "A line an operation: hash (SHA-256 of the text; its first 12 digits without --json), id, text.\nExample:\n  "
      "embedjobs ops api.yaml "
      "--json | jq -r .operation_id");
  ops->callback([&session, flags] { session.action = [&session, flags] { return run_ops(session, *flags); }; });
}

}  // namespace embedjobs::command
