// What the test's provider reads and writes: the bodies of the real APIs.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "http/provider_server.hpp"

namespace embedjobs::test {

struct Asked {
  std::string model;
  std::vector<std::string> texts;
  std::size_t dimensions = 0;
  bool base64 = false;
  bool any_format = false;  ///< Something was said of it.
};

/// What the request says; none for a body that is no question.
std::optional<Asked> read_question(const std::string& body, Play play);

/// Where the API takes its questions.
std::string route_of(const ServerOptions& options);
/// An error as the API words it.
std::string error_json(Play play, std::string_view message, std::string_view code);
/// The vectors of the texts asked for, with what `trouble` makes of them.
std::string vectors_json(const ServerOptions& options, const Asked& asked, Trouble trouble);

}  // namespace embedjobs::test
