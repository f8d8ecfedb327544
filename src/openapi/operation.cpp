#include "openapi/operation.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "openapi/place.hpp"

namespace embedjobs::openapi {
namespace {

constexpr std::array<std::string_view, kMethodCount> kKeys = {"delete", "get", "head", "patch", "post", "put"};
constexpr std::array<std::string_view, kMethodCount> kNames = {"DELETE", "GET", "HEAD", "PATCH", "POST", "PUT"};

}  // namespace

std::optional<Method> parse_method(std::string_view key) noexcept {
  const auto at = std::ranges::find(kKeys, key);
  return at == kKeys.end() ? std::nullopt : std::optional(static_cast<Method>(at - kKeys.begin()));
}

std::string_view key_of(Method method) noexcept {
  return kKeys[static_cast<std::size_t>(method)];
}

std::string_view name_of(Method method) noexcept {
  return kNames[static_cast<std::size_t>(method)];
}

std::string Place::pointer() const {
  std::string pointer = "/paths" + pointer_token(path);
  if (method) {
    pointer += pointer_token(key_of(*method));
  }
  if (!field.empty()) {
    pointer += pointer_token(field);
  }
  if (index) {
    pointer += pointer_token(std::to_string(*index));
  }
  return through.empty() ? pointer : fmt::format("{} (through '{}')", pointer, printable(through));
}

void make_id(const Operation& operation, std::string_view path, Method method, std::string& id) {
  if (operation.operation_id.empty()) {
    id = name_of(method);
    id += ' ';
    id += path;
  } else {
    id = operation.operation_id;
  }
}

void make_text(const Operation& operation, std::string_view path, std::string& text) {
  text.clear();
  for (const std::string_view part :
       {operation.summary, operation.description, path, std::string_view(operation.tags)}) {
    if (!text.empty() && !part.empty()) {
      text += ' ';
    }
    text += part;
  }
}

std::string reject_id(std::string_view id) {
  if (id.size() > kMaxIdBytes) {
    return fmt::format("an operation id of {} bytes, at most {} are allowed", id.size(), kMaxIdBytes);
  }
  const auto is_control = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; };
  if (std::ranges::any_of(id, is_control)) {
    return fmt::format("the operation id '{}' has a control character", printable(id));
  }
  return {};
}

}  // namespace embedjobs::openapi
