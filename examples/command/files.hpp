// Files that users name: anything may lie there.
#pragma once

#include <memory>
#include <string>

#include "embedjobs/splitter.hpp"
#include "embedjobs/status.hpp"

namespace embedjobs::command {

/// What a file is read as.
enum class Format {
  kDocument,  ///< What the file says it is: OpenAPI, or items under their header.
  kItems      ///< --items: plain items, one JSON object a line.
};

/// The bytes of a document. "-" is the standard input. kInvalidDocument with one line that names the file: missing, a
/// directory, not readable, larger than 64 MiB, binary (where its splitter would not name the line).
Result<std::string> read_document(const std::string& path, Format format);

/// What cuts a file of this format.
std::shared_ptr<const Splitter> splitter_of(Format format);

/// What a spec is called after its file: the file name without its folder and its last extension ("a/billing.v2.yaml"
/// -> "billing.v2").
std::string spec_name_of(const std::string& path);

}  // namespace embedjobs::command
