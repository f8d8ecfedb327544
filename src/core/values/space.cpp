#include "embedjobs/space.hpp"

#include <fmt/format.h>

#include <charconv>

#include "core/values/utf8.hpp"

namespace embedjobs {
namespace {

constexpr std::size_t kMaxDimension = 65536;
constexpr std::size_t kMaxPartBytes = 256;

bool is_plain(std::string_view part) {
  for (const char c : part) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      return false;
    }
  }
  return part.size() <= kMaxPartBytes && core::is_valid_utf8(part);
}

}  // namespace

// The dimension comes first: a model's name may hold slashes ("BAAI/bge-small").
std::string Space::id() const {
  return variant.empty() ? fmt::format("{}/{}", dimension, model) : fmt::format("{}/{}?{}", dimension, model, variant);
}

Status validate(const Space& space) {
  if (space.model.empty() || !is_plain(space.model) || space.model.find('?') != std::string::npos) {
    return {Code::kInvalidArgument, "a space's model is 1 to 256 bytes of UTF-8 without control characters and '?'"};
  }
  if (!is_plain(space.variant)) {
    return {Code::kInvalidArgument, "a space's variant is at most 256 bytes of UTF-8 without control characters"};
  }
  if (space.dimension == 0 || space.dimension > kMaxDimension) {
    return {Code::kInvalidArgument,
            fmt::format("a space's dimension is 1 to {}, not {}", kMaxDimension, space.dimension)};
  }
  return {};
}

Result<Space> parse_space(std::string_view id) {
  Space space;
  const auto slash = id.find('/');
  if (slash == std::string_view::npos) {
    return {Code::kInvalidArgument, fmt::format("'{}' is not a space: expected dimension/model", id)};
  }
  const auto [end, error] = std::from_chars(id.data(), id.data() + slash, space.dimension);
  if (error != std::errc() || end != id.data() + slash) {
    return {Code::kInvalidArgument, fmt::format("'{}' is not a space: no dimension before the slash", id)};
  }
  const std::string_view rest = id.substr(slash + 1);
  const auto question = rest.find('?');
  space.model = rest.substr(0, question);
  if (question != std::string_view::npos) {
    space.variant = rest.substr(question + 1);
  }
  if (Status status = validate(space); !status.ok()) {
    return status;
  }
  return space;
}

}  // namespace embedjobs
