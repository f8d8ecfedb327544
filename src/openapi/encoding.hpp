// Is it text at all, and of which format?
#pragma once

#include <string_view>

#include "embedjobs/status.hpp"

namespace embedjobs::openapi {

/// kJson: what begins as JSON does. YAML may too.
enum class Format { kJson, kYaml };

struct Text {
  std::string_view body;  ///< Without the byte order mark.
  Format format = Format::kYaml;
};

/// A document whose first character other than white space is '{' is JSON, everything else YAML. Blank, UTF-16 and
/// UTF-32 are errors.
Result<Text> recognise(std::string_view content);
/// `content` without the byte order mark that it may begin with.
std::string_view without_mark(std::string_view content) noexcept;
/// The error names the first line that is not UTF-8; `text` begins in line `first_line`.
Status check_utf8(std::string_view text, std::size_t first_line = 1);
/// UTF-8 without the control characters that YAML forbids; they are how binary content shows.
Status check_yaml_characters(std::string_view text);

}  // namespace embedjobs::openapi
