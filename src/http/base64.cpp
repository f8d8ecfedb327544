#include "http/base64.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <cstring>

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#define EMBEDJOBS_BASE64_AVX2 1
#include <immintrin.h>
#endif

namespace embedjobs::http {
namespace {

constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::uint8_t kInvalid = 0xff;

constexpr std::array<std::uint8_t, 256> make_values() {
  std::array<std::uint8_t, 256> values{};
  for (auto& value : values) {
    value = kInvalid;
  }
  for (std::size_t i = 0; i < kAlphabet.size(); ++i) {
    values[static_cast<unsigned char>(kAlphabet[i])] = static_cast<std::uint8_t>(i);
  }
  return values;
}
constexpr std::array<std::uint8_t, 256> kValues = make_values();

std::size_t padding_of(std::string_view text) {
  return text.size() - std::min(text.size(), text.find_last_not_of('=') + 1);
}

// Whole groups of four characters to three bytes; `text` has no padding and its size is a multiple of four.
bool decode_groups(const char* text, std::size_t size, std::uint8_t* out) {
  std::uint8_t wrong = 0;
  for (std::size_t i = 0; i < size; i += 4, out += 3) {
    const std::uint8_t a = kValues[static_cast<unsigned char>(text[i])],
                       b = kValues[static_cast<unsigned char>(text[i + 1])];
    const std::uint8_t c = kValues[static_cast<unsigned char>(text[i + 2])],
                       d = kValues[static_cast<unsigned char>(text[i + 3])];
    wrong = static_cast<std::uint8_t>(wrong | a | b | c | d);
    out[0] = static_cast<std::uint8_t>((a << 2) | (b >> 4));
    out[1] = static_cast<std::uint8_t>((b << 4) | (c >> 2));
    out[2] = static_cast<std::uint8_t>((c << 6) | d);
  }
  return (wrong & 0x80) == 0;  // values have six bits
}

#ifdef EMBEDJOBS_BASE64_AVX2
constexpr std::size_t kStep = 32;        // characters
constexpr std::size_t kStepBytes = 24;   // what they decode to
constexpr std::size_t kStoreBytes = 32;  // what is written for them

// 32 characters a step, as far as the stores stay inside `capacity`; returns how many were decoded, or none for a wrong
// character.
__attribute__((target("avx2"))) std::optional<std::size_t> decode_wide(const char* text, std::size_t size,
                                                                       std::uint8_t* out, std::size_t capacity) {
  const __m256i order = _mm256_setr_epi8(2, 1, 0, 6, 5, 4, 10, 9, 8, 14, 13, 12, -1, -1, -1, -1, 2, 1, 0, 6, 5, 4, 10,
                                         9, 8, 14, 13, 12, -1, -1, -1, -1);
  const __m256i together = _mm256_setr_epi32(0, 1, 2, 4, 5, 6, 3, 7);
  std::size_t done = 0;
  std::size_t written = 0;
  __m256i all_valid = _mm256_set1_epi8(-1);
  for (; done + kStep <= size && written + kStoreBytes <= capacity; done += kStep, written += kStepBytes) {
    const __m256i in = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(text + done));
    // Each range of the alphabet by comparison, and what must be added to its characters to have their values.
    const __m256i upper = _mm256_and_si256(_mm256_cmpgt_epi8(in, _mm256_set1_epi8('A' - 1)),
                                           _mm256_cmpgt_epi8(_mm256_set1_epi8('Z' + 1), in));
    const __m256i lower = _mm256_and_si256(_mm256_cmpgt_epi8(in, _mm256_set1_epi8('a' - 1)),
                                           _mm256_cmpgt_epi8(_mm256_set1_epi8('z' + 1), in));
    const __m256i digit = _mm256_and_si256(_mm256_cmpgt_epi8(in, _mm256_set1_epi8('0' - 1)),
                                           _mm256_cmpgt_epi8(_mm256_set1_epi8('9' + 1), in));
    const __m256i plus = _mm256_cmpeq_epi8(in, _mm256_set1_epi8('+'));
    const __m256i slash = _mm256_cmpeq_epi8(in, _mm256_set1_epi8('/'));
    __m256i shift = _mm256_or_si256(_mm256_and_si256(upper, _mm256_set1_epi8(-'A')),
                                    _mm256_and_si256(lower, _mm256_set1_epi8(26 - 'a')));
    shift = _mm256_or_si256(shift, _mm256_and_si256(digit, _mm256_set1_epi8(52 - '0')));
    shift = _mm256_or_si256(shift, _mm256_and_si256(plus, _mm256_set1_epi8(62 - '+')));
    shift = _mm256_or_si256(shift, _mm256_and_si256(slash, _mm256_set1_epi8(63 - '/')));
    const __m256i letter = _mm256_or_si256(upper, lower);
    all_valid =
        _mm256_and_si256(all_valid, _mm256_or_si256(_mm256_or_si256(letter, digit), _mm256_or_si256(plus, slash)));
    const __m256i values = _mm256_add_epi8(in, shift);
    // Four times six bits to 24: pairs of bytes to 12 bits, pairs of those to 24.
    const __m256i twelve = _mm256_maddubs_epi16(values, _mm256_set1_epi32(0x01400140));
    const __m256i groups = _mm256_madd_epi16(twelve, _mm256_set1_epi32(0x00011000));
    const __m256i bytes = _mm256_permutevar8x32_epi32(_mm256_shuffle_epi8(groups, order), together);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + written), bytes);
  }
  if (_mm256_movemask_epi8(all_valid) != -1) {
    return std::nullopt;
  }
  return done;
}

bool has_avx2() {
  static const bool has = __builtin_cpu_supports("avx2") != 0;
  return has;
}
#endif

// The last group, with its padding: its spare bits must be zero.
bool decode_last(std::string_view group, std::size_t padding, std::uint8_t* out) {
  std::array<char, 4> letters{group[0], group[1], padding == 2 ? 'A' : group[2], 'A'};
  std::array<std::uint8_t, 3> bytes{};
  if (!decode_groups(letters.data(), letters.size(), bytes.data())) {
    return false;
  }
  const std::size_t used = 3 - padding;
  std::memcpy(out, bytes.data(), used);
  return std::all_of(bytes.begin() + static_cast<std::ptrdiff_t>(used), bytes.end(),
                     [](std::uint8_t spare) { return spare == 0; });
}

}  // namespace

std::optional<std::size_t> base64_floats(std::string_view text) {
  const std::size_t padding = padding_of(text);
  if (text.empty() || text.size() % 4 != 0 || padding > 2) {
    return std::nullopt;
  }
  const std::size_t bytes = text.size() / 4 * 3 - padding;
  return bytes % sizeof(float) == 0 ? std::optional(bytes / sizeof(float)) : std::nullopt;
}

bool decode_base64(std::string_view text, std::span<float> row) {
  const std::size_t padding = padding_of(text);
  auto* const out = reinterpret_cast<std::uint8_t*>(row.data());
  const std::size_t whole = padding == 0 ? text.size() : text.size() - 4;
  std::size_t done = 0;
#ifdef EMBEDJOBS_BASE64_AVX2
  if (has_avx2()) {
    const std::optional<std::size_t> wide = decode_wide(text.data(), whole, out, row.size_bytes());
    if (!wide) {
      return false;
    }
    done = *wide;
  }
#endif
  if (!decode_groups(text.data() + done, whole - done, out + done / 4 * 3)) {
    return false;
  }
  if (padding != 0 && !decode_last(text.substr(whole), padding, out + whole / 4 * 3)) {
    return false;
  }
  if constexpr (std::endian::native == std::endian::big) {
    for (float& value : row) {
      std::array<std::uint8_t, sizeof(float)> bytes{};
      std::memcpy(bytes.data(), &value, bytes.size());
      std::reverse(bytes.begin(), bytes.end());
      std::memcpy(&value, bytes.data(), bytes.size());
    }
  }
  return true;
}

}  // namespace embedjobs::http
