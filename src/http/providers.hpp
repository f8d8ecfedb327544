// What is known of each provider before it is asked, in tables: addresses, limits, prefixes.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "embedjobs/http.hpp"

namespace embedjobs::http {

/// Limits change: options override each of them. Zero: none known.
struct ProviderTraits {
  ProviderKind kind;
  std::string_view name;
  std::string_view default_url;
  std::size_t concurrent_calls;
  std::size_t batch_texts;
  std::size_t batch_bytes;
  std::size_t batch_tokens;
  std::size_t input_bytes;  ///< A text above it is certainly too long: it is cut before it is sent.
};
const ProviderTraits& traits_of(ProviderKind kind);

struct Prefixes {
  std::string document, query;
};
/// What a model was trained with, told from its name; empty for one that is not known.
Prefixes known_prefixes(std::string_view model);

/// The name by which a model is known in a space: what Ollama calls "m:latest" is "m".
std::string canonical_model(ProviderKind kind, std::string_view model);
/// The space of vectors made with these prefixes. An id that fits is readable; long prefixes are named by their hash.
Space make_space(ProviderKind kind, std::string_view model, std::size_t dimension, const Prefixes& prefixes);

}  // namespace embedjobs::http
