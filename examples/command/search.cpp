#include <map>
#include <memory>

#include <fmt/format.h>

#include "commands.hpp"
#include "embedjobs/openapi.hpp"
#include "embedjobs/sys/catalog.hpp"
#include "json.hpp"
#include "text.hpp"

namespace embedjobs::command {
namespace {

constexpr std::size_t kTextPoints = 100;

struct SearchFlags {
  std::string catalog, query;
  std::size_t k = 5;
};

/// The operations of stored documents, split again: vectors are stored, texts are not. For people only, so an error is
/// an empty text.
class Texts {
 public:
  explicit Texts(const Session& session) : backend_(open_backend(session.dsn, {}, nullptr)) {}

  std::string of(const SearchHit& hit) {
    auto found = specs_.find(hit.key);
    if (found == specs_.end()) {
      found = specs_.emplace(hit.key, split(hit.key)).first;
    }
    const auto text = found->second.find(hit.operation_id);
    return text == found->second.end() ? std::string() : text->second;
  }

 private:
  using ById = std::map<std::string, std::string, std::less<>>;

  ById split(const SpecKey& key) {
    ById texts;
    const Result<Document> document =
        backend_.ok() ? backend_->catalog->resolve(key) : Result<Document>(backend_.status());
    const Result<OperationList> operations =
        document.ok() ? make_openapi_splitter()->split(document->content) : Result<OperationList>(document.status());
    for (std::size_t i = 0; operations.ok() && i < operations->size(); ++i) {
      texts.emplace(operations->operation_id(i), operations->text(i));
    }
    return texts;
  }

  Result<Backend> backend_;
  std::map<SpecKey, ById> specs_;
};

int run_search(const Session& session, const SearchFlags& flags) {
  if (Status status = require_database(session); !status.ok()) {
    return fail(status);
  }
  Result<NamedEmbedder> embedder = embedder_for_catalog(session, flags.catalog, Use::kSearch);
  if (!embedder.ok()) {
    return fail(embedder.status());
  }
  const Result<std::unique_ptr<Engine>> engine = open_engine(session, *std::move(embedder));
  if (!engine.ok()) {
    return fail(engine.status());
  }
  const Result<std::vector<SearchHit>> hits = (*engine)->search(flags.catalog, flags.query, flags.k);
  if (!hits.ok()) {
    return fail(hits.status());
  }
  Texts texts(session);
  Table table({"SCORE", "SPEC", "OPERATION", "TEXT"});
  for (const SearchHit& hit : *hits) {
    if (session.json) {
      print_line(JsonObject()
                     .text("catalog_id", hit.key.catalog_id)
                     .text("spec_name", hit.key.spec_name)
                     .text("operation_id", hit.operation_id)
                     .real("score", hit.score)
                     .str());
      continue;
    }
    table.add(
        {fmt::format("{:.3f}", hit.score), hit.key.spec_name, hit.operation_id, shortened(texts.of(hit), kTextPoints)});
  }
  if (!session.json) {
    print(table.empty() ? "nothing is indexed in this catalog yet\n" : table.str());
  }
  return kSuccess;
}

}  // namespace

void add_search(CLI::App& app, Session& session) {
  auto flags = std::make_shared<SearchFlags>();
  CLI::App* command = app.add_subcommand("search", "Find the operations of a catalog that are nearest to a question");
  command->add_option("catalog", flags->catalog, "The catalog")->required()->type_name("CATALOG");
  command->add_option("query", flags->query, "What the operation should do, in words")->required()->type_name("QUERY");
  command->add_option("-k", flags->k, "At most this many answers")->check(CLI::Range(1, 10000))->capture_default_str();
  command->footer(
      "The score is the cosine of the angle between question and operation. The built-in embedder 'hashing' compares "
      "spelling, not\n"
      "meaning: use the words of the document.\n"
      "Example:\n"
      "  embedjobs search default \"delete a user\" -k 3");
  command->callback([&session, flags] { session.action = [&session, flags] { return run_search(session, *flags); }; });
}

}  // namespace embedjobs::command
