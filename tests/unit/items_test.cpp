#include "embedjobs/items.hpp"
#include "embedjobs/manifest.hpp"

#include <fmt/format.h>
#include <catch2/catch.hpp>

#include <string>
#include <vector>

using namespace embedjobs;
using Catch::Matchers::Contains;
using namespace std::string_literals;

namespace {

std::vector<std::string> rows_of(std::string_view content, const ItemsLimits& limits = {}) {
  const Result<OperationList> list = make_items_splitter(limits)->split(content);
  INFO(list.status().message());
  REQUIRE(list.ok());
  std::vector<std::string> rows;
  for (std::size_t i = 0; i < list->size(); ++i) {
    CHECK(list->text_hash(i) == hash_text(list->text(i)));
    rows.push_back(fmt::format("{}|{}", list->operation_id(i), list->text(i)));
  }
  return rows;
}

std::string error_of(std::string_view content, const ItemsLimits& limits = {}) {
  const Result<OperationList> list = make_items_splitter(limits)->split(content);
  REQUIRE_FALSE(list.ok());
  CHECK(list.status().code() == Code::kInvalidDocument);
  CHECK(list.status().message().find('\n') == std::string::npos);
  CHECK(list.status().message().size() < 1000);
  return list.status().message();
}

using Rows = std::vector<std::string>;

}  // namespace

TEST_CASE("each line is an item, in the order of the lines") {
  CHECK(rows_of("{\"id\":\"b\",\"text\":\"second\"}\n{\"text\":\"first\",\"id\":\"a\"}\n") ==
        Rows{"b|second", "a|first"});
  CHECK(rows_of(R"({"id":"a","text":"no newline at the end"})") == Rows{"a|no newline at the end"});
}

TEST_CASE("the hash of an item is the SHA-256 of its text, byte for byte") {
  const auto list =
      make_items_splitter()->split(R"({"id":"x","text":" Get a single user by id Returns one user. \u00e9"})");
  REQUIRE(list.ok());
  CHECK(list->text(0) == " Get a single user by id Returns one user. \xc3\xa9");
  CHECK(to_hex(make_items_splitter()->split(R"({"id":"x","text":"/v1/users/{id}"})")->text_hash(0)) ==
        "1c3e2fd85fa4911dce221bc0479dc786c1a8242be518ab2bb0973128753718fd");
}

TEST_CASE("blank lines, carriage returns and a byte order mark do not count") {
  CHECK(rows_of("\xef\xbb\xbf\n  \n{\"id\":\"a\",\"text\":\"x\"}\r\n\t\r\n\n{\"id\":\"b\",\"text\":\"y\"}\r\n") ==
        Rows{"a|x", "b|y"});
}

TEST_CASE("other members of an item are the host's own, whatever they are") {
  CHECK(rows_of(R"({"id":"a","price":1e999,"tags":[[{"id":7}]],"text":"x","parent":{"text":null}})") == Rows{"a|x"});
}

TEST_CASE("equal texts under two ids are two items") {
  CHECK(rows_of("{\"id\":\"a\",\"text\":\"x\"}\n{\"id\":\"b\",\"text\":\"x\"}") == Rows{"a|x", "b|x"});
}

TEST_CASE("an escaped surrogate without its pair is U+FFFD, as in OpenAPI") {
  CHECK(rows_of(R"({"id":"a","text":"x\ud800y"})") == Rows{"a|x\xef\xbf\xbdy"});
}

TEST_CASE("the header may stand before the items") {
  const std::string document = make_items_document("{\"id\":\"a\",\"text\":\"x\"}\n");
  CHECK(document == "{\"embedjobs\":\"items/1\"}\n{\"id\":\"a\",\"text\":\"x\"}\n");
  CHECK(is_items_document(document));
  CHECK(make_items_document(document) == document);
  CHECK(make_items_document("\xef\xbb\xbf" + document) == document);
  CHECK(rows_of(document) == Rows{"a|x"});
  CHECK(rows_of("{\"embedjobs\":\"items/1\"}\r\n{\"id\":\"a\",\"text\":\"x\"}") == Rows{"a|x"});
  CHECK_FALSE(is_items_document(R"({"embedjobs":"items/1"} {"id":"a"})"));
  CHECK_FALSE(is_items_document(R"({"embedjobs":"items/10"})"));
  CHECK_FALSE(is_items_document(R"({"id":"a","text":"x"})"));
  CHECK_FALSE(is_items_document(""));
}

TEST_CASE("what is no item is refused, and the line is named") {
  const std::string good = "{\"id\":\"a\",\"text\":\"x\"}\n\n";
  CHECK(error_of(good + "{\"id\":\"b\",\"text\":\"y\"") ==
        "line 3, column 21: not valid JSON: the document ends before a closing '}'");
  CHECK_THAT(error_of(good + "{'id':'b'}"), Contains("line 3, column 2: not valid JSON"));
  CHECK_THAT(error_of(good + "{\"id\":\"b\",\"text\":\"y\"} {\"id\":\"c\",\"text\":\"z\"}"),
             Contains("line 3, column 23: not valid JSON"));
  CHECK(error_of(good + "[1]") == "line 3: an item must be an object, is an array");
  CHECK(error_of(good + "7") == "line 3: an item must be an object, is a number or boolean");
  CHECK(error_of(good + "{}") == "line 3: the item has no 'id'");
  CHECK(error_of(good + R"({"text":"y"})") == "line 3: the item has no 'id'");
  CHECK(error_of(good + R"({"id":"b"})") == "line 3: the item has no 'text'");
  CHECK(error_of(good + R"({"id":7,"text":"y"})") == "line 3: 'id' must be a string, is a number or boolean");
  CHECK(error_of(good + R"({"id":"b","text":null})") == "line 3: 'text' must be a string, is null");
  CHECK(error_of(good + R"({"id":"b","text":"y","id":"c"})") == "line 3: 'id' stands twice in the item");
  CHECK(error_of(good + R"({"id":"","text":"y"})") == "line 3: the item's 'id' is empty");
  CHECK(error_of(good + R"({"id":"b\n","text":"y"})") == "line 3: the operation id 'b\\u000a' has a control character");
  CHECK_THAT(error_of(good + R"({"id":")" + std::string(4097, 'i') + R"(","text":"y"})"),
             Contains("line 3: an operation id of 4097 bytes"));
}

TEST_CASE("a text that can't be embedded is refused") {
  CHECK(error_of(R"({"id":"a","text":""})") == "line 1: the text of item 'a' is blank: there is nothing to embed");
  CHECK(error_of(R"({"id":"a","text":" \n\t"})") == "line 1: the text of item 'a' is blank: there is nothing to embed");
  CHECK(error_of(R"({"id":"a","text":"x\u0000y"})") == "line 1: the text of item 'a' has a NUL character");
}

TEST_CASE("an id that stands twice is refused with both lines") {
  CHECK(
      error_of("{\"id\":\"a\",\"text\":\"x\"}\n{\"id\":\"b\",\"text\":\"x\"}\n\n{\"id\":\"\\u0061\",\"text\":\"y\"}") ==
      "line 4: the id 'a' is not unique: line 1 has it too");
}

TEST_CASE("bytes that are no text are refused with the line") {
  const std::string good = "{\"id\":\"a\",\"text\":\"x\"}\n";
  CHECK(error_of(good + "{\"id\":\"b\",\"text\":\"\xff\"}") == "line 2: not valid UTF-8");
  CHECK(error_of(good + "{\"id\":\"b\",\"text\":\"x\0y\"}"s) == "line 2: has a NUL byte; is the document binary?");
  CHECK_THAT(error_of("\xff\xfe{\0"s), Contains("UTF-16"));
}

TEST_CASE("no items are no document: nothing that was stored is lost to an empty file") {
  CHECK_THAT(error_of(""), Contains("blank"));
  CHECK_THAT(error_of(" \n\n"), Contains("blank"));
  CHECK_THAT(error_of("{\"embedjobs\":\"items/1\"}\n"), Contains("no items"));
}

TEST_CASE("items are bounded, each and together") {
  const std::string two = "{\"id\":\"a\",\"text\":\"x\"}\n{\"id\":\"b\",\"text\":\"y\"}\n";
  CHECK(rows_of(two, {.bytes = 44, .line_bytes = 21, .items = 2}).size() == 2);
  CHECK(error_of(two, {.bytes = 43}) == "the items have 44 bytes, at most 43 are allowed");
  CHECK(rows_of(make_items_document(two), {.bytes = 44}).size() == 2);
  CHECK(error_of(two, {.line_bytes = 20}) == "line 1: an item of 21 bytes, at most 20 are allowed");
  CHECK(error_of(two, {.items = 1}) == "line 2: the document has more than 1 items");
  CHECK_THAT(error_of(R"({"id":"a","text":"x","deep":)" + std::string(300, '[') + std::string(300, ']') + "}"),
             Contains("line 1"));
}

TEST_CASE("a document is items by its header alone, and OpenAPI otherwise") {
  const auto splitter = make_document_splitter();
  CHECK(splitter->split(make_items_document(R"({"id":"a","text":"x"})"))->operation_id(0) == "a");
  CHECK(splitter->split(R"({"openapi":"3.0.3","paths":{"/a":{"get":{}}}})")->operation_id(0) == "GET /a");
  CHECK_THAT(splitter->split(R"({"id":"a","text":"x"})").status().message(), Contains("not an OpenAPI document"));
  CHECK(splitter->version() == make_openapi_splitter()->version() + " " + make_items_splitter()->version());
  CHECK(make_items_splitter()->version() == "items/1");
}
