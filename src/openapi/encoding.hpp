// Is it text at all, and of which format?
#pragma once

#include <string_view>

#include "embedjobs/status.hpp"

namespace embedjobs::openapi {

enum class Format { kJson, kYaml };

struct Text {
  std::string_view body;  ///< Without the byte order mark.
  Format format = Format::kYaml;
};

/// A document whose first character other than white space is '{' is JSON, everything else YAML. Blank, UTF-16 and UTF-32 are errors.
Result<Text> recognise(std::string_view content);
/// The error names the first line that is not UTF-8.
Status check_utf8(std::string_view text);
/// UTF-8 without the control characters that YAML forbids; they are how binary content shows.
Status check_yaml_characters(std::string_view text);

}  // namespace embedjobs::openapi
