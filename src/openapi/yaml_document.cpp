#include "openapi/yaml_document.hpp"

#include <fmt/format.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <istream>
#include <streambuf>

#include "openapi/encoding.hpp"
#include "openapi/place.hpp"
#include "openapi/yaml_builder.hpp"

namespace embedjobs::openapi {
namespace {

/// A stream over bytes that stay where they are.
class ViewBuffer : public std::streambuf {
 public:
  explicit ViewBuffer(std::string_view text) {
    char* begin = const_cast<char*>(text.data());  // only read: no put area is set
    setg(begin, begin, begin + text.size());
  }
};

}  // namespace

Result<YamlDocument> YamlDocument::parse(std::string_view text, std::size_t depth) {
  if (Status status = check_yaml_characters(text); !status.ok()) {
    return status;
  }
  YamlDocument document;
  YamlBuilder builder(*document.tree_, depth);
  ViewBuffer buffer(text);
  std::istream stream(&buffer);
  try {
    YAML::Parser parser(stream);
    while (parser.HandleNextDocument(builder)) {
    }
  } catch (const YamlRefused& refused) {
    return {Code::kInvalidDocument, refused.what()};
  } catch (const YAML::Exception& error) {
    return {Code::kInvalidDocument, fmt::format("line {}, column {}: not valid YAML: {}", error.mark.line + 1,
                                                error.mark.column + 1, printable(error.msg))};
  }
  if (document.tree_->nodes.empty()) {
    return {Code::kInvalidDocument, "the document is blank"};
  }
  return document;
}

}  // namespace embedjobs::openapi
