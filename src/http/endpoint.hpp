// Where a provider is asked.
#pragma once

#include <string>
#include <string_view>

#include "embedjobs/http.hpp"

namespace embedjobs::http {

struct Endpoint {
  std::string base;       ///< As people know it: scheme, host, port and path, without a slash at the end.
  std::string embed;      ///< Where vectors are asked for.
  std::string old_embed;  ///< Ollama's route before 0.3.4; empty for others.
  std::string info;       ///< TEI's description of itself; empty for others.
};

/// From the options' url, or the provider's default. kInvalidArgument for a URL that is none, or that holds a user
/// name, password, query or fragment; the message repeats nothing of what may be a password.
Result<Endpoint> make_endpoint(const HttpEmbedderOptions& options);

}  // namespace embedjobs::http
