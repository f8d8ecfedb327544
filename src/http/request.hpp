// What providers are asked: JSON bodies.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "embedjobs/http.hpp"

namespace embedjobs::http {

/// Appends `text`, which is valid UTF-8, as a JSON string with its quotes.
void append_json_string(std::string& body, std::string_view text);

/// How an OpenAI-compatible server is asked for its numbers. Some refuse base64, and some the field.
enum class NumberFormat { kBase64, kFloat, kUnsaid };

struct Question {
  ProviderKind kind = ProviderKind::kOllama;
  std::string_view model, prefix;
  std::size_t dimensions = 0;                  ///< Zero: the provider's own.
  NumberFormat format = NumberFormat::kFloat;  ///< OpenAI only.
  bool old_route = false;                      ///< Ollama's route of one text.
};
/// The body that asks for vectors of `texts`; one text on the old route. A provider is never allowed to cut a text by
/// itself: nobody would know that the vector stands for a part.
void write_question(const Question& question, std::span<const std::string_view> texts, std::string& body);

}  // namespace embedjobs::http
