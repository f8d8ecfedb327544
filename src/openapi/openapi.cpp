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

constexpr std::size_t kMaxDepth = 400;                             // yaml-cpp recurses, and gives up at 500
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
      return text->format == Format::kJson ? read<JsonDocument, JsonNode>("JSON", text->body, limits_.json_bytes)
                                           : read<YamlDocument, YamlNode>("YAML", text->body, limits_.yaml_bytes);
    } catch (const std::bad_alloc&) {
      return {Code::kRetry, "not enough memory to split the document"};
    } catch (const std::exception& error) {
      return {Code::kInternal, fmt::format("splitting the document: {}", error.what())};
    }
  }

  [[nodiscard]] std::string version() const override { return "openapi/1"; }

 private:
  template <typename Document, typename Node>
  Result<OperationList> read(std::string_view format, std::string_view body, std::size_t cap) const {
    if (Status status = check_size(format, body.size(), cap); !status.ok()) {
      return status;
    }
    const Result<Document> document = Document::parse(body, limits_.depth);
    if (!document.ok()) {
      return document.status();
    }
    const Bounds bounds{
        .operations = limits_.operations, .bytes = std::max(cap, kMinTextBytes), .steps = kFreeSteps + 2 * body.size()};
    return OperationReader<Node>(document->root(), bounds).read();
  }

  OpenApiLimits limits_;
};

}  // namespace

std::shared_ptr<const Splitter> make_openapi_splitter(const OpenApiLimits& limits) {
  return std::make_shared<OpenApiSplitter>(limits);
}

}  // namespace embedjobs
