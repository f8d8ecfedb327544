// What a provider wrote instead of vectors, whatever its shape; all of it untrusted text.
#pragma once

#include <string>
#include <string_view>

#include "http/transport.hpp"

namespace embedjobs::http {

struct ErrorBody {
  bool json = false;   ///< It was a JSON object, or a list of them.
  bool words = false;  ///< It has a member that servers write errors into.
  bool page = false;   ///< It was a web page: a login, a proxy, a wrong address. `message` is its title.
  std::string message, code, type;
};

/// Understands {"error": "..."}, {"error": {"message", "code", "type"}}, the same members at the top or in a list, a
/// validation library's {"detail": [{"msg", "loc"}]}, problem+json, and web pages. Anything else is its own message.
ErrorBody read_error(const Body& body);

}  // namespace embedjobs::http
