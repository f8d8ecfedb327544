// How YAML is read: scalars, escapes, merges, and what is no YAML. The rules of OpenAPI are in openapi_test.cpp.
#include "embedjobs/manifest.hpp"
#include "embedjobs/openapi.hpp"

#include <fmt/format.h>
#include <catch2/catch.hpp>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <string>

using namespace embedjobs;
using Catch::Matchers::Contains;

namespace {

Result<OperationList> split(std::string_view content) {
  return make_openapi_splitter()->split(content);
}

/// A document with one operation, whose fields are these lines.
std::string with_fields(std::string_view fields) {
  return fmt::format("openapi: 3.0.0\npaths:\n  /a:\n    get:\n      operationId: x\n{}", fields);
}

/// The text of the document's only operation, without the path at its end.
std::string text_of(std::string_view content) {
  const Result<OperationList> list = split(content);
  INFO(content);
  INFO(list.status().message());
  REQUIRE(list.ok());
  REQUIRE(list->size() == 1);
  const std::string_view text = list->text(0);
  REQUIRE(text.ends_with("/a"));
  return std::string(text.substr(0, text.size() - (text == "/a" ? 2 : 3)));
}

std::string summary(std::string_view written) {
  return text_of(with_fields(fmt::format("      summary: {}\n", written)));
}

std::string content_of(const std::filesystem::path& path) {
  std::ifstream stream(path, std::ios::binary);
  REQUIRE(stream.good());
  return std::string((std::istreambuf_iterator<char>(stream)), {});
}

std::string error_of(std::string_view content) {
  const Result<OperationList> list = split(content);
  INFO(content);
  REQUIRE_FALSE(list.ok());
  CHECK(list.status().code() == Code::kInvalidDocument);
  CHECK(list.status().message().find('\n') == std::string::npos);
  return list.status().message();
}

TEST_CASE("blank lines before a closing quote are line breaks, but for the first") {
  CHECK(summary("'Opens an account.\n\n\n        '") == "Opens an account.\n\n");
  CHECK(summary("\"Opens an account.\n\n\n        \"") == "Opens an account.\n\n");
  CHECK(summary("'Opens an account.\n        '") == "Opens an account. ");
  CHECK(summary("'a\n\n        b  \n        c'") == "a\nb c");
}

TEST_CASE("a block scalar keeps the line breaks that its header asks for") {
  const auto block = [](std::string_view header) {
    return text_of(
        with_fields(fmt::format("      description: {}\n        List\n        notes.\n\n\n      x-a: b\n", header)));
  };
  CHECK(block(">+") == "List notes.\n\n\n");
  CHECK(block(">") == "List notes.\n");
  CHECK(block(">-") == "List notes.");
  CHECK(block("|+") == "List\nnotes.\n\n\n");
  CHECK(block("|") == "List\nnotes.\n");
  CHECK(block("|-  # said") == "List\nnotes.");
  CHECK(block("|1-") == " List\n notes.");
}

TEST_CASE("folding leaves lines alone that are indented further") {
  CHECK(text_of(
            with_fields("      description: >\n        a\n        b\n\n          * c\n          * d\n\n        e\n")) ==
        "a b\n\n  * c\n  * d\n\ne\n");
}

TEST_CASE("the first line of a block scalar may begin with a tab") {
  CHECK(text_of(with_fields("      description: |\n        \tcode\n        text\n")) == "\tcode\ntext\n");
  CHECK(text_of(with_fields(
            "      summary: |-\n        \t\xc3\xa9\n      description: >-\n        \tmore\n        text\n")) ==
        "\t\xc3\xa9 \tmore\ntext");
  CHECK_THAT(error_of(with_fields("      summary: |\n          \n        \ttext\n")), Contains("line 8, column 9: "));
  // No limit is without an end: each of these costs a parse.
  std::string many = "openapi: 3\n";
  for (int i = 0; i < 21; ++i) {
    many += fmt::format("x-{}: |\n  \ta\n", i);
  }
  CHECK_THAT(error_of(many), Contains("line 43, column 3: not valid YAML") && Contains("tab character"));
}

TEST_CASE("every escape of a double-quoted scalar is the character that YAML says") {
  CHECK(summary(R"("Prix\_: 5 \u20AC")") == "Prix\xc2\xa0: 5 \xe2\x82\xac");
  CHECK(summary(R"("\N\L\P")") == "\xc2\x85\xe2\x80\xa8\xe2\x80\xa9");
  CHECK(summary(R"("\x41\xe9\U0001f600\/\"\\\t\n\ ")") == "A\xc3\xa9\xf0\x9f\x98\x80/\"\\\t\n ");
  CHECK(summary("\"a\\\n        b\"") == "ab");
  CHECK_THAT(error_of(with_fields("      summary: \"\\q\"\n")),
             Contains("line 6, column ") && Contains("unknown escape"));
}

TEST_CASE("a pair of escaped surrogates is one character, a lone half is U+FFFD, as in JSON") {
  CHECK(summary(R"("\ud83d\ude00 smile")") == "\xf0\x9f\x98\x80 smile");
  CHECK(summary(R"("\uD83D\uDE00\ud83d\ude00")") == "\xf0\x9f\x98\x80\xf0\x9f\x98\x80");
  CHECK(summary(R"("a\ud83d b \ude00")") == "a\xef\xbf\xbd b \xef\xbf\xbd");
  CHECK(summary(R"("\ude00\ud83d")") == "\xef\xbf\xbd\xef\xbf\xbd");
  CHECK(summary(R"("\ud83d\ud83d\ude00")") == "\xef\xbf\xbd\xf0\x9f\x98\x80");
  CHECK(text_of("# exported\n"
                R"({"openapi":"3.0.0","paths":{"/a":{"get":{"summary":"\ud83d\ude00 smile"}}}})") ==
        "\xf0\x9f\x98\x80 smile");
}

TEST_CASE("what looks like an escaped surrogate is text where escapes do not count") {
  CHECK(summary(R"(\ud83d\ude00 '\uD83D')") == R"(\ud83d\ude00 '\uD83D')");
  CHECK(summary(R"('\ud83d ''\ud83d')") == R"(\ud83d '\ud83d)");
  CHECK(summary(R"("\\ud83d \\\ud83d")") == "\\ud83d \\\xef\xbf\xbd");
  CHECK(summary("|-\n        \\ud83d\n        \\\\ud83d") == "\\ud83d\n\\\\ud83d");
  CHECK(summary("\"\\ud83d\"  # \\ude00") == "\xef\xbf\xbd");
  CHECK_THAT(error_of(with_fields("      summary: \"\\ud83\"\n")), Contains("line 6, column "));
}

TEST_CASE("surrogates beside characters of a private plane") {
  // The planes in which they are hidden from the parser.
  CHECK(summary("\"\xf3\xb0\x80\x80 \\ud83d\\ude00\"") == "\xf3\xb0\x80\x80 \xf0\x9f\x98\x80");
  CHECK(summary(R"("\U000FD83D \ud83d\ude00")") == "\xf3\xbd\xa0\xbd \xf0\x9f\x98\x80");
  CHECK(summary(R"("\udbff\udfff \ud83d")") == "\xf4\x8f\xbf\xbf \xef\xbf\xbd");
  CHECK_THAT(error_of(with_fields("      summary: \"\xf3\xb0\x80\x80 \xf4\x80\x80\x80 \\ud83d\"\n")),
             Contains("line 6, column ") && Contains("both private planes"));
}

TEST_CASE("NEL, LS and PS are characters and no line breaks, as in YAML 1.2") {
  CHECK(summary("a \xe2\x80\xa8 b") == "a \xe2\x80\xa8 b");
  CHECK(summary("\"a \xe2\x80\xa9\xc2\x85 b\"") == "a \xe2\x80\xa9\xc2\x85 b");
  CHECK(text_of(with_fields("      description: |\n        a\xe2\x80\xa8 b\n        c\n")) == "a\xe2\x80\xa8 b\nc\n");
}

TEST_CASE("a merge key is one by its tag too") {
  const auto merged = [](std::string_view key) {
    return text_of(
        fmt::format("x-common: &common\n  summary: Shared summary\n  tags: [shared]\n"
                    "openapi: 3.0.0\npaths:\n  /a:\n    get:\n      {}: *common\n      tags: []\n",
                    key));
  };
  for (const std::string_view key : {"<<", "!!merge <<", "!<tag:yaml.org,2002:merge> <<", "!!merge \"<<\""}) {
    CHECK(merged(key) == "Shared summary");
  }
  CHECK(merged("'<<'").empty());
  CHECK(merged("!!str <<").empty());
}

TEST_CASE("an alias means the latest anchor of its name") {
  CHECK(text_of(with_fields("      x-1: &a one\n      summary: *a\n      x-2: &a two\n      description: *a\n")) ==
        "one two");
  CHECK(text_of(with_fields("      x-1: &a [&a one]\n      summary: *a\n")) == "one");
  CHECK_THAT(error_of("openapi: 3\nx: *none\n"),
             Contains("line 2: ") && Contains("alias '*none' has no anchor before it"));
}

TEST_CASE("null and nothing are null as a value, and text as a key") {
  CHECK(text_of(with_fields("      summary: !!null ''\n      description: NULL\n")).empty());
  CHECK(text_of(with_fields("      summary: !!str null\n      description: 'null'\n")) == "null null");
  CHECK(split("openapi: 3\nx: {null: {get: {}}, ~: 1}\npaths: {/a: {$ref: '#/x/null'}}\n").ok());
}

TEST_CASE("a last line that is no 'key: value' is refused, and its place named") {
  CHECK_THAT(error_of(with_fields("      summary: s\n504 Gateway Time-out")),
             Contains("line 7, column 1: not valid YAML") && Contains("could not find expected ':'"));
  CHECK_THAT(error_of(with_fields("      summary: s\n504 Gateway Time-out\n")), Contains("line 7, column 1: "));
  CHECK_THAT(error_of(with_fields("      summ")), Contains("line 6, column 7: not valid YAML"));
  CHECK_THAT(error_of(with_fields("      summary: 's\n")),
             Contains("line 7, column 1: ") && Contains("begins in line 6"));
  CHECK_THAT(error_of(with_fields("      tags: [a, b\n")), Contains("not valid YAML") && Contains("begins in line 6"));
}

TEST_CASE("a document that begins with a brace is JSON, or else YAML") {
  CHECK(text_of("{openapi: 3.0.1, paths: {/a: {get: {summary: s}}}}") == "s");
  CHECK(text_of("{\"openapi\": '3', \"paths\": {\"/a\": {\"get\": {\"summary\": \"s\",},},},}  # by hand\n") == "s");
  CHECK_THAT(error_of("{\"openapi\": \"3\",\n \"paths\": {"),
             Contains("line 2, column 12: not valid JSON") && Contains("as YAML: line "));
  // As YAML it is above the cap: only what JSON says is said.
  const auto small = make_openapi_splitter({.yaml_bytes = 10});
  CHECK(small->split("{openapi: 3.0.1}").status().message() ==
        "line 1, column 2: not valid JSON: expected a name in quotes");
}

TEST_CASE("YAML is stricter than its parser about comments and tags") {
  CHECK_THAT(error_of(with_fields("      summary: |#c\n        s\n")),
             Contains("line 6, column 17: ") && Contains("comment"));
  CHECK_THAT(error_of(with_fields("      summary: !a!b s\n")), Contains("line 6, column ") && Contains("tag"));
  CHECK_THAT(error_of(with_fields("      summary: !?!b s\n")), Contains("line 6: ") && Contains("tag '!?!b'"));
}

TEST_CASE("a comment behind a directive needs a blank before it") {
  CHECK(split("%YAML 1.2 # said\n---\nopenapi: 3\n").ok());
  CHECK_THAT(error_of("%YAML 1.2#\n---\nopenapi: 3\n"), Contains("line 1, column 10: ") && Contains("comment"));
}

TEST_CASE("directives for tags are bounded") {
  std::string many;
  for (int i = 0; i < 101; ++i) {
    many += fmt::format("%TAG !t{}! tag:x,2000:\n", i);
  }
  CHECK(split(many.substr(many.find('\n') + 1) + "---\nopenapi: 3\n").ok());
  CHECK_THAT(error_of(many + "---\nopenapi: 3\n"), Contains("line 101, column 1: at most 100 lines with %TAG"));
  CHECK_THAT(error_of("%TAG !t! tag:" + std::string(1000, 'x') + "\n---\nopenapi: 3\n"),
             Contains("of at most 1000 bytes"));
}

TEST_CASE("a control character is refused where it stands") {
  CHECK_THAT(error_of(with_fields("      summary: a\x7f\n")),
             Contains("line 6, column 17: ") && Contains("control character"));
  CHECK_THAT(error_of(with_fields("      summary: a\xc2\x92\n")), Contains("line 6, column 17: "));
}

TEST_CASE("a document gives the same operations as YAML and as JSON, hash by hash") {
  const char* folder = std::getenv("EMBEDJOBS_SPEC_DIR");
  if (folder == nullptr) {
    std::cout << "skipped: EMBEDJOBS_SPEC_DIR is not set, no real documents to compare\n";
    return;
  }
  std::size_t pairs = 0;
  for (const auto& entry : std::filesystem::directory_iterator(std::string(folder) + "/twins")) {
    std::filesystem::path path = entry.path();
    if (path.extension() != ".yaml") {
      continue;
    }
    INFO(path);
    const Result<OperationList> yaml = split(content_of(path));
    const Result<OperationList> json = split(content_of(path.replace_extension(".json")));
    REQUIRE(yaml.ok());
    REQUIRE(json.ok());
    REQUIRE(yaml->size() == json->size());
    for (std::size_t i = 0; i < yaml->size(); ++i) {
      CHECK(yaml->operation_id(i) == json->operation_id(i));
      CHECK(yaml->text(i) == json->text(i));
      CHECK(yaml->text_hash(i) == json->text_hash(i));
    }
    ++pairs;
  }
  CHECK(pairs == 4);
}

}  // namespace
