// The splitter for OpenAPI documents, JSON or YAML.
#pragma once

#include <cstddef>
#include <memory>

#include "embedjobs/limits.hpp"
#include "embedjobs/splitter.hpp"

namespace embedjobs {

/// Documents come from users: everything is bounded.
struct OpenApiLimits {
  std::size_t json_bytes = kMaxDocumentBytes;
  std::size_t yaml_bytes = std::size_t{16} << 20;  ///< Smaller: YAML costs more time and memory a byte.
  std::size_t depth = 200;                         ///< Nested arrays and objects, aliases expanded. At most 400 counts.
  std::size_t operations = 1'000'000;
};

/// Thread-safe. The rules are in docs/openapi.md.
std::shared_ptr<const Splitter> make_openapi_splitter(const OpenApiLimits& limits = {});

}  // namespace embedjobs
