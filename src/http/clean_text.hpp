// What a provider wrote, made fit for a message: short, one line, nothing secret.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace embedjobs::http {

/// A key of fewer bytes is no secret: local servers take any word, and every message would be full of holes.
constexpr std::size_t kShortestSecret = 8;

/// At most `max_bytes` of `text`, cut on a code-point boundary, with "..." where something is missing: white space and
/// control characters become single spaces, bytes that are not UTF-8 question marks; `key` (if it is long enough to be
/// one, in any case, plain or escaped) and any 8 characters or more of it, what follows "Bearer", "api-key:" or
/// "Authorization:", and words that look like keys ("sk-...") become "[key]". A text of kErrorBodyBytes or more counts
/// as cut there: the beginning of a key at its end goes as well.
std::string clean_text(std::string_view text, std::string_view key, std::size_t max_bytes);
/// Whether `text` holds the key, in any case, plain or escaped.
bool contains_key(std::string_view text, std::string_view key);

}  // namespace embedjobs::http
