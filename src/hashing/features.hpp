// A text to its features, and features to a vector: the arithmetic of the hashing embedder, without its waiting and
// logging.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace embedjobs::hashing {

/// Words of a text, lower-case in ASCII: cut at everything that is no letter, digit or non-ASCII byte, and inside
/// camelCase ("getUserById" -> get, user, by, id; "HTTPServer" -> http, server).
std::vector<std::string> words_of(std::string_view text);

/// Fills `vector` with the L2-normalised signed sum of the text's features: words, pairs of neighbours, 3- to 5-byte
/// grams of words with boundary marks. Never zero, for any text. The same bits on every platform with IEEE arithmetic.
void hash_features(std::string_view text, std::span<float> vector);

}  // namespace embedjobs::hashing
