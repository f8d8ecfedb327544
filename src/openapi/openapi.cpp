#include "embedjobs/openapi.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <new>

#include "openapi/encoding.hpp"
#include "openapi/json_document.hpp"
#include "openapi/rules.hpp"
#include "openapi/yaml_document.hpp"

namespace embedjobs {
namespace {

using namespace embedjobs::openapi;

constexpr std::size_t kMaxDepth = 400;                             // the search for references recurses
constexpr std::size_t kMaxJsonBytes = (std::size_t{1} << 32) - 1;  // simdjson's offsets
constexpr std::size_t kMinTextBytes = std::size_t{1} << 20;
constexpr std::size_t kFreeSteps = 10'000'000;

Status check_size(std::string_view format, std::size_t size, std::size_t cap) {
  if (size <= cap) {
    return {};
  }
  return {Code::kInvalidDocument,
          fmt::format("the {} document has {} bytes, at most {} are allowed", format, size, cap)};
}

class OpenApiSplitter final : public Splitter {
 public:
  explicit OpenApiSplitter(const OpenApiLimits& limits) : limits_(limits) {
    limits_.json_bytes = std::min(limits.json_bytes, kMaxJsonBytes);
    limits_.yaml_bytes = std::min(limits.yaml_bytes, kMaxYamlBytes);
    limits_.depth = std::clamp<std::size_t>(limits.depth, 1, kMaxDepth);
  }

  Result<OperationList> split(std::string_view content) const override {
    try {
      const Result<Text> text = recognise(content);
      if (!text.ok()) {
        return text.status();
      }
      return text->format == Format::kJson ? read_json(text->body) : read_yaml(text->body);
    } catch (const std::bad_alloc&) {
      return {Code::kRetry, "not enough memory to split the document"};
    } catch (const std::exception& error) {
      return {Code::kInternal, fmt::format("splitting the document: {}", error.what())};
    }
  }

  [[nodiscard]] std::string version() const override { return "openapi/2"; }

 private:
  Result<OperationList> read_json(std::string_view body) const {
    if (Status status = check_size("JSON", body.size(), limits_.json_bytes); !status.ok()) {
      return status;
    }
    const Result<JsonDocument> document = JsonDocument::parse(body, limits_.depth);
    if (document.ok()) {
      return read_operations(document->root(), body, limits_.json_bytes);
    }
    if (document.status().code() != Code::kInvalidDocument || body.size() > limits_.yaml_bytes) {
      return document.status();
    }
    // YAML may begin with '{' too.
    const Result<YamlDocument> as_yaml = YamlDocument::parse(body, limits_.depth);
    if (as_yaml.ok()) {
      return read_operations(as_yaml->root(), body, limits_.yaml_bytes);
    }
    return {Code::kInvalidDocument,
            fmt::format("{}; as YAML: {}", document.status().message(), as_yaml.status().message())};
  }

  Result<OperationList> read_yaml(std::string_view body) const {
    if (Status status = check_size("YAML", body.size(), limits_.yaml_bytes); !status.ok()) {
      return status;
    }
    const Result<YamlDocument> document = YamlDocument::parse(body, limits_.depth);
    return document.ok() ? read_operations(document->root(), body, limits_.yaml_bytes) : document.status();
  }

  template <DocumentNode Node>
  Result<OperationList> read_operations(Node root, std::string_view body, std::size_t cap) const {
    const Bounds bounds{
        .operations = limits_.operations, .bytes = std::max(cap, kMinTextBytes), .steps = kFreeSteps + 2 * body.size()};
    return OperationReader<Node>(root, bounds).read();
  }

  OpenApiLimits limits_;
};

}  // namespace

std::shared_ptr<const Splitter> make_openapi_splitter(const OpenApiLimits& limits) {
  return std::make_shared<OpenApiSplitter>(limits);
}

}  // namespace embedjobs
