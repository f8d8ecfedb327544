#include "core/worker/batch.hpp"

#include <fmt/format.h>

namespace embedjobs::core {

std::string describe(const OperationList& operations, const Batch& batch) {
  const std::uint32_t first = batch.texts.front().operation;
  const std::uint32_t last = batch.texts.back().operation;
  if (batch.texts.size() == 1) {
    return fmt::format("operation {} of {} ({})", first + 1, operations.size(), operations.operation_id(first));
  }
  return fmt::format("operations {} to {} of {} ({} ... {})", first + 1, last + 1, operations.size(),
                     operations.operation_id(first), operations.operation_id(last));
}

}  // namespace embedjobs::core
