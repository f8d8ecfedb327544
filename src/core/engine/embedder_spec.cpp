// Embedders by name: what stands in --embedder, in EngineOptions and in configuration files.
#include <fmt/format.h>

#include <charconv>
#include <set>
#include <utility>

#include "core/engine/remembered.hpp"
#include "embedjobs/duration.hpp"
#include "embedjobs/engine.hpp"
#include "embedjobs/hashing.hpp"
#include "embedjobs/http.hpp"

namespace embedjobs {
namespace {

constexpr std::string_view kGrammar =
    "hashing[:DIM][?delay=50ms][&log=FILE], ollama:MODEL[@URL], openai:MODEL[@URL] or tei[:MODEL][@URL]";
constexpr std::string_view kHashingModel = "hashing";
constexpr std::string_view kHashingVariant = "v1";
constexpr std::size_t kMaxDimension = 65536;

Status malformed(std::string_view spec, std::string_view why) {
  return {Code::kInvalidArgument, fmt::format("embedder '{}': {}; expected {}", spec, why, kGrammar)};
}

Result<std::size_t> parse_dimension(std::string_view spec, std::string_view text) {
  std::size_t dimension = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), dimension);
  if (error != std::errc() || end != text.data() + text.size() || dimension == 0 || dimension > kMaxDimension) {
    return malformed(spec, fmt::format("'{}' is not a dimension from 1 to {}", text, kMaxDimension));
  }
  return dimension;
}

Status apply_parameter(std::string_view spec, std::string_view name, std::string_view value, HashingOptions& options) {
  if (name == "delay") {
    const Result<Duration> delay = parse_duration(value);
    if (!delay.ok()) {
      return malformed(spec, delay.status().message());
    }
    options.delay = *delay;
    return {};
  }
  if (name == "log") {
    if (value.empty()) {
      return malformed(spec, "log needs a file");
    }
    options.log_file = value;
    return {};
  }
  return malformed(spec, fmt::format("unknown parameter '{}'", name));
}

Status apply_parameters(std::string_view spec, std::string_view parameters, HashingOptions& options) {
  std::set<std::string_view> seen;
  while (!parameters.empty()) {
    const std::string_view parameter = parameters.substr(0, parameters.find('&'));
    parameters.remove_prefix(std::min(parameters.size(), parameter.size() + 1));
    const auto equals = parameter.find('=');
    if (equals == std::string_view::npos) {
      return malformed(spec, fmt::format("'{}' is not name=value", parameter));
    }
    const std::string_view name = parameter.substr(0, equals);
    if (!seen.insert(name).second) {
      return malformed(spec, fmt::format("'{}' is given twice", name));
    }
    if (Status status = apply_parameter(spec, name, parameter.substr(equals + 1), options); !status.ok()) {
      return status;
    }
  }
  return {};
}

bool is_http(std::string_view kind) {
  return kind == "ollama" || kind == "openai" || kind == "tei";
}

Result<std::shared_ptr<Embedder>> make_over_http(std::string_view spec) {
#ifdef EMBEDJOBS_HAS_HTTP
  const Result<HttpEmbedderOptions> options = parse_http_embedder(spec);
  return options.ok() ? make_http_embedder(*options) : Result<std::shared_ptr<Embedder>>(options.status());
#else
  (void)spec;
  return {Code::kInvalidArgument, "this build has no embedders over HTTP"};
#endif
}

}  // namespace

std::string core::rememberable(std::string_view spec) {
  if (!is_http(spec.substr(0, spec.find_first_of(":@?")))) {
    return {};
  }
  // The options of one call may hold a proxy's password.
  const auto question = spec.find('?');
  std::string kept(spec.substr(0, question));
  std::string_view rest = question == std::string_view::npos ? std::string_view() : spec.substr(question + 1);
  for (char mark = '?'; !rest.empty();) {
    const std::string_view option = rest.substr(0, rest.find('&'));
    rest.remove_prefix(std::min(rest.size(), option.size() + 1));
    if (!option.starts_with("proxy=") || option.find('@') == std::string_view::npos) {
      kept += std::exchange(mark, '&');
      kept += option;
    }
  }
  return kept;
}

Result<std::shared_ptr<Embedder>> make_embedder(std::string_view spec) {
  const auto question = spec.find('?');
  const std::string_view head = spec.substr(0, question);
  const auto colon = head.find(':');
  const std::string_view kind = head.substr(0, head.find_first_of(":@"));
  if (is_http(kind)) {
    return make_over_http(spec);
  }
  if (kind == "none" || kind == "noop") {
    // The first system stored zero vectors when its provider was off.
    return {Code::kInvalidArgument,
            fmt::format("embedder '{}' is off: nothing can be embedded with it; name one, as {}", spec, kGrammar)};
  }
  if (kind != kHashingModel) {
    return malformed(spec,
                     kind.empty() ? std::string("it has no name") : fmt::format("there is no embedder '{}'", kind));
  }
  HashingOptions options;
  if (colon != std::string_view::npos) {
    const Result<std::size_t> dimension = parse_dimension(spec, head.substr(colon + 1));
    if (!dimension.ok()) {
      return dimension.status();
    }
    options.dimension = *dimension;
  }
  if (question != std::string_view::npos) {
    if (Status status = apply_parameters(spec, spec.substr(question + 1), options); !status.ok()) {
      return status;
    }
  }
  return make_hashing_embedder(options);
}

Result<std::shared_ptr<Embedder>> make_remembered_embedder(std::string_view spec, std::string_view space_id) {
  const Result<std::string> told = embedder_spec_for(space_id);
  if (told.ok()) {
    return make_embedder(*told);
  }
  if (spec.empty()) {
    return {Code::kNotFound, "which embedder makes the vectors is not recorded"};
  }
#ifdef EMBEDJOBS_HAS_HTTP
  Result<HttpEmbedderOptions> options = parse_http_embedder(spec);
  if (!options.ok()) {
    return options.status();
  }
  options->environment_key = options->url.empty();
  Result<std::shared_ptr<Embedder>> made = make_http_embedder(*options);
  const Result<Space> wanted = parse_space(space_id);
  if (!made.ok() || !wanted.ok() || (*made)->adopt(*wanted)) {
    return made;
  }
  return {Code::kRefused,
          fmt::format("the embedder that the database remembers, {}, makes no vectors of space {}", spec, space_id)};
#else
  return {Code::kRefused, "this build has no embedders over HTTP"};
#endif
}

Result<std::string> embedder_spec_for(std::string_view space_id) {
  Result<Space> space = parse_space(space_id);
  if (!space.ok()) {
    return space.status();
  }
  if (space->model != kHashingModel || space->variant != kHashingVariant) {
    return {Code::kNotFound,
            fmt::format("which embedder makes vectors of space '{}' can't be told from its name: name it", space_id)};
  }
  return fmt::format("{}:{}", kHashingModel, space->dimension);
}

}  // namespace embedjobs
