#include "core/rules/checks.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "core/rules/vectors.hpp"
#include "core/values/utf8.hpp"
#include "embedjobs/limits.hpp"

namespace embedjobs::core {

Status check_put(const SpecKey& key, std::string_view content, std::string_view target_space_id) {
  if (Status status = validate(key); !status.ok()) {
    return status;
  }
  if (content.size() > kMaxDocumentBytes) {
    return {Code::kInvalidArgument,
            fmt::format("the document has {} bytes, at most {} are allowed", content.size(), kMaxDocumentBytes)};
  }
  return target_space_id.empty() ? Status() : parse_space(target_space_id).status();
}

Status check_embedder(std::string_view catalog_id, std::string_view space_id, std::string_view spec) {
  if (Status status = validate_catalog_id(catalog_id); !status.ok()) {
    return status;
  }
  const bool printable =
      std::none_of(spec.begin(), spec.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
  if (spec.empty() || spec.size() > kMaxEmbedderBytes || !printable || !is_valid_utf8(spec)) {
    return {
        Code::kInvalidArgument,
        fmt::format("an embedder is named by 1 to {} bytes of UTF-8 without control characters", kMaxEmbedderBytes)};
  }
  return space_id.empty() ? Status() : parse_space(space_id).status();
}

Status check_pass(const PassContext& context) {
  if (Status status = validate(context.key); !status.ok()) {
    return status;
  }
  return validate(context.space);
}

Status check_persist(const PassContext& context, std::span<const VectorRow> rows) {
  if (Status status = check_pass(context); !status.ok()) {
    return status;
  }
  for (const VectorRow& row : rows) {
    if (Status status = check_vector(row.vector, context.space.dimension); !status.ok()) {
      return status.with_context(fmt::format("operation '{}'", row.operation_id));
    }
  }
  return {};
}

Status check_search(const Space& space, std::span<const float> query) {
  if (Status status = validate(space); !status.ok()) {
    return status;
  }
  Status status = check_vector(query, space.dimension);
  return status.ok() ? status : status.with_context("query");
}

std::optional<std::pair<std::uint32_t, std::uint32_t>> same_id(const Manifest& manifest) {
  const std::vector<std::uint32_t> order = manifest.sorted_by_id();
  const auto at = std::adjacent_find(order.begin(), order.end(), [&](std::uint32_t a, std::uint32_t b) {
    return manifest.operation_id(a) == manifest.operation_id(b);
  });
  return at == order.end() ? std::nullopt : std::optional(std::minmax({at[0], at[1]}));
}

Status check_manifest(const Manifest& manifest) {
  const auto twice = same_id(manifest);
  return !twice ? Status()
                : Status(Code::kInvalidArgument,
                         fmt::format("the manifest names operation '{}' twice", manifest.operation_id(twice->first)));
}

}  // namespace embedjobs::core
