#include "core/rules/checks.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "core/rules/vectors.hpp"

namespace embedjobs::core {

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

Status check_manifest(const Manifest& manifest) {
  const std::vector<std::uint32_t> order = manifest.sorted_by_id();
  const auto same_id = [&](std::uint32_t a, std::uint32_t b) {
    return manifest.operation_id(a) == manifest.operation_id(b);
  };
  const auto twice = std::adjacent_find(order.begin(), order.end(), same_id);
  if (twice != order.end()) {
    return {Code::kInvalidArgument,
            fmt::format("the manifest names operation '{}' twice", manifest.operation_id(*twice))};
  }
  return {};
}

}  // namespace embedjobs::core
