// What callers hand to a backend, checked the same way by all of them. Each answers kInvalidArgument with one line that
// says what is wrong.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <utility>

#include "embedjobs/persister.hpp"
#include "embedjobs/sys/store_rules.hpp"

namespace embedjobs::core {

using rules::check_claim;
using rules::check_enqueue;
/// Of a put: a key, a document that is not too long, and a target space that is one or none. The content may be any
/// bytes: what they mean is the splitter's business.
Status check_put(const SpecKey& key, std::string_view content, std::string_view target_space_id);
/// Of what a catalog remembers of an embedder: names, a space or none, and text that people can read.
Status check_embedder(std::string_view catalog_id, std::string_view space_id, std::string_view spec);
/// Key and space.
Status check_pass(const PassContext& context);
/// Of an upsert: the pass, and that every vector may be stored in its space. The message names the first operation
/// whose vector may not.
Status check_persist(const PassContext& context, std::span<const VectorRow> rows);
/// A space, and a query that is a vector of it.
Status check_search(const Space& space, std::span<const float> query);
/// The positions of two operations with one id, the lower one first; none where every id is unique.
std::optional<std::pair<std::uint32_t, std::uint32_t>> same_id(const Manifest& manifest);
/// No operation id stands twice.
Status check_manifest(const Manifest& manifest);

}  // namespace embedjobs::core
