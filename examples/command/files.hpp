// Files that users name: anything may lie there.
#pragma once

#include <string>

#include "embedjobs/status.hpp"

namespace embedjobs::command {

/// The bytes of a document. "-" is the standard input. kInvalidDocument with one line that names the file: missing, a directory, not
/// readable, larger than 64 MiB, binary.
Result<std::string> read_document(const std::string& path);

/// What a spec is called after its file: the file name without its folder and its last extension ("a/billing.v2.yaml" -> "billing.v2").
std::string spec_name_of(const std::string& path);

}  // namespace embedjobs::command
