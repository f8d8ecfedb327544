// What callers hand to a backend, checked the same way by all of them. Each answers kInvalidArgument with one line that
// says what is wrong.
#pragma once

#include <span>

#include "embedjobs/persister.hpp"
#include "embedjobs/sys/store_rules.hpp"

namespace embedjobs::core {

using rules::check_claim;
using rules::check_enqueue;
/// Key and space.
Status check_pass(const PassContext& context);
/// Of an upsert: the pass, and that every vector may be stored in its space. The message names the first operation
/// whose vector may not.
Status check_persist(const PassContext& context, std::span<const VectorRow> rows);
/// No operation id stands twice.
Status check_manifest(const Manifest& manifest);

}  // namespace embedjobs::core
