// A key is where it is needed and nowhere else.
#include <catch2/catch.hpp>

#include <stdexcept>

#include "http/clean_text.hpp"
#include "http/scene.hpp"
#include "http/transport.hpp"

using namespace embedjobs;
using namespace embedjobs::test;
using Catch::Matchers::Contains;

namespace {

const std::string kCanary = "sk-canary-7f3d9a1e";

}  // namespace

TEST_CASE("a key arrives as a bearer token, from an option or a callback that is asked each time") {
  ProviderServer server({.play = Play::kOpenAi, .key = kCanary});
  HttpEmbedderOptions options = options_for(Play::kOpenAi, server.url());
  options.key = Secret("  " + kCanary + "\n");
  check_rows(embed(*made(options), {"text"}), {"text"});
  CHECK(server.seen().last_authorization == "Bearer " + kCanary);
  int asked = 0;
  options.key = Secret([&asked] {
    ++asked;
    return kCanary;
  });
  const auto embedder = made(options);
  check_rows(embed(*embedder, {"text"}), {"text"});
  check_rows(embed(*embedder, {"text"}), {"text"});
  CHECK(asked == 2);
}

TEST_CASE("the environment's key is used when there is no other") {
  ProviderServer server({.play = Play::kOpenAi, .key = kCanary});
  ::setenv("EMBEDJOBS_API_KEY", kCanary.c_str(), 1);
  const auto embedder = made(options_for(Play::kOpenAi, server.url()));
  ::unsetenv("EMBEDJOBS_API_KEY");
  check_rows(embed(*embedder, {"text"}), {"text"});
}

TEST_CASE("a server that repeats the key does not get it into an error") {
  ProviderServer server({.play = Play::kOpenAi});
  HttpEmbedderOptions options = options_for(Play::kOpenAi, server.url());
  options.key = Secret(kCanary);
  for (const std::string& body :
       {"{\"error\":{\"message\":\"Incorrect API key provided: " + kCanary + ".\"}}", "plain " + kCanary + " text",
        "{\"error\":\"Authorization: Bearer " + kCanary + "\"}", "{\"error\":\"api-key:" + kCanary + "\"}"}) {
    for (const int status : {400, 401, 404, 429, 500, 503}) {
      server.answer_with(
          [&](std::string_view, std::size_t) { return Answer{.status = status, .body = body, .headers = {}}; });
      const auto embedder = made(options);
      const Status error = embed(*embedder, {"text"}).status();
      INFO(error.to_string());
      CHECK(error.message().find("canary") == std::string::npos);
      const ProviderHealth health = std::dynamic_pointer_cast<HealthCheck>(embedder)->check({});
      CHECK((health.detail + health.advice + health.url).find("canary") == std::string::npos);
    }
  }
}

TEST_CASE("no part of the key is left, wherever a limit cuts the answer of a server that repeats it") {
  const std::string key = "K9zQ7xV3wJ5uY1hG8fD2pL4mR6t";
  ProviderServer server({.play = Play::kOpenAi});
  HttpEmbedderOptions options = options_for(Play::kOpenAi, server.url());
  options.key = Secret(key);
  const auto embedder = made(options);
  for (const std::size_t limit : {std::size_t{200}, std::size_t{4096}, http::kErrorBodyBytes}) {
    for (std::size_t before = 0; before <= key.size() + 1; ++before) {
      const std::string blanks(limit - before, ' ');
      for (const std::string& body :
           {blanks + key, blanks + key + " and more", "{\"error\":{\"message\":\"" + blanks + key + "\"}}"}) {
        server.answer_with(
            [&](std::string_view, std::size_t) { return Answer{.status = 503, .body = body, .headers = {}}; });
        const std::string message = embed(*embedder, {"text"}).status().message();
        INFO(message << " with " << before << " bytes before " << limit);
        CHECK(message.find(key.substr(0, 2)) == std::string::npos);
        CHECK(message.find("HTTP 503") != std::string::npos);
      }
    }
  }
}

TEST_CASE("a key is found in another case and escaped, and a cut within an escape leaves nothing of it") {
  using http::clean_text;
  const std::string key = "a\"b/C&d<e'f=1";
  for (const std::string written :
       {"A\"B/c&D<E'F=1", "a\\\"b/C&d<e'f=1", "a\\\"b\\/C\\u0026d\\u003ce'f=1", "a&quot;b/C&amp;d&lt;e&#39;f=1",
        "a&#34;b/C&#x26;d&lt;e&#x27;f=1", "a%22b%2FC%26d%3ce%27f%3D1"}) {
    CHECK(clean_text("is " + written + " it", key, 100) == "is [key] it");
    CHECK(http::contains_key("x" + written, key));
    for (std::size_t part = 0; part < written.size(); ++part) {
      const std::string cut = std::string(http::kErrorBodyBytes - part, ' ') + written.substr(0, part);
      INFO(part << " bytes of " << written);
      CHECK(clean_text(cut, key, 100) == (part == 0 ? "..." : "[key]..."));
    }
  }
  CHECK(clean_text("key two  words here", "two  words", 100) == "key [key] here");
  CHECK(clean_text("key two\twords here", "two  words", 100) == "key [key] here");
  CHECK(clean_text("what ends like two  w", "two  words", 100) == "what ends like two w");
  CHECK(clean_text(std::string(http::kErrorBodyBytes, 'k'), "kkkkkkkk", 20).size() < 30);
  CHECK_FALSE(http::contains_key("nomic-embed-text", ""));
}

TEST_CASE("a model whose name holds the key is no model") {
  ProviderServer server({.play = Play::kTei});
  HttpEmbedderOptions options = options_for(Play::kTei, server.url());
  options.key = Secret(kCanary);
  server.answer_with([](std::string_view, std::size_t) {
    return Answer{.status = 200, .body = "{\"model_id\":\"m-" + kCanary + "\"}", .headers = {}};
  });
  const auto embedder = made(options);
  const Result<Space> space = embedder->space({});
  CHECK(space.status().code() == Code::kPaused);
  CHECK_THAT(space.status().message(), Contains("holds the key"));
  CHECK(space.status().message().find("canary") == std::string::npos);
  CHECK(std::dynamic_pointer_cast<HealthCheck>(embedder)->check({}).model.empty());
}

TEST_CASE("a callback that throws fails the call without its words") {
  HttpEmbedderOptions options = options_for(Play::kOpenAi, "http://127.0.0.1:1");
  options.key = Secret([]() -> std::string { throw std::runtime_error("vault says " + kCanary); });
  const Status status = embed(*made(options), {"text"}).status();
  CHECK_FALSE(status.ok());
  CHECK(status.message().find("canary") == std::string::npos);
}

TEST_CASE("a key can't smuggle headers") {
  ProviderServer server({.play = Play::kOpenAi});
  HttpEmbedderOptions options = options_for(Play::kOpenAi, server.url());
  options.key = Secret(std::string("key\r\nX-Injected: 1"));
  const Status status = make_http_embedder(options).status();
  CHECK(status.code() == Code::kInvalidArgument);
  CHECK_THAT(status.message(), Contains("line break") && !Contains("Injected"));
  options.key = Secret([] { return std::string("key\r\nX-Injected: 1"); });
  CHECK_FALSE(embed(*made(options), {"text"}).ok());
  CHECK(server.seen().calls == 0);
}

TEST_CASE("any 8 characters of a key are no more shown than the whole") {
  using http::clean_text;
  const std::string key = "sk-proj-Q7xV3wJ5uY1hG8fD2pL4mR6t";
  CHECK(clean_text("key ends in L4mR6t", key, 100) == "key ends in L4mR6t");  // six say little
  CHECK(clean_text("begins with Q7xV3wJ5, it is", key, 100) == "begins with [key], it is");
  CHECK(clean_text("xQ7xV3wJ5uY1hG8f***D2pL4mR6t", key, 100) == "x[key]***[key]");
  CHECK(clean_text("Q7xV3wJ", key, 100) == "Q7xV3wJ");  // seven
  for (std::size_t from = 0; from + 8 <= key.size(); ++from) {
    for (std::size_t size = 8; from + size <= key.size(); ++size) {
      const std::string part = key.substr(from, size);
      CHECK(clean_text("<" + part + ">", key, 100).find(part) == std::string::npos);
    }
  }
}

TEST_CASE("a key of fewer than 8 bytes is sent, not scrubbed, and said once") {
  ProviderServer server({.play = Play::kOpenAi, .key = "ollama"});
  HttpEmbedderOptions options = options_for(Play::kOpenAi, server.url());
  options.key = Secret("ollama");
  const auto embedder = made(options);
  const Result<Embeddings> first = embed(*embedder, {"one"});
  REQUIRE(first.ok());
  REQUIRE(first->warnings.size() == 1);
  CHECK_THAT(first->warnings.front(), Contains("fewer than 8 bytes") && !Contains("ollama"));
  CHECK(embed(*embedder, {"two"})->warnings.empty());
  server.always(Trouble::kBusy);
  CHECK(http::clean_text("run ollama pull", "ollama", 100) == "run ollama pull");
}

TEST_CASE("what a provider wrote is one short line without secrets") {
  using http::clean_text;
  CHECK(clean_text("  a\tb\r\n\x01 c  ", "", 100) == "a b c");
  CHECK(clean_text("\x1b[2Jred\xc2\x9b", "", 100) == "[2Jred");
  CHECK(clean_text("caf\xc3\xa9 \xff\xfe", "", 100) == "caf\xc3\xa9 ??");
  CHECK(clean_text("key is hunter22!", "hunter22", 100) == "key is [key]!");
  CHECK(clean_text("Bearer abcdef, and more", "", 100) == "Bearer [key], and more");
  CHECK(clean_text("key sk-abc***xyz.", "", 100) == "key [key]");
  CHECK(clean_text("a task-list is fine", "", 100) == "a task-list is fine");
  CHECK(clean_text("\xc3\xa9\xc3\xa9\xc3\xa9", "", 3) == "\xc3\xa9...");
  CHECK(clean_text(std::string(100'000, 'x'), "", 10) == "xxxxxxxxxx...");
  CHECK(clean_text("Bearer Bearer Bearer ", "", 100).size() < 100);
}
