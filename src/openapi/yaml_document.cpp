#include "openapi/yaml_document.hpp"

#include <fmt/format.h>

#include <optional>
#include <string>

#include "openapi/encoding.hpp"
#include "openapi/place.hpp"
#include "openapi/yaml_builder.hpp"
#include "openapi/yaml_disguise.hpp"
#include "openapi/yaml_events.hpp"

namespace embedjobs::openapi {
namespace {

constexpr std::size_t kMaxTagDirectives = 100;
constexpr std::size_t kMaxTagDirectiveBytes = 1000;

bool has_comment_without_blank(std::string_view line) {
  const std::size_t at = line.find('#');
  return at != std::string_view::npos && line[at - 1] != ' ' && line[at - 1] != '\t';
}

/// libyaml compares each %TAG with all before it, and copies what one says into each tag that uses it. It takes a
/// comment right behind the version of %YAML.
Status check_directives(std::string_view text) {
  std::size_t tags = 0;
  for (std::size_t at = 0; (at = text.find('%', at)) != std::string_view::npos; ++at) {
    if (at != 0 && text[at - 1] != '\n' && text[at - 1] != '\r') {
      continue;
    }
    const std::string_view line = text.substr(at, text.find_first_of("\r\n", at) - at);
    if (line.starts_with("%YAML") && has_comment_without_blank(line)) {
      return error_at_offset(text, at + line.find('#'), "not valid YAML: a comment needs a blank before it");
    }
    if (line.starts_with("%TAG") && (++tags > kMaxTagDirectives || line.size() > kMaxTagDirectiveBytes)) {
      return error_at_offset(text, at,
                             fmt::format("at most {} lines with %TAG are allowed, of at most {} bytes each",
                                         kMaxTagDirectives, kMaxTagDirectiveBytes));
    }
  }
  return {};
}

/// Each one costs a parse from the beginning.
constexpr int kMaxMissingIndentations = 20;

/// Into `missing` what the text needs before it can be tried again.
Status build(const YamlDisguise& disguise, std::string_view text, std::size_t depth, YamlTree& tree,
             std::optional<YamlEvents::Indentation>& missing) {
  YamlEvents events(text);
  YamlBuilder builder(tree, disguise, depth);
  do {
    if (Status status = events.next(); !status.ok()) {
      missing = events.missing_indentation();
      return status;
    }
    builder.take(events.event());
  } while (events.event().type != YAML_STREAM_END_EVENT);
  return {};
}

Status build(const YamlDisguise& disguise, std::size_t depth, YamlTree& tree) {
  std::optional<YamlEvents::Indentation> missing;
  Status status = build(disguise, disguise.text(), depth, tree, missing);
  std::string text;
  for (int tries = 0; missing && tries < kMaxMissingIndentations; ++tries) {
    if (text.empty()) {
      text = disguise.text();
    }
    text.insert(missing->at, 1, missing->digit);
    missing.reset();
    tree = YamlTree();
    status = build(disguise, text, depth, tree, missing);
  }
  return status;
}

}  // namespace

Result<YamlDocument> YamlDocument::parse(std::string_view text, std::size_t depth) {
  if (Status status = check_yaml_characters(text); !status.ok()) {
    return status;
  }
  if (Status status = check_directives(text); !status.ok()) {
    return status;
  }
  const Result<YamlDisguise> disguise = YamlDisguise::of(text);
  if (!disguise.ok()) {
    return disguise.status();
  }
  YamlDocument document;
  try {
    if (Status status = build(*disguise, depth, *document.tree_); !status.ok()) {
      return status;
    }
  } catch (const YamlRefused& refused) {
    return {Code::kInvalidDocument, refused.what()};
  }
  if (document.tree_->nodes.empty()) {
    return {Code::kInvalidDocument, "the document is blank"};
  }
  return document;
}

}  // namespace embedjobs::openapi
