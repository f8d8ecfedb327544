#include <catch2/catch.hpp>

#include <array>
#include <cstring>

#include "embedjobs/embedder.hpp"
#include "http/base64.hpp"
#include "http/error_body.hpp"
#include "http/foreign_base64.hpp"
#include "http/response.hpp"

using namespace embedjobs;
using namespace embedjobs::http;

namespace {

struct Read {
  Reading reading;
  Matrix vectors;
};
Read read(std::string_view json, std::size_t rows, std::size_t dimension = 0) {
  ResponseParser parser;
  Body body;
  body.assign(json);
  Read result;
  result.reading = parser.read(body, rows, dimension, result.vectors);
  return result;
}
Fault fault_of(std::string_view json, std::size_t rows, std::size_t dimension = 0) {
  return read(json, rows, dimension).reading.fault;
}
std::vector<float> row(const Matrix& matrix, std::size_t index) {
  const auto values = matrix.row(index);
  return {values.begin(), values.end()};
}
using Row = std::vector<float>;

}  // namespace

TEST_CASE("all shapes of answers are read") {
  Read ollama = read(R"({"model":"m","embeddings":[[1,2],[3,-4.5e0]],"prompt_eval_count":7})", 2);
  CHECK(ollama.reading.fault == Fault::kNone);
  CHECK(row(ollama.vectors, 1) == Row{3, -4.5});
  CHECK(ollama.reading.prompt_tokens == 7);
  CHECK(row(read(R"({"embedding":[0.25]})", 1).vectors, 0) == Row{0.25});
  CHECK(row(read(R"([[1,2],[3,4]])", 2).vectors, 1) == Row{3, 4});
  Read openai = read(
      R"({"object":"list","data":[{"embedding":[1,2],"index":0,"object":"embedding"}],"usage":{"prompt_tokens":3}})",
      1);
  CHECK(row(openai.vectors, 0) == Row{1, 2});
  CHECK(openai.reading.prompt_tokens == 3);
  CHECK(row(read(R"({"data":[{"index":0,"embedding":"AACAPwAAAEA="}]})", 1).vectors, 0) == Row{1, 2});
  CHECK(row(read(R"({"data":[{"embedding":[1]},{"embedding":[2]}]})", 2).vectors, 1) ==
        Row{2});  // no indices: by position
}

TEST_CASE("the order is the index's, whatever the order of records and members") {
  const Read mixed =
      read(R"({"data":[{"embedding":[3],"index":2},{"index":0,"embedding":[1]},{"index":3,"embedding":[4]},)"
           R"({"embedding":[2],"index":1}]})",
           4);
  REQUIRE(mixed.reading.fault == Fault::kNone);
  for (std::size_t i = 0; i < 4; ++i) {
    CHECK(row(mixed.vectors, i) == Row{static_cast<float>(i + 1)});
  }
  const Read late =
      read(R"({"data":[{"index":0,"embedding":[1]},{"index":2,"embedding":[3]},{"index":1,"embedding":[2]}]})", 3);
  CHECK(row(late.vectors, 0) == Row{1});
  CHECK(row(late.vectors, 1) == Row{2});
  CHECK(row(late.vectors, 2) == Row{3});
}

TEST_CASE("an order that can't be told is refused") {
  CHECK(fault_of(R"({"data":[{"index":0,"embedding":[1]},{"index":0,"embedding":[2]}]})", 2) == Fault::kWrongOrder);
  CHECK(fault_of(R"({"data":[{"index":1,"embedding":[1]},{"index":1,"embedding":[2]}]})", 2) == Fault::kWrongOrder);
  CHECK(fault_of(R"({"data":[{"index":2,"embedding":[1]},{"index":1,"embedding":[2]}]})", 2) == Fault::kWrongOrder);
  for (const char* const index : {"-1", "0.5", "\"0\"", "1,\"index\":1", "3"}) {
    INFO(index);
    CHECK(fault_of(std::string(R"({"data":[{"index":)") + index + R"(,"embedding":[1]},{"index":0,"embedding":[2]}]})",
                   2) == Fault::kWrongOrder);
  }
  CHECK(fault_of(R"({"data":[{"embedding":[1]},{"embedding":[2]},{"index":1,"embedding":[3]}]})", 3) ==
        Fault::kWrongOrder);
  CHECK(fault_of(R"({"data":[{"embedding":[1]},{"index":1,"embedding":[3]},{"embedding":[2]}]})", 3) ==
        Fault::kWrongOrder);
}

TEST_CASE("the one vector without an index has the place that is left: some writers leave zeros out") {
  for (const auto& [json, wanted] : std::vector<std::pair<std::string, std::vector<Row>>>{
           {R"({"data":[{"embedding":[1]},{"index":1,"embedding":[2]}]})", {{1}, {2}}},
           {R"({"data":[{"index":1,"embedding":[2]},{"embedding":[1]}]})", {{1}, {2}}},
           {R"({"data":[{"index":2,"embedding":[3]},{"embedding":[1]},{"index":1,"embedding":[2]}]})", {{1}, {2}, {3}}},
           {R"({"data":[{"embedding":[1]},{"index":2,"embedding":[3]},{"index":1,"embedding":[2]}]})", {{1}, {2}, {3}}},
           {R"({"data":[{"index":0,"embedding":[1]},{"index":null,"embedding":[2]},{"index":2,"embedding":[3]}]})",
            {{1}, {2}, {3}}}}) {
    INFO(json);
    const Read answer = read(json, wanted.size());
    REQUIRE(answer.reading.fault == Fault::kNone);
    for (std::size_t i = 0; i < wanted.size(); ++i) {
      CHECK(row(answer.vectors, i) == wanted[i]);
    }
  }
}

TEST_CASE("of one vector for one text there is no order to be told") {
  for (const char* const index : {"0", "1", "-1", "0.5", "\"0\"", "null"}) {
    INFO(index);
    CHECK(fault_of(std::string(R"({"data":[{"index":)") + index + R"(,"embedding":[1]}]})", 1) == Fault::kNone);
  }
}

TEST_CASE(
    "base64 that is not of little-endian 32-bit floats is told by its length, or by numbers that no model makes") {
  CHECK(foreign_by_length(16, 8) == "64-bit floats");
  CHECK(foreign_by_length(4, 8) == "16-bit floats");
  CHECK(foreign_by_length(9, 8).empty());
  CHECK(foreign_by_values(Row{0.6F, -0.8F}).empty());
  CHECK(foreign_by_values(Row{1.875F, 1.875F, 0.1F, 1.9F}).empty());
  CHECK(foreign_by_values(Row{0, 0}).empty());
  CHECK(fault_of(R"({"data":[{"index":0,"embedding":"AACAPwAAAEA="}]})", 1, 1) == Fault::kForeignBase64);  // two of one
}

TEST_CASE("an answer says which model made it") {
  CHECK(read(R"({"model":"m","embeddings":[[1]]})", 1).reading.model == "m");
  CHECK(read(R"({"data":[{"index":0,"embedding":[1]}],"model":"m-2"})", 1).reading.model == "m-2");
  CHECK(read(R"({"model":null,"embeddings":[[1]]})", 1).reading.model.empty());
}

TEST_CASE("counts and dimensions must be what was asked") {
  CHECK(fault_of("[[1],[2]]", 3) == Fault::kWrongCount);
  CHECK(fault_of("[[1],[2]]", 1) == Fault::kWrongCount);
  CHECK(fault_of(R"({"embedding":[1]})", 2) == Fault::kWrongCount);
  CHECK(fault_of("[[1,2],[3]]", 2) == Fault::kWrongDimension);
  CHECK(fault_of("[[1],[2,3]]", 2) == Fault::kWrongDimension);
  CHECK(fault_of("[[1,2]]", 1, 3) == Fault::kWrongDimension);
  CHECK(fault_of(R"({"data":[{"index":0,"embedding":"AACAPwAAAEA="}]})", 1, 3) == Fault::kWrongDimension);
  CHECK(fault_of("[[]]", 1) == Fault::kEmptyAnswer);
  CHECK(fault_of("[[]]", 1, 2) == Fault::kEmptyAnswer);
  CHECK(fault_of("[]", 1) == Fault::kEmptyAnswer);
  CHECK(fault_of(R"({"embeddings":[]})", 1) == Fault::kEmptyAnswer);
  CHECK(fault_of(R"({"embedding":[]})", 1) == Fault::kEmptyAnswer);
  CHECK(fault_of(R"({"data":[{"index":0,"embedding":""}]})", 1) == Fault::kEmptyAnswer);
  CHECK(fault_of("", 1) == Fault::kEmptyAnswer);
}

TEST_CASE("what is not finite, or all zeros, is refused in every notation") {
  for (const char* number : {"NaN", "-NaN", "nan", "Infinity", "-Infinity", "inf", "null", "1e39", "-1e39"}) {
    INFO(number);
    CHECK(fault_of(std::string("[[1,") + number + "]]", 1) == Fault::kNotFinite);
  }
  CHECK(fault_of("[null]", 1) == Fault::kNotFinite);
  CHECK(fault_of("[[1],[0]]", 2) == Fault::kZeroVector);
  CHECK(fault_of("[[0.0,-0.0]]", 1) == Fault::kZeroVector);
  CHECK(fault_of("[[1e-300]]", 1) == Fault::kZeroVector);                                           // as a float
  CHECK(fault_of(R"({"data":[{"index":0,"embedding":"AADAfwAAAEA="}]})", 1) == Fault::kNotFinite);  // a quiet NaN
  CHECK(fault_of(R"({"data":[{"index":0,"embedding":"AAAAAAAAAIA="}]})", 1) == Fault::kZeroVector);
}

TEST_CASE("anything else is an error, never a vector") {
  for (const char* json : {"x",
                           "{",
                           "[",
                           "[[1",
                           "[[1]",
                           "[[1]]x",
                           "[[1]]]",
                           R"({"embeddings":[[1]})",
                           R"({"embeddings":[[1]]}})",
                           "[[1,]]",
                           "[[,1]]",
                           "[[1 2]]",
                           "[[01]]",
                           "[[1.]]",
                           "[[1e]]",
                           "[[+1]]",
                           "[[0x1]]",
                           "[[1e999]]",
                           "[[true]]",
                           "\xff\xfe",
                           "[[1]]\xff",
                           R"({"embeddings":[[1]],})",
                           R"({embeddings:[[1]]})",
                           R"({"embeddings" [[1]]})"}) {
    INFO(json);
    CHECK(fault_of(json, 1) != Fault::kNone);
  }
  for (const char* json :
       {"1", "\"text\"", "true", "{}", R"({"error":"no"})", R"({"embeddings":1})", R"({"embeddings":{"0":[1]}})",
        R"({"data":[[1]]})", R"({"data":[{"index":0}]})", R"({"data":[{"index":0,"embedding":7}]})",
        R"({"data":[{"index":0,"embedding":{}}]})", R"({"data":[{"index":0,"embedding":[1],"embedding":[1]}]})",
        R"({"embeddings":[[1]],"data":[]})"}) {
    INFO(json);
    CHECK(fault_of(json, 1) == Fault::kWrongShape);
  }
  for (const char* json : {R"({"data":[{"embedding":"AAA"}]})", R"({"data":[{"embedding":"AAAA"}]})",
                           R"({"data":[{"embedding":"AACAPw="}]})", R"({"data":[{"embedding":"AACA!w=="}]})",
                           R"({"data":[{"embedding":"AACAPx=="}]})", R"({"data":[{"embedding":"===="}]})",
                           R"({"data":[{"embedding":"AA==AA=="}]})"}) {
    INFO(json);
    CHECK(fault_of(json, 1) == Fault::kForeignBase64);
  }
  CHECK(fault_of("[[[1]]]", 1) != Fault::kNone);
  CHECK(fault_of(std::string(100'000, '['), 1) != Fault::kNone);
  CHECK(fault_of(R"({"a":)" + std::string(100'000, '[') + std::string(100'000, ']') + R"(,"embeddings":[[1]]})", 1) ==
        Fault::kNone);
}

TEST_CASE("an escaped slash in base64 is a slash") {
  CHECK(row(read(R"({"data":[{"embedding":"AACAPwAA\/0A="}]})", 1).vectors, 0) == Row{1.0F, 7.96875F});
}

TEST_CASE("base64 of every length is decoded, and a wrong character anywhere is seen") {
  constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  for (std::size_t floats = 1; floats < 70; ++floats) {
    std::vector<std::uint8_t> bytes(floats * 4);
    for (std::size_t i = 0; i < bytes.size(); ++i) {
      bytes[i] = static_cast<std::uint8_t>(i * 37 + floats);
    }
    std::string text;
    for (std::size_t i = 0; i < bytes.size(); i += 3) {
      const auto byte = [&](std::size_t at) { return at < bytes.size() ? std::uint32_t{bytes[at]} : 0U; };
      const std::uint32_t group = (byte(i) << 16) | (byte(i + 1) << 8) | byte(i + 2);
      for (int shift = 18; shift >= 0; shift -= 6) {
        text += kAlphabet[(group >> shift) & 63];
      }
    }
    const std::size_t padding = (3 - bytes.size() % 3) % 3;
    text.replace(text.size() - padding, padding, padding, '=');
    REQUIRE(base64_floats(text) == floats);
    std::vector<float> row(floats);
    REQUIRE(decode_base64(text, row));
    CHECK(std::memcmp(row.data(), bytes.data(), bytes.size()) == 0);
    for (std::size_t at = 0; at + padding < text.size(); ++at) {
      for (const char wrong : {'-', '_', '=', ' ', '\0', '\x80', '\xff', '@', '[', '`', '{', ':', '.'}) {
        std::string broken = text;
        broken[at] = wrong;
        if (base64_floats(broken) == floats) {
          INFO(floats << " floats, position " << at << ", character " << static_cast<int>(wrong));
          CHECK_FALSE(decode_base64(broken, row));
        }
      }
    }
  }
}

TEST_CASE("errors are read in all their shapes") {
  Body body;
  const auto error = [&](std::string_view text) {
    body.assign(text);
    return read_error(body);
  };
  CHECK(error(R"({"error":"plain"})").message == "plain");
  CHECK(error(R"({"error":"plain","error_type":"Validation"})").type == "Validation");
  const ErrorBody openai = error(R"({"error":{"message":"m","type":"t","param":null,"code":"c"}})");
  CHECK(openai.message == "m");
  CHECK(openai.type == "t");
  CHECK(openai.code == "c");
  CHECK(openai.json);
  CHECK(error(R"({"message":"flat","code":429,"type":"overloaded"})").code == "429");
  CHECK(error(R"({"detail":"from FastAPI"})").message == "from FastAPI");
  CHECK(error(R"({"detail":[{"type":"string_too_long","loc":["body","input",0],"msg":"too long"}]})").message ==
        "too long (at body.input.0)");
  CHECK(error(R"({"error":{"message":[{"msg":"no more than 1000 characters"}],"type":"t"}})").message ==
        "no more than 1000 characters");
  CHECK(error(R"([{"error":{"code":400,"message":"as a list","status":"INVALID_ARGUMENT"}}])").message == "as a list");
  CHECK(error(R"({"error":true,"message":"beside it"})").message == "beside it");
  CHECK(error(R"({"errors":["the first","the second"]})").message == "the first");
  CHECK(error(R"({"title":"Bad Request","status":400,"detail":"what is bad"})").message == "what is bad");
  CHECK(error(R"({"data":[]})").message == R"({"data":[]})");
  CHECK_FALSE(error(R"({"data":[]})").words);
  for (const char* const page :
       {"<!doctype html><html><title>Sign in</title></html>", "\n <HTML><HEAD><TITLE lang=en>Sign in</TITLE></HEAD>",
        "\xef\xbb\xbf<html><h1>Sign in</h1>", "<?xml version=\"1.0\"?><html><title>Sign in</title></html>"}) {
    INFO(page);
    CHECK(error(page).page);
    CHECK(error(page).message == "Sign in");
  }
  CHECK(error("<center>cut").page);
  CHECK_FALSE(error("<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code></Error>").page);
  CHECK_FALSE(error("404 page not found").json);
  CHECK(error("404 page not found").message == "404 page not found");
  CHECK_FALSE(error(R"({"error":"cut)").json);
  CHECK_FALSE(error("").json);
  CHECK(error(std::string(100'000, 'x')).message.size() == kErrorBodyBytes);
}
