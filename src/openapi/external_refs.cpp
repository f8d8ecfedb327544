#include "openapi/external_refs.hpp"

namespace embedjobs::openapi {

std::optional<Reading> reading_below_keyword(std::string_view key) noexcept {
  const auto any_of = [key](auto... words) { return ((key == std::string_view(words)) || ...); };
  if (key.starts_with("x-") || any_of("example", "examples", "default", "enum", "const")) {
    return std::nullopt;
  }
  if (any_of("paths", "responses")) {
    return Reading::kPatterns;
  }
  if (any_of("properties", "patternProperties", "dependentSchemas", "$defs", "definitions", "schemas", "parameters",
             "requestBodies", "headers", "securitySchemes", "securityDefinitions", "links", "callbacks", "pathItems",
             "content", "variables", "encoding", "webhooks")) {
    return Reading::kNames;
  }
  return Reading::kKeywords;
}

}  // namespace embedjobs::openapi
