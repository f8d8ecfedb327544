// What embedjobs_options say, as the C++ options and parts.
#pragma once

#include <memory>

#include "call.hpp"
#include "embedjobs/engine.hpp"

namespace embedjobs::capi {

struct OpenOptions {
  EngineOptions options;
  EngineParts parts;
};

/// NULL: all defaults. When it fails, the destroy callbacks of all tables that could be read have been called.
Result<OpenOptions> read_options(const embedjobs_options* options, const std::shared_ptr<HostState>& state);

}  // namespace embedjobs::capi
