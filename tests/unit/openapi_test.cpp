#include "embedjobs/openapi.hpp"
#include "embedjobs/manifest.hpp"

#include <fmt/format.h>
#include <catch2/catch.hpp>

#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>
#include <string>
#include <vector>

using namespace embedjobs;
using Catch::Matchers::Contains;

namespace {

struct Row {
  std::string id;
  std::string text;
  friend bool operator==(const Row&, const Row&) = default;
};
std::ostream& operator<<(std::ostream& out, const Row& row) {
  return out << row.id << " | " << row.text;
}

Result<OperationList> split(std::string_view content, const OpenApiLimits& limits = {}) {
  return make_openapi_splitter(limits)->split(content);
}

std::vector<Row> rows_of(std::string_view content, const OpenApiLimits& limits = {}) {
  const Result<OperationList> list = split(content, limits);
  INFO(list.status().message());
  REQUIRE(list.ok());
  std::vector<Row> rows;
  for (std::size_t i = 0; i < list->size(); ++i) {
    CHECK(list->text_hash(i) == hash_text(list->text(i)));
    rows.push_back({std::string(list->operation_id(i)), std::string(list->text(i))});
  }
  return rows;
}

std::string error_of(std::string_view content, const OpenApiLimits& limits = {}) {
  const Result<OperationList> list = split(content, limits);
  REQUIRE_FALSE(list.ok());
  CHECK(list.status().code() == Code::kInvalidDocument);
  CHECK(list.status().message().find('\n') == std::string::npos);
  CHECK(list.status().message().size() < 1500);
  return list.status().message();
}

std::string json_paths(std::string_view paths) {
  return fmt::format(R"({{"openapi":"3.0.0","paths":{{{}}}}})", paths);
}

std::string json_operation(std::string_view fields) {
  return json_paths(fmt::format(R"("/a":{{"get":{{{}}}}})", fields));
}

constexpr std::string_view kUsersYaml = R"(openapi: 3.0.0
info: {title: t, version: '1'}
paths:
  /v1/users/{id}:
    summary: User resource
    get:
      operationId: getUser
      summary: Get a single user by id
      description: "Returns one user.  "
      tags: [users, admin]
      deprecated: true
    delete:
      responses: {}
)";

constexpr std::string_view kUsersJson = R"({"openapi": "3.0.0", "paths": {"/v1/users/{id}": {
  "summary": "User resource",
  "get": {"operationId": "getUser", "summary": "Get a single user by id", "description": "Returns one user.  ",
          "tags": ["users", "admin"], "deprecated": true},
  "delete": {"responses": {}}}}})";

constexpr std::string_view kOrdersYaml = R"(openapi: 3.0.0
paths:
  /orders:
    post:
      summary: Place a new order
      description: |
        Creates an order.
        Idempotent.
      tags: [orders]
)";

}  // namespace

TEST_CASE("the users example gives the ids, texts and hashes of the contract, from JSON and from YAML") {
  for (const std::string_view content : {kUsersYaml, kUsersJson}) {
    const Result<OperationList> list = split(content);
    REQUIRE(list.ok());
    REQUIRE(list->size() == 2);
    CHECK(list->operation_id(0) == "DELETE /v1/users/{id}");
    CHECK(to_hex(list->text_hash(0)) == "1c3e2fd85fa4911dce221bc0479dc786c1a8242be518ab2bb0973128753718fd");
    CHECK(list->operation_id(1) == "getUser");
    CHECK(list->text(1) == "Get a single user by id Returns one user.   /v1/users/{id} users admin");
    CHECK(to_hex(list->text_hash(1)) == "b525f654e2e696a587c826b0127bca5c7863b034555a70f5dfc98bab660bf64b");
  }
}

TEST_CASE("the orders example keeps the newlines of its block scalar") {
  const Result<OperationList> list = split(kOrdersYaml);
  REQUIRE(list.ok());
  REQUIRE(list->size() == 1);
  CHECK(list->operation_id(0) == "POST /orders");
  CHECK(list->text(0).size() == 63);
  CHECK(to_hex(list->text_hash(0)) == "6f323beecc55f7fcd67a0050ab54bb8a751e65cf3a909619aeb613e44b9f31d3");
}

TEST_CASE("a path item that is only a reference takes its target") {
  CHECK(rows_of("openapi: 3.0.0\npaths:\n  /a: {$ref: '#/paths/~1b'}\n  /b: {get: {summary: List widgets}}\n") ==
        std::vector<Row>{{"GET /a", "List widgets /a"}, {"GET /b", "List widgets /b"}});
  CHECK_THAT(error_of(json_paths(R"("/a":{"$ref":"#/paths/~1b"},"/b":{"get":{"operationId":"listWidgets"}})")),
             Contains("'listWidgets' is not unique") && Contains("/paths/~1a/get") && Contains("/paths/~1b/get"));
}

TEST_CASE("a reference is percent-decoded, then unescaped, and may go through arrays") {
  const std::vector<Row> expected{{"GET /a", "s /a"}};
  CHECK(rows_of(R"({"openapi":"3","x-i":{"a/~b {c}":{"get":{"summary":"s"}}},)"
                R"("paths":{"/a":{"$ref":"#/x-i/a~1~0b%20%7Bc%7D"}}})") == expected);
  CHECK(rows_of(R"({"openapi":"3","x-i":[0,{"get":{"summary":"s"}}],"paths":{"/a":{"$ref":"#/x-i/1"}}})") == expected);
  CHECK(rows_of(R"({"openapi":"3","x-i":{"":{"get":{"summary":"s"}}},"paths":{"/a":{"$ref":"#/x-i/"}}})") == expected);
  CHECK(rows_of(R"({"openapi":"3","x-o":{"summary":"s"},"paths":{"/a":{"get":{"$ref":"#/x-o"}}}})") == expected);
}

TEST_CASE("with siblings beside a reference the siblings stand; extensions are no siblings") {
  CHECK(rows_of(json_paths(R"("/a":{"$ref":"#/paths/~1b","get":{"summary":"own"}},"/b":{"post":{}})")) ==
        std::vector<Row>{{"GET /a", "own /a"}, {"POST /b", "/b"}});
  CHECK(rows_of(json_paths(R"("/a":{"$ref":"#/paths/~1b","parameters":[]},"/b":{"post":{}})")) ==
        std::vector<Row>{{"POST /b", "/b"}});
  CHECK(rows_of(json_paths(R"("/a":{"$ref":"#/paths/~1b","x-owner":"me"},"/b":{"post":{}})")) ==
        std::vector<Row>{{"POST /a", "/a"}, {"POST /b", "/b"}});
}

TEST_CASE("a reference that can't be followed is an error with its place") {
  const auto with = [](std::string_view reference) {
    return error_of(json_paths(fmt::format(R"("/a":{{"$ref":"{}"}},"/b":{{"$ref":"#/paths/~1a"}})", reference)));
  };
  CHECK_THAT(with("#/paths/~1b"), Contains("/paths/~1a: ") && Contains("cycle"));
  CHECK_THAT(with("#/paths/~1a"), Contains("cycle"));
  CHECK_THAT(with("#/paths/~1c"), Contains("/paths/~1a: ") && Contains("leads nowhere"));
  CHECK_THAT(with("#/paths/~1a/$ref/0"), Contains("leads nowhere"));
  CHECK_THAT(with("#paths"), Contains("is not a JSON pointer"));
  CHECK_THAT(with("#/paths/~2"), Contains("'~'"));
  CHECK_THAT(with("#/paths/%4"), Contains("percent-encoded"));
  CHECK_THAT(with("#/paths/%zz"), Contains("percent-encoded"));
  CHECK_THAT(with("#/paths/%ff"), Contains("percent-encoded"));
  CHECK_THAT(with("#/openapi"), Contains("must be an object, is a string"));
  CHECK_THAT(with(""), Contains("is external"));
  CHECK_THAT(error_of(json_paths(R"("/a":{"$ref":7})")),
             Contains("/paths/~1a: '$ref' must be a string, is a number or boolean"));
}

TEST_CASE("a long chain of references ends with an error") {
  std::string paths = R"("/p0":{"get":{}})";
  for (int i = 1; i < 100; ++i) {
    paths += fmt::format(R"(,"/p{}":{{"$ref":"#/paths/~1p{}"}})", i, i - 1);
  }
  CHECK_THAT(error_of(json_paths(paths)), Contains("more than 32 references"));
}

TEST_CASE("an external reference is refused wherever references count") {
  CHECK_THAT(error_of(json_paths(R"("/a":{"$ref":"other.json#/a"})")),
             Contains("/paths/~1a/$ref: external reference 'other.json#/a'"));
  CHECK_THAT(error_of(R"({"openapi":"3","paths":{},"components":{"schemas":{"A":{"allOf":[{"$ref":"http://x/y"}]}}}})"),
             Contains("/components/schemas/A/allOf/0/$ref: "));
  CHECK_THAT(error_of(json_operation(R"("responses":{"default":{"$ref":"r.yaml"}})")),
             Contains("/responses/default/$ref"));
  CHECK_THAT(error_of(R"({"openapi":"3","components":{"schemas":{"A":{"properties":{"example":{"$ref":"e.yaml"}}}}}})"),
             Contains("/properties/example/$ref"));
  CHECK_THAT(error_of("openapi: 3.0.0\npaths:\n  /a:\n    $ref: ./a.yaml\n"),
             Contains("line 4, /paths/~1a/$ref: external reference './a.yaml'"));
}

TEST_CASE("what only looks like an external reference is none") {
  CHECK(rows_of(json_operation(R"("x-note":{"$ref":"a.yaml"},"example":{"$ref":"a.yaml"})")).size() == 1);
  CHECK(rows_of(R"({"openapi":"3","paths":{"x-y":{"$ref":"a.yaml"}},"components":{"schemas":{"A":{
      "properties":{"$ref":{"type":"string"}},"default":{"$ref":"a"},"enum":[{"$ref":"a"}],"const":{"$ref":"a"},
      "examples":[{"$ref":"a"}]}}}})")
            .empty());
}

TEST_CASE("operations are the six methods, ordered by path and method by bytes") {
  CHECK(rows_of(json_paths(
            R"("/b":{"put":{},"post":{},"patch":{},"head":{},"get":{},"delete":{},
                               "options":{},"trace":{},"GET":{},"x-a":{}},
                              "/B":{"get":{}},"/a/b":{"get":{}},"/a":{"get":{}},"/a-":{"get":{}},"x-p":7)")) ==
        std::vector<Row>{{"GET /B", "/B"},
                         {"GET /a", "/a"},
                         {"GET /a-", "/a-"},
                         {"GET /a/b", "/a/b"},
                         {"DELETE /b", "/b"},
                         {"GET /b", "/b"},
                         {"HEAD /b", "/b"},
                         {"PATCH /b", "/b"},
                         {"POST /b", "/b"},
                         {"PUT /b", "/b"}});
}

TEST_CASE("empty and null texts are left out; nothing is trimmed") {
  CHECK(rows_of(json_operation(R"("operationId":"","summary":"","description":null,"tags":[])")) ==
        std::vector<Row>{{"GET /a", "/a"}});
  CHECK(rows_of(json_operation(R"("summary":" S ","description":"D\n","tags":["t","","u"])")) ==
        std::vector<Row>{{"GET /a", " S  D\n /a t  u"}});
  CHECK(rows_of("openapi: 3.0.0\npaths:\n  /a:\n    get:\n      summary:\n      tags: ~\n") ==
        std::vector<Row>{{"GET /a", "/a"}});
}

TEST_CASE("YAML scalars count as their text where JSON has strings") {
  CHECK(rows_of("swagger: 2.0\npaths:\n  /a:\n    get: {operationId: 200, summary: 1.50, description: true, tags: [1, "
                "off]}\n") == std::vector<Row>{{"200", "1.50 true /a 1 off"}});
}

TEST_CASE("YAML aliases and merge keys are applied, own keys first") {
  CHECK(rows_of(R"(openapi: 3.0.0
x-base: &base {summary: base, tags: [t]}
x-more: &more {summary: more, description: d}
paths:
  /a: &item
    get:
      <<: [*base, *more]
      summary: own
  /b: *item
  /c: {post: {<<: *base, '<<': {summary: no}}}
)") == std::vector<Row>{{"GET /a", "own d /a t"}, {"GET /b", "own d /b t"}, {"POST /c", "base /c t"}});
  CHECK_THAT(error_of("openapi: 3\nx: {<<: 7}\n"), Contains("line 2: a merge key"));
}

TEST_CASE("a document without paths has no operations if it is an OpenAPI document at all") {
  CHECK(rows_of(R"({"openapi":"3.1.0","webhooks":{"w":{"post":{}}}})").empty());
  CHECK(rows_of("swagger: '2.0'\n").empty());
  CHECK_THAT(error_of(R"({"name":"x"})"), Contains("not an OpenAPI document"));
}

TEST_CASE("ids must be unique, synthesised ones included, and both places are named") {
  CHECK_THAT(error_of(json_paths(R"("/a":{"get":{}},"/b":{"get":{"operationId":"GET /a"}})")),
             Contains("/paths/~1b/get: the operation id 'GET /a' is not unique: /paths/~1a/get has it too"));
  CHECK_THAT(
      error_of(
          "openapi: 3.0.0\npaths:\n  /a:\n    get:\n      operationId: x\n  /b:\n    get:\n      operationId: x\n"),
      Contains("line 8, /paths/~1b/get") && Contains("/paths/~1a/get has it too (line 5)"));
}

TEST_CASE("structure is strict and names the JSON pointer") {
  CHECK_THAT(error_of(json_paths(R"("a":{})")), Contains("/paths/a: a path must begin with '/'"));
  CHECK_THAT(error_of(R"({"openapi":"3","paths":[]})"), Contains("/paths: must be an object, is an array"));
  CHECK_THAT(error_of(R"({"openapi":"3","paths":null})"), Contains("/paths: must be an object, is null"));
  CHECK_THAT(error_of(json_paths(R"("/a/b~c":[])")), Contains("/paths/~1a~1b~0c: must be an object, is an array"));
  CHECK_THAT(error_of(json_paths(R"("/a":{"get":"x"})")), Contains("/paths/~1a/get: must be an object, is a string"));
  CHECK_THAT(error_of(json_operation(R"("summary":1)")),
             Contains("/paths/~1a/get/summary: must be a string, is a number or boolean"));
  CHECK_THAT(error_of(json_operation(R"("description":{})")),
             Contains("/paths/~1a/get/description: must be a string, is an object"));
  CHECK_THAT(error_of(json_operation(R"("operationId":[])")),
             Contains("/paths/~1a/get/operationId: must be a string, is an array"));
  CHECK_THAT(error_of(json_operation(R"("tags":"t")")),
             Contains("/paths/~1a/get/tags: must be an array of strings, is a string"));
  CHECK_THAT(error_of(json_operation(R"("tags":["t",2])")), Contains("/paths/~1a/get/tags/1: must be a string"));
  CHECK_THAT(error_of(json_operation(R"("tags":[null])")),
             Contains("/paths/~1a/get/tags/0: must be a string, is null"));
  CHECK_THAT(error_of("openapi: 3.0.0\npaths:\n  /a:\n    get:\n      summary: [x]\n"),
             Contains("line 5, /paths/~1a/get/summary: must be a string, is an array"));
  CHECK_THAT(error_of(R"({"openapi":"3","x-i":{"get":{"summary":1}},"paths":{"/a":{"$ref":"#/x-i"}}})"),
             Contains("/paths/~1a/get/summary (through '#/x-i'): must be a string"));
}

TEST_CASE("what would be read twice may not stand twice") {
  CHECK_THAT(error_of(R"({"openapi":"3","paths":{},"paths":{}})"), Contains("/paths: stands twice"));
  CHECK_THAT(error_of(json_paths(R"("/a":{},"/a":{})")), Contains("/paths/~1a: the path stands twice"));
  CHECK_THAT(error_of(json_paths(R"("/a":{"get":{},"get":{}})")), Contains("/paths/~1a/get: the method stands twice"));
  CHECK_THAT(error_of(json_operation(R"("summary":"a","summary":"b")")),
             Contains("/paths/~1a/get/summary: stands twice"));
  CHECK(rows_of(json_operation(R"("x-a":1,"x-a":2)")).size() == 1);
}

TEST_CASE("ids are short and without control characters") {
  CHECK_THAT(error_of(json_operation(R"("operationId":"a\nb")")),
             Contains("control character") && Contains("a\\u000ab"));
  CHECK_THAT(error_of(json_operation(fmt::format(R"("operationId":"{}")", std::string(4097, 'i')))),
             Contains("4097 bytes, at most 4096"));
  CHECK(rows_of(json_operation(fmt::format(R"("operationId":"{}")", std::string(4096, 'i')))).size() == 1);
}

TEST_CASE("wrong examples, arrays without items and upper-case types are none of our business") {
  CHECK(rows_of(R"({"openapi":"3.0.0","paths":{"/a":{"get":{"parameters":[{"schema":{"type":"STRING","example":7}}]}}},
                   "components":{"schemas":{"A":{"type":"array"}}}})")
            .size() == 1);
}

TEST_CASE("correct JSON that overflows machine types is still correct JSON") {
  CHECK(rows_of(json_operation(R"("summary":"s 123456789012345678901","x":[18446744073709552000,-1e999,1.5E+10,0,-0,)"
                               R"("\ud83d\ude00 \" 99999999999999999999"])")) ==
        std::vector<Row>{{"GET /a", "s 123456789012345678901 /a"}});
  CHECK(rows_of(json_operation(R"("summary":"a\ud83d\ude00b \ud83d c \u0041 \\ud83d")")) ==
        std::vector<Row>{{"GET /a",
                          "a\xf0\x9f\x98\x80"
                          "b \xef\xbf\xbd c A \\ud83d /a"}});
}

TEST_CASE("broken JSON names line and column") {
  // One bracket too many keeps some of these from being YAML.
  const auto at = [](std::string_view content) { return error_of(content); };
  CHECK_THAT(at("{\"openapi\": \"3\",\n \"paths\": {,}}"),
             Contains("line 2, column 12: not valid JSON: expected a name in quotes"));
  CHECK_THAT(at("{\"a\": [1,]]}"), Contains("line 1, column 10: ") && Contains("expected a value"));
  CHECK_THAT(at("{\"a\": 1"), Contains("ends before a closing '}'"));
  CHECK_THAT(at("{\"a\": [1 2]]}"), Contains("expected ',' or ']'"));
  CHECK_THAT(at("{\"a\" 1}"), Contains("expected ':'"));
  CHECK_THAT(at("{\"a\": \"b}"), Contains("line 1, column 7: ") && Contains("closing quote"));
  CHECK_THAT(at("{\"a\": \"\\x\"}"), Contains("unknown escape"));
  CHECK_THAT(at("{\"a\": \"\\u12g4\"}"), Contains("four hexadecimal digits"));
  CHECK_THAT(at("{\"a\": \"\t\"}}"), Contains("control character"));
  CHECK_THAT(at("{\"a\": 01}}"), Contains("expected ',' or '}'"));
  CHECK_THAT(at("{\"a\": -}}"), Contains("expected a digit"));
  CHECK_THAT(at("{\"a\": 1.}}"), Contains("expected a digit"));
  CHECK_THAT(at("{\"a\": 1e}}"), Contains("expected a digit"));
  CHECK_THAT(at("{\"a\": tru}}"), Contains("expected a value"));
  CHECK_THAT(at("{\"a\": nope}}"), Contains("expected a value"));
  CHECK_THAT(at("{} x"), Contains("something follows the end"));
}

TEST_CASE("broken YAML names line and column") {
  CHECK_THAT(error_of("openapi: 3.0.0\npaths: {a: [}\n"), Contains("line 2, column ") && Contains("not valid YAML"));
  CHECK_THAT(error_of("openapi: 3\n---\nopenapi: 3\n"), Contains("line ") && Contains("second YAML document"));
  CHECK_THAT(error_of("openapi: 3\nx: *none\n"), Contains("not valid YAML"));
  CHECK_THAT(error_of("openapi: 3\n? [a]\n: b\n"), Contains("line 2: a mapping key must be a scalar"));
}

TEST_CASE("what is no document at all is refused plainly") {
  for (const std::string_view blank : {"", " \r\n\t", "\xef\xbb\xbf", "# only a comment\n"}) {
    CHECK_THAT(error_of(blank), Contains("blank"));
  }
  CHECK_THAT(error_of("[1, 2]"), Contains("the document: must be an object, is an array"));
  CHECK_THAT(error_of("\"text\""), Contains("must be an object, is a string"));
  CHECK_THAT(error_of("---\n"), Contains("must be an object, is null"));
  CHECK_THAT(error_of("7"), Contains("must be an object"));
  CHECK_THAT(error_of(std::string_view("\xff\xfe{\0", 4)), Contains("UTF-16"));
  CHECK_THAT(error_of(std::string_view("\0{\0\"", 4)), Contains("UTF-16"));
  CHECK_THAT(error_of("\x7f"
                      "ELF\x02\x01\x01\x03"),
             Contains("binary"));
  CHECK_THAT(error_of("openapi: 3\nx: \x04\n"), Contains("line 2, column 4: byte 0x04"));
  CHECK_THAT(error_of("openapi: 3\nx: \xc3\x28\n"), Contains("line 2: not valid UTF-8"));
  CHECK_THAT(error_of("{\"a\":\n\"\xff\"}"), Contains("line 2: not valid UTF-8"));
}

TEST_CASE("a byte order mark and white space before the document are allowed") {
  CHECK(rows_of("\xef\xbb\xbf \n" + json_operation("")).size() == 1);
  CHECK(rows_of("\xef\xbb\xbf" + std::string(kOrdersYaml)).size() == 1);
}

TEST_CASE("documents above the caps are refused with size and cap") {
  const OpenApiLimits limits{.json_bytes = 10, .yaml_bytes = 8};
  CHECK_THAT(error_of(R"({"openapi":"3"})", limits),
             Contains("the JSON document has 15 bytes, at most 10 are allowed"));
  CHECK_THAT(error_of("openapi: 3", limits), Contains("the YAML document has 10 bytes, at most 8 are allowed"));
  CHECK_THAT(error_of(json_paths(R"("/a":{"get":{},"put":{}})"), {.operations = 1}),
             Contains("more than 1 operations"));
}

TEST_CASE("nesting is bounded alike in JSON and YAML") {
  const auto nested = [](std::size_t levels, std::string_view rest) {
    return fmt::format("{}{}{}{}}}", rest, std::string(levels - 1, '['), levels > 1 ? "1" : "",
                       std::string(levels - 1, ']'));
  };
  const OpenApiLimits limits{.depth = 20};
  for (const std::string_view head : {R"({"openapi":"3","x":)", "--- {openapi: 3, x: "}) {
    CHECK(rows_of(nested(20, head), limits).empty());
    CHECK_THAT(error_of(nested(21, head), limits), Contains("line 1") && Contains("nested deeper than 20 levels"));
    CHECK_THAT(error_of(nested(100'000, head)), Contains("nested deeper than 200 levels"));
    CHECK_THAT(error_of(std::string(head) + std::string(100'000, '[')), Contains("nested deeper than 200 levels"));
  }
}

TEST_CASE("deep YAML of every style is refused, not recursed into") {
  std::string indented = "openapi: 3\n";
  for (std::size_t i = 0; i < 1000; ++i) {
    indented += std::string(i, ' ') + "a:\n";
  }
  CHECK_THAT(error_of(indented), Contains("nested deeper"));
  for (const std::string_view unit : {"- ", "? ", "{a: ", "[", "{", "!t [", "&a [", "{? "}) {
    std::string content = "--- ";
    for (int i = 0; i < 50'000; ++i) {
      content += unit;
    }
    CHECK_FALSE(split(content).ok());
  }
}

TEST_CASE("an alias bomb costs nothing, an alias to its own container is refused") {
  std::string bomb = "openapi: 3.0.0\nx-0: &b0 [$ref, $ref]\n";
  for (int i = 1; i < 100; ++i) {
    bomb += fmt::format("x{}: &b{} [*b{}, *b{}, *b{}, *b{}]\n", i, i, i - 1, i - 1, i - 1, i - 1);
  }
  CHECK(rows_of(bomb + "paths: {/a: {get: {}}}\n").size() == 1);
  std::string deep = "openapi: 3.0.0\n";
  for (int i = 0; i < 100; ++i) {
    deep += fmt::format("x{}: &b{} [[[[[{}]]]]]\n", i, i, i == 0 ? "1" : fmt::format("*b{}", i - 1));
  }
  CHECK_THAT(error_of(deep), Contains("nested deeper"));
  CHECK_THAT(error_of("openapi: 3\nx: &x [*x]\n"), Contains("line 2: an alias to a node that contains it"));
}

TEST_CASE("shared nodes can't multiply texts, work or merges without bound") {
  std::string paths = fmt::format(R"("/p":{{"get":{{"summary":"{}"}}}})", std::string(10'000, 's'));
  for (int i = 0; i < 10'000; ++i) {
    paths += fmt::format(R"(,"/q{}":{{"$ref":"#/paths/~1p"}})", i);
  }
  CHECK_THAT(error_of(json_paths(paths)), Contains("ids and texts of the operations have more than 67108864 bytes"));

  std::string wide = R"("/p":{)";
  for (int i = 0; i < 20'000; ++i) {
    wide += fmt::format(R"("x-{}":0,)", i);
  }
  wide += R"("get":{}})";
  for (int i = 0; i < 20'000; ++i) {
    wide += fmt::format(R"(,"/q{}":{{"$ref":"#/paths/~1p"}})", i);
  }
  CHECK_THAT(error_of(json_paths(wide)), Contains("references and aliases make the document too large"));

  std::string merges = "openapi: 3.0.0\nx-m: &m {";
  for (int i = 0; i < 2'000; ++i) {
    merges += fmt::format("k{}: 0, ", i);
  }
  merges += "}\n";
  for (int i = 0; i < 2'000; ++i) {
    merges += fmt::format("x{}: {{<<: *m}}\n", i);
  }
  CHECK_THAT(error_of(merges), Contains("merge keys '<<' take in more than 1000000 members"));
}

TEST_CASE("many references into one large map are cheap") {
  std::string items;
  std::string paths;
  for (int i = 0; i < 20'000; ++i) {
    items += fmt::format(R"({}"i{}":{{"get":{{}}}})", i == 0 ? "" : ",", i);
    paths += fmt::format(R"({}"/p{}":{{"$ref":"#/components/pathItems/i{}"}})", i == 0 ? "" : ",", i, i);
  }
  CHECK(
      rows_of(fmt::format(R"({{"openapi":"3.1.0","components":{{"pathItems":{{{}}}}},"paths":{{{}}}}})", items, paths))
          .size() == 20'000);
}

TEST_CASE("messages show hostile content on one short line") {
  const std::string message = error_of(json_paths(fmt::format(R"("/{}\n\u007f":7)", std::string(5000, 'a'))));
  CHECK(message.size() < 400);
  CHECK_THAT(error_of(json_paths(R"("a\n\u007f":7)")), Contains("a\\u000a\\u007f"));
}

TEST_CASE("the splitter has a version") {
  CHECK(make_openapi_splitter()->version() == "openapi/2");
}

TEST_CASE("real documents give the operations that they are known for") {
  const char* folder = std::getenv("EMBEDJOBS_SPEC_DIR");
  if (folder == nullptr) {
    std::cout << "skipped: EMBEDJOBS_SPEC_DIR is not set, no real documents to split\n";
    return;
  }
  const struct {
    const char* file;
    std::size_t operations;
  } documents[] = {{"github.json", 1223},
                   {"github-enterprise-3.17.json", 966},
                   {"github-enterprise-3.18.json", 980},
                   {"openai.yaml", 288},
                   {"api-with-examples.yaml", 2},
                   {"link-example.yaml", 6},
                   {"petstore-expanded.yaml", 4},
                   {"petstore.yaml", 3},
                   {"uspto.yaml", 3}};
  for (const auto& [file, operations] : documents) {
    INFO(file);
    std::ifstream stream(std::string(folder) + "/" + file, std::ios::binary);
    REQUIRE(stream.good());
    CHECK(rows_of(std::string((std::istreambuf_iterator<char>(stream)), {})).size() == operations);
  }
}
