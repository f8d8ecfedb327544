#include "hashing/features.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>

namespace embedjobs::hashing {
namespace {

// What a feature is. Its number is mixed into the hash (the word "abc" is not the gram "abc") and kept in the two top
// bits of it, so that equal features can be counted by sorting plain numbers.
enum class Kind : std::uint64_t { kWord = 0, kCommonWord = 1, kPair = 2, kGram = 3 };
// A word outweighs its neighbours and its about 3 x length grams together; words that are everywhere say little.
constexpr std::array<double, 4> kWeights{1.0, 0.25, 0.5, 0.2};
constexpr int kKindShift = 62;
constexpr std::size_t kMinGram = 3;
constexpr std::size_t kMaxGram = 5;
constexpr char kBoundary = '\x01';

// Sorted, for binary search.
constexpr std::array<std::string_view, 31> kCommonWords{
    "a",  "all", "an", "and", "any", "are", "as", "at",   "be",  "by",   "can", "do",  "for",  "from", "how", "i",
    "in", "is",  "it", "my",  "of",  "on",  "or", "that", "the", "this", "to",  "was", "what", "will", "with"};

bool is_common(std::string_view word) {
  return std::binary_search(kCommonWords.begin(), kCommonWords.end(), word);
}

// FNV-1a, then the finaliser of MurmurHash3: FNV alone spreads short keys badly in its high bits.
std::uint64_t hash_bytes(std::string_view bytes, Kind kind) {
  std::uint64_t hash = 0xcbf29ce484222325ULL ^ (static_cast<std::uint64_t>(kind) * 0x9e3779b97f4a7c15ULL);
  for (const char byte : bytes) {
    hash = (hash ^ static_cast<unsigned char>(byte)) * 0x100000001b3ULL;
  }
  hash = (hash ^ (hash >> 33)) * 0xff51afd7ed558ccdULL;
  hash = (hash ^ (hash >> 33)) * 0xc4ceb9fe1a85ec53ULL;
  return hash ^ (hash >> 33);
}

std::uint64_t feature(std::string_view bytes, Kind kind) {
  return (hash_bytes(bytes, kind) & ~(std::uint64_t{3} << kKindShift)) |
         (static_cast<std::uint64_t>(kind) << kKindShift);
}

bool is_upper(char c) {
  return c >= 'A' && c <= 'Z';
}
bool is_word_byte(char c) {
  return is_upper(c) || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || static_cast<unsigned char>(c) >= 0x80;
}

// True when a word ends between text[i-1] and text[i], both word bytes: lower|Upper, and UPPER|Upper-lower.
bool is_camel_boundary(std::string_view text, std::size_t i) {
  if (!is_upper(text[i])) {
    return false;
  }
  if (!is_upper(text[i - 1])) {
    return true;
  }
  return i + 1 < text.size() && text[i + 1] >= 'a' && text[i + 1] <= 'z';
}

std::string lower(std::string_view word) {
  std::string result(word);
  for (char& c : result) {
    c = is_upper(c) ? static_cast<char>(c - 'A' + 'a') : c;
  }
  return result;
}

// Plain plurals meet their singular: "users" and "user", "policies" and "policy". Not linguistics, and wrong words stay
// consistent.
std::string_view without_plural(const std::string& word, std::string& buffer) {
  if (word.size() > 4 && word.ends_with("ies")) {
    buffer.assign(word, 0, word.size() - 3);
    buffer += 'y';
    return buffer;
  }
  if (word.size() > 3 && word.ends_with('s') && !word.ends_with("ss") && !word.ends_with("us")) {
    return std::string_view(word).substr(0, word.size() - 1);
  }
  return word;
}

void add_grams(std::string_view word, std::vector<std::uint64_t>& features) {
  std::string marked;
  marked.reserve(word.size() + 2);
  marked += kBoundary;
  marked += word;
  marked += kBoundary;
  for (std::size_t length = kMinGram; length <= kMaxGram; ++length) {
    for (std::size_t start = 0; start + length <= marked.size(); ++start) {
      features.push_back(feature(std::string_view(marked).substr(start, length), Kind::kGram));
    }
  }
}

std::vector<std::uint64_t> features_of(std::string_view text) {
  std::vector<std::uint64_t> features;
  std::string previous;
  std::string buffer;
  std::string pair;
  for (const std::string& word : words_of(text)) {
    const std::string_view stem = without_plural(word, buffer);
    if (is_common(word)) {
      features.push_back(feature(word, Kind::kCommonWord));
      continue;  // no grams, and no pairs: "list of users" has the pair of "list users"
    }
    features.push_back(feature(stem, Kind::kWord));
    add_grams(stem, features);
    if (!previous.empty()) {
      pair.assign(previous).append(1, kBoundary).append(stem);
      features.push_back(feature(pair, Kind::kPair));
    }
    previous = stem;
  }
  return features;
}

}  // namespace

std::vector<std::string> words_of(std::string_view text) {
  std::vector<std::string> words;
  std::size_t start = 0;
  for (std::size_t i = 0; i <= text.size(); ++i) {
    const bool inside = i < text.size() && is_word_byte(text[i]);
    const bool ends = i > start && (!inside || is_camel_boundary(text, i));
    if (ends) {
      words.push_back(lower(text.substr(start, i - start)));
      start = i;
    }
    if (!inside) {
      start = i + 1;
    }
  }
  return words;
}

void hash_features(std::string_view text, std::span<float> vector) {
  std::vector<std::uint64_t> features = features_of(text);
  std::sort(features.begin(), features.end());
  std::vector<double> sums(vector.size());
  double square = 0;
  // In the order of the hashes, so that the sums are the same whatever the order of the words.
  for (std::size_t i = 0; i < features.size();) {
    std::size_t next = i + 1;
    while (next < features.size() && features[next] == features[i]) {
      ++next;
    }
    const std::uint64_t hash = features[i];
    // The second occurrence of a word says less than the first.
    const double weight = std::sqrt(static_cast<double>(next - i)) * kWeights[hash >> kKindShift];
    sums[(hash >> 1) % vector.size()] += (hash & 1) != 0 ? weight : -weight;
    i = next;
  }
  for (const double sum : sums) {
    square += sum * sum;
  }
  if (!(square > 1e-12)) {  // no words, or all features cancelled each other: the text as a whole is the only feature
    std::fill(sums.begin(), sums.end(), 0.0);
    sums[(hash_bytes(text, Kind::kWord) >> 1) % sums.size()] = 1;
    square = 1;
  }
  const double norm = std::sqrt(square);
  std::transform(sums.begin(), sums.end(), vector.begin(),
                 [norm](double sum) { return static_cast<float>(sum / norm); });
}

}  // namespace embedjobs::hashing
