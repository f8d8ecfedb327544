// Any bytes may come as a provider's answer: vectors that may be stored, or a fault; an error text that fits a message,
// and a decision. The first byte says how many texts were asked for (low four bits) and of which dimension (high four,
// 0: not known).
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "core/values/utf8.hpp"
#include "http/clean_text.hpp"
#include "http/decision.hpp"
#include "http/error_body.hpp"
#include "http/response.hpp"

namespace {

using namespace embedjobs;
using namespace embedjobs::http;

void require(bool condition) {
  if (!condition) {
    std::abort();
  }
}

void check_vectors(const Matrix& vectors, std::size_t rows, std::size_t dimension) {
  require(vectors.rows() == rows && (dimension == 0 || vectors.dimension() == dimension));
  for (std::size_t row = 0; row < rows; ++row) {
    bool zero = true;
    for (const float value : vectors.row(row)) {
      require(std::isfinite(value));
      zero = zero && value == 0.0F;
    }
    require(!zero);
  }
}

void check_line(const std::string& line, std::size_t most) {
  require(line.size() <= most + 3 && core::is_valid_utf8(line));
  for (const char c : line) {
    require(static_cast<unsigned char>(c) >= 0x20 && c != 0x7f);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) {
    return 0;
  }
  const std::size_t rows = 1 + (data[0] & 15U);
  const std::size_t dimension = data[0] >> 4U;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  static ResponseParser parser;
  Body body;
  body.assign(text);
  Matrix vectors;
  const Reading reading = parser.read(body, rows, dimension, vectors);
  if (reading.fault == Fault::kNone) {
    check_vectors(vectors, rows, dimension);
  } else {
    require(reading.fault >= Fault::kBrokenJson && !reading.detail.empty());
  }
  const ErrorBody error = read_error(body);
  check_line(clean_text(error.message, "secret-key", 200), 200);
  require(clean_text(text, "secret-key", 1000).find("secret-key") == std::string::npos);
  for (const int status : {400, 404, 429, 500, 503}) {
    require(
        decide({.kind = ProviderKind::kOpenAi, .fault = Fault::kNone, .status = status, .error = error}).status_to >=
        status);
  }
  (void)parser.read_member(body, "model_id");
  return 0;
}
