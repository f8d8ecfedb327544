#include <catch2/catch.hpp>

#include <array>
#include <charconv>

#include "files.hpp"
#include "json.hpp"
#include "text.hpp"

using namespace embedjobs;
using namespace embedjobs::command;

TEST_CASE("printable text is one line that can't command a terminal") {
  CHECK(printable("List users \u2013 Größe 日本 🙂") == "List users \u2013 Größe 日本 🙂");
  CHECK(printable("a\nb\tc\r") == "a\\nb c\\x0d");
  CHECK(printable("\x1b[2J\x7f") == "\\x1b[2J\\x7f");
  CHECK(printable("\u009b31m") == "\\x9b31m");
  CHECK(printable("\u202eabc\u2066") == "\\u202eabc\\u2066");
  CHECK(printable(std::string_view("\0", 1)) == "\\x00");
  CHECK(printable("\xff\xc3") == "\\xff\\xc3");
  CHECK(printable("\xc0\xaf\xed\xa0\x80") == "\\xc0\\xaf\\xed\\xa0\\x80");  // overlong, surrogate
}

TEST_CASE("shortened text is cut between code points") {
  CHECK(shortened("abc", 3) == "abc");
  CHECK(shortened("abcd", 3) == "ab\u2026");
  CHECK(shortened("äöüß", 3) == "äö\u2026");
  CHECK(shortened(std::string(1'000'000, 'x'), 10) == "xxxxxxxxx\u2026");
}

TEST_CASE("columns stand below each other whatever bytes their cells take") {
  Table table({"ID", "TEXT"});
  CHECK(table.empty());
  table.add({"ä", "one"});
  table.add({"abc", "two\n"});
  CHECK(table.str() == "ID   TEXT\nä    one\nabc  two\\n\n");
}

TEST_CASE("JSON strings are valid JSON whatever the text") {
  CHECK(json_string("plain ä") == "\"plain ä\"");
  CHECK(json_string("\"\\\n\t") == "\"\\\"\\\\\\n\\t\"");
  CHECK(json_string("\x01\x1b\x7f\u009b\u202e") == "\"\\u0001\\u001b\\u007f\\u009b\\u202e\"");
  CHECK(json_string("a\xff"
                    "b") ==
        "\"a\xef\xbf\xbd"
        "b\"");
}

TEST_CASE("floats read back as the same float") {
  for (const float value : {0.1F, 1.0F, -0.0441941738F, 1e-30F, 3.4028235e38F, 1.17549435e-38F}) {
    const std::string json = JsonObject().real("x", value).str();
    float back = 0;
    std::from_chars(json.data() + 5, json.data() + json.size(), back);
    CHECK(back == value);
  }
  CHECK(JsonObject().reals("v", std::array{1.0F, 0.5F}).str() == "{\"v\":[1,0.5]}");
  CHECK(JsonObject().reals("v", std::vector<float>{}).str() == "{\"v\":[]}");
}

TEST_CASE("what is not there is null") {
  CHECK(JsonObject().time("t", WallTime{}).text_or_null("w", "").str() == "{\"t\":null,\"w\":null}");
  const std::optional<std::int64_t> known = 3, unknown;
  CHECK(JsonObject().integer("k", known).integer("u", unknown).str() == "{\"k\":3,\"u\":null}");
  CHECK(JsonObject().time("t", WallTime(std::chrono::milliseconds(1500))).str() ==
        "{\"t\":\"1970-01-01T00:00:01.500Z\"}");
}

TEST_CASE("an error of a name that there is not says where the names are") {
  CHECK(with_hint(Status(Code::kNotFound, "there is no catalog 'c'")).message() ==
        "there is no catalog 'c'; 'embedjobs status' lists them");
  CHECK(with_hint(Status(Code::kUnusable, "damaged")).message() == "damaged");
}

TEST_CASE("a spec is named after its file") {
  CHECK(spec_name_of("folder/billing.v2.yaml") == "billing.v2");
  CHECK(spec_name_of("api") == "api");
  CHECK(spec_name_of("./.hidden") == ".hidden");
  CHECK(spec_name_of("folder/").empty());
}

TEST_CASE("a document that can't be read is told by name") {
  CHECK(read_document("/nosuch/file", Format::kDocument).status().message().find("/nosuch/file") == 0);
  CHECK(read_document("/", Format::kItems).status().message() == "/: is a directory; name the document in it");
}
