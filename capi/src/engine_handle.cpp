#include "engine_handle.hpp"

#include <fmt/format.h>

namespace embedjobs::capi {

Status check_call(const embedjobs_engine* handle, FromCallback rule, const char* function) {
  if (handle == nullptr) {
    return {Code::kInvalidArgument, fmt::format("{}: engine is NULL", function)};
  }
  if (rule == FromCallback::kRefused && Frame::inside(*handle->open->state)) {
    return {Code::kRefused,
            fmt::format("recursive call: {} can't be called from inside a callback of its engine", function)};
  }
  return {};
}

Result<std::string_view> read_block(const char* data, std::size_t size, std::string_view what) {
  if (data == nullptr && size > 0) {
    return {Code::kInvalidArgument, fmt::format("{} is NULL, and its size is {}", what, size)};
  }
  if (size > static_cast<std::size_t>(PTRDIFF_MAX)) {
    return {Code::kInvalidArgument, fmt::format("{} can't have {} bytes", what, size)};
  }
  return std::string_view(data == nullptr ? "" : data, size);
}

Result<SpecKey> read_key(const char* catalog_id, const char* spec_name) {
  Status status = check_name(catalog_id, "catalog_id");
  if (status.ok()) {
    status = check_name(spec_name, "spec_name");
  }
  if (!status.ok()) {
    return status;
  }
  return SpecKey{catalog_id, spec_name};
}

}  // namespace embedjobs::capi
