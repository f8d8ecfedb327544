#include <algorithm>
#include <memory>

#include <fmt/format.h>

#include "commands.hpp"
#include "json.hpp"
#include "text.hpp"

namespace embedjobs::command {
namespace {

struct RowFlags {
  std::string catalog, spec;
};

int run_verify(const Session& session, const RowFlags& flags) {
  const Result<std::unique_ptr<Engine>> engine = open_for_reading(session);
  if (!engine.ok()) {
    return fail(engine.status());
  }
  const Result<std::vector<VerifyReport>> reports =
      (*engine)->verify(flags.catalog, flags.spec.empty() ? std::nullopt : std::optional(flags.spec));
  if (!reports.ok()) {
    return fail(reports.status());
  }
  if (reports->empty()) {
    return fail(
        fmt::format("there is nothing to verify in catalog '{}'; 'embedjobs status' lists specs", flags.catalog));
  }
  for (const VerifyReport& report : *reports) {
    if (session.json) {
      print_line(JsonObject()
                     .text("catalog_id", report.key.catalog_id)
                     .text("spec_name", report.key.spec_name)
                     .boolean("equal", report.equal)
                     .text("difference", report.difference)
                     .str());
    } else {
      print_line(fmt::format("{}: {}", printable(report.key.catalog_id + "/" + report.key.spec_name),
                             report.equal ? "equal" : "differs: " + printable(report.difference)));
    }
  }
  return std::all_of(reports->begin(), reports->end(), [](const VerifyReport& report) { return report.equal; })
             ? kSuccess
             : kFailed;
}

void print_row(const Session& session, const Space& space, const StoredRow& row) {
  const std::string hash = to_hex(row.text_hash);
  if (session.json) {
    JsonObject json;
    json.text("operation_id", row.operation_id)
        .text("text_hash", hash)
        .text("model", space.model)
        .integer("dim", static_cast<std::int64_t>(space.dimension))
        .reals("vector", row.vector)
        .boolean("truncated", row.embedded_bytes > 0);
    if (row.embedded_bytes > 0) {
      json.integer("embedded_bytes", static_cast<std::int64_t>(row.embedded_bytes));
    }
    print_line(json.str());
    return;
  }
  std::string line =
      fmt::format("{}  {}  {}/{}  [", printable(row.operation_id), hash, space.dimension, printable(space.model));
  for (std::size_t i = 0; i < row.vector.size(); ++i) {
    line += fmt::format("{}{}", i == 0 ? "" : " ", row.vector[i]);
  }
  print_line(line + "]");
}

int run_export(const Session& session, const RowFlags& flags) {
  const Result<std::unique_ptr<Engine>> engine = open_for_reading(session);
  if (!engine.ok()) {
    return fail(engine.status());
  }
  const SpecKey key{flags.catalog, flags.spec};
  // Each line names the space, which rows() tells at its end: a first look asks for it.
  const Result<Space> before = (*engine)->rows(key, false, [](const StoredRow&) { return false; });
  if (!before.ok()) {
    return fail(with_hint(before.status()));
  }
  const Result<Space> after = (*engine)->rows(key, true, [&](const StoredRow& row) {
    print_row(session, *before, row);
    return true;
  });
  if (!after.ok()) {
    return fail(after.status());
  }
  return *before == *after ? kSuccess : fail("the spec moved to another space during the export; run it again");
}

}  // namespace

void add_rows(CLI::App& app, Session& session) {
  auto flags = std::make_shared<RowFlags>();
  CLI::App* verify = app.add_subcommand("verify", "Compare stored rows with their documents: 0 only if all are equal");
  verify->add_option("catalog", flags->catalog, "The catalog")->required()->type_name("CATALOG");
  verify->add_option("spec", flags->spec, "Only this spec")->type_name("SPEC");
  verify->footer("Example:\n  embedjobs verify default && echo \"every operation has its vector\"");
  verify->callback([&session, flags] { session.action = [&session, flags] { return run_verify(session, *flags); }; });

  CLI::App* export_rows = app.add_subcommand("export", "Write the rows of a spec with their vectors");
  export_rows->add_option("catalog", flags->catalog, "The catalog")->required()->type_name("CATALOG");
  export_rows->add_option("spec", flags->spec, "The spec")->required()->type_name("SPEC");
  export_rows->footer(
      "Floats are written with the digits that read back as the same float.\nExample:\n  embedjobs export default api "
      "--json > rows.jsonl");
  export_rows->callback(
      [&session, flags] { session.action = [&session, flags] { return run_export(session, *flags); }; });
}

}  // namespace embedjobs::command
