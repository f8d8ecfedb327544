// Passing faults, and what is a verdict: what real servers answer, and what becomes of it.
#include <catch2/catch.hpp>

#include <atomic>

#include "http/endpoint.hpp"
#include "http/http_embedder.hpp"
#include "http/scene.hpp"
#include "http/verdict.hpp"
#include "http/why_late.hpp"

using namespace embedjobs;
using namespace embedjobs::http;
using namespace embedjobs::test;
using namespace std::chrono_literals;
using Catch::Matchers::Contains;

namespace {

std::atomic<std::int64_t> pretended_ns{0};
std::chrono::steady_clock::time_point pretended_now() {
  return std::chrono::steady_clock::time_point(std::chrono::nanoseconds(pretended_ns.load()));
}

std::shared_ptr<Embedder> made_with_clock(const HttpEmbedderOptions& options) {
  return std::make_shared<HttpEmbedder>(options, *make_endpoint(options), &pretended_now);
}

}  // namespace

TEST_CASE("a fault is a verdict after five errors of one kind in a row and 15 minutes") {
  const Verdict::Time start{};
  Verdict verdict;
  for (int minute = 0; minute < 15; ++minute) {
    CHECK_FALSE(verdict.failed("server error", 502, start + std::chrono::minutes(minute)));
  }
  CHECK(verdict.failed("server error", 502, start + 15min));
  CHECK_FALSE(verdict.failed("server error", 504, start + 16min));  // another one
  CHECK_FALSE(verdict.failed("server error", 502, start + 17min));
  verdict.clear();
  CHECK_FALSE(verdict.failed("client error", 424, start + 20min));
  CHECK_FALSE(verdict.failed("client error", 424, start + 60min));  // long enough, but two only
  CHECK_FALSE(verdict.failed("client error", 424, start + 60min));
  CHECK_FALSE(verdict.failed("client error", 424, start + 60min));
  CHECK(verdict.failed("client error", 424, start + 60min));
}

TEST_CASE("what even a harmless text meets pauses the provider, until it has lasted: then it is terminal") {
  for (const Trouble trouble : {Trouble::kBackendAway, Trouble::kErrorInside, Trouble::kHtml, Trouble::kWrongCount,
                                Trouble::kInternalError, Trouble::kBadGateway, Trouble::kZero}) {
    INFO(to_string(trouble));
    ProviderServer server({.play = Play::kOpenAi});
    const auto embedder = made_with_clock(options_for(Play::kOpenAi, server.url()));
    server.always(trouble);
    const auto start = pretended_ns.load();
    for (const auto minutes : {0min, 3min, 6min, 9min, 12min, 14min}) {
      pretended_ns = start + std::chrono::nanoseconds(minutes).count();
      CHECK(embed(*embedder, {"text"}).status().code() == Code::kPaused);
    }
    pretended_ns = start + std::chrono::nanoseconds(15min).count();
    CHECK(embed(*embedder, {"text"}).status().code() == Code::kFailed);
    server.always(std::nullopt);
    check_rows(embed(*embedder, {"text"}), {"text"});
    server.always(trouble);
    CHECK(embed(*embedder, {"text"}).status().code() == Code::kPaused);  // all over again
  }
}

TEST_CASE("a text that is refused while a harmless one is answered may be too long, whatever is said") {
  struct Words {
    int status;
    std::string body;
  };
  for (const Words& said : std::vector<Words>{
           {400, R"x({"error":{"message":"entry 0: 9201 tokens (8192 allowed)","type":"invalid_request_error"}})x"},
           {422, R"({"detail":[{"type":"string_too_long","loc":["body","input",0],"msg":"too many characters"}]})"},
           {500, R"x({"error":"the runner closed the connection (EOF)"})x"},
           {500, "Internal Server Error"},
           {502, "<html><title>Bad Gateway</title></html>"},
           {424, R"({"error":"CUDA out of memory","error_type":"Backend"})"},
           {406, "zu lang"},
           {431, ""},
           {200, R"({"error":"the sequence is out of range"})"},
           {200, R"({"data":[]})"}}) {
    INFO(said.status << " " << said.body);
    ProviderServer server(
        {.play = Play::kOpenAi, .max_input_bytes = 1000, .too_long_status = said.status, .too_long_body = said.body});
    const auto embedder = made(options_for(Play::kOpenAi, server.url()));
    CHECK(embed(*embedder, {"short", std::string(2000, 'x')}).status().code() == Code::kInputRejected);  // to be split
    CHECK(embed(*embedder, {std::string(2000, 'x')}).status().code() == Code::kInputTooLarge);           // to be cut
    check_rows(embed(*embedder, {std::string(1000, 'x')}), {std::string(1000, 'x')});
  }
}

TEST_CASE("a batch that is answered with another number or an order that can't be told is split at once") {
  ServerOptions one{.play = Play::kOpenAi};
  one.one_vector = true;
  ServerOptions same{.play = Play::kOpenAi};
  same.same_index = true;
  for (const ServerOptions& options : {one, same}) {
    ProviderServer server(options);
    const auto embedder = made(options_for(Play::kOpenAi, server.url()));
    CHECK(embed(*embedder, {"one", "two"}).status().code() == Code::kBatchTooLarge);
    CHECK(server.seen().calls == 1);
    check_rows(embed(*embedder, {"one"}), {"one"});
  }
}

TEST_CASE("an index of zero that is left out costs nothing") {
  ServerOptions options{.play = Play::kOpenAi};
  options.omits_zero = true;
  ProviderServer server(options);
  const auto embedder = made(options_for(Play::kOpenAi, server.url()));
  check_rows(embed(*embedder, numbered(5)), numbered(5));
  CHECK(server.seen().calls == 1);
}

TEST_CASE("a server that refuses the field of the format is asked without it, named or not, and that is remembered") {
  ServerOptions options{.play = Play::kOpenAi};
  options.refuses_format = true;
  ProviderServer server(options);
  const auto embedder = made(options_for(Play::kOpenAi, server.url()));
  check_rows(embed(*embedder, {"one"}), {"one"});
  CHECK(server.seen().last_body.find("encoding_format") == std::string::npos);
  const std::size_t calls = server.seen().calls;
  check_rows(embed(*embedder, {"two"}), {"two"});
  CHECK(server.seen().calls == calls + 1);
  // Named, as a validation library does it.
  ProviderServer strict({.play = Play::kOpenAi});
  strict.answer_with([](std::string_view, std::size_t call) {
    const std::string refusal =
        R"({"detail":[{"type":"extra_forbidden","loc":["body","encoding_format"],"msg":"unknown field"}]})";
    return Answer{.status = call == 0 ? 422 : 200,
                  .body = call == 0 ? refusal : R"({"data":[{"index":0,"embedding":[0.6,0.8]}]})",
                  .headers = {}};
  });
  CHECK(embed(*made(options_for(Play::kOpenAi, strict.url())), {"one"}).ok());
  CHECK(strict.seen().calls == 2);
  CHECK(strict.seen().last_body.find("encoding_format") == std::string::npos);
}

TEST_CASE("base64 of other numbers is recognised, and arrays are asked for from then on") {
  for (const char* const made_of : {"doubles", "big-endian", "halves"}) {
    for (const std::size_t known : {std::size_t{0}, std::size_t{64}}) {
      INFO(made_of << ", dimension " << known);
      ServerOptions server_options{.play = Play::kOpenAi, .dimension = 64};
      server_options.base64_of = made_of;
      ProviderServer server(server_options);
      HttpEmbedderOptions options = options_for(Play::kOpenAi, server.url());
      options.dimension = known;
      const auto embedder = made(options);
      check_rows(embed(*embedder, numbered(3)), numbered(3), 64);
      CHECK_THAT(server.seen().last_body, Contains("\"encoding_format\":\"float\""));
      check_rows(embed(*embedder, numbered(3)), numbered(3), 64);
      CHECK(server.seen().calls == 3);
    }
  }
}

TEST_CASE("a server that makes no embeddings, or whose budget is spent, is terminal and says so") {
  for (const auto& [trouble, words] :
       std::vector<std::pair<Trouble, std::string>>{{Trouble::kNotImplemented, "embeddings are switched off"},
                                                    {Trouble::kBudget, "the budget of this key is spent"}}) {
    ProviderServer server({.play = Play::kOpenAi});
    server.always(trouble);
    const auto embedder = made(options_for(Play::kOpenAi, server.url()));
    for (const Status& status : {embed(*embedder, {"text"}).status(), embedder->space({}).status()}) {
      CHECK(status.code() == Code::kFailed);
      CHECK_THAT(status.message(), Contains(words));
    }
  }
}

TEST_CASE("the server's words are quoted once, and a web page is called one") {
  ProviderServer server({.play = Play::kOpenAi});
  const auto embedder = made(options_for(Play::kOpenAi, server.url()));
  const auto said = [&](int status, const std::string& body) {
    server.answer_with(
        [=](std::string_view, std::size_t) { return Answer{.status = status, .body = body, .headers = {}}; });
    return embed(*embedder, {"text"}).status().message();
  };
  const std::string inside = said(200, R"({"error":"no such method here: POST /embeddings"})");
  CHECK_THAT(inside, Contains("answered an error instead of vectors (no such method here: POST /embeddings)"));
  CHECK(inside.find("no such method") == inside.rfind("no such method"));
  CHECK_THAT(said(200, "<!doctype html><html><title>Sign in</title></html>"), Contains("a web page (Sign in)"));
  CHECK_THAT(said(502, "<html><head><title>502 Bad Gateway</title></head></html>"),
             Contains("HTTP 502: a web page, \"502 Bad Gateway\""));
  CHECK_THAT(said(404, "<html></html>"), Contains("a web page; there is no embeddings API at"));
  CHECK_THAT(said(404, R"({"error":{"message":"the model \"nope\" was not found here, pull it"}})"),
             Contains("the server has no model test-model"));
  CHECK_THAT(said(400, R"({"error":{"message":"Invalid model name passed in model=x"}})"),
             Contains("the server has no model test-model"));
  CHECK(said(500, R"({"error":")" + std::string(5000, 'w') + R"("})").size() < 300);
}

TEST_CASE("a look-up that is late is for the machine where no server is asked, or where nothing gets time") {
  const std::string words = "Resolving timed out after 10001 milliseconds";
  for (const char* const url : {"http://127.0.0.1:11434/api/embed", "http://[::1]:8080/embed", "http://localhost/v1"}) {
    CHECK_THAT(why_late(words, url, false), Contains("the machine is too busy"));
    CHECK(why_late("Connection timed out", url, false) == "Connection timed out");
  }
  CHECK(why_late(words, "https://api.example.com/v1", false) == "no name server answered within the time limit");
  CHECK_THAT(why_late(words, "https://api.example.com/v1", true), Contains("the machine is too busy"));
}

TEST_CASE("another model's answer is a warning, once; the same under a longer name is none") {
  const auto warnings = [](const std::string& asked, const std::string& answered) {
    ServerOptions server_options{.play = Play::kOpenAi, .model = asked};
    server_options.answering_model = answered;
    ProviderServer server(server_options);
    HttpEmbedderOptions options = options_for(Play::kOpenAi, server.url());
    options.model = asked;
    const auto embedder = made(options);
    (void)embedder->space({});
    std::vector<std::string> all = embed(*embedder, {"one"})->warnings;
    const std::vector<std::string> again = embed(*embedder, {"two"})->warnings;
    all.insert(all.end(), again.begin(), again.end());
    return all;
  };
  const std::vector<std::string> other = warnings("bge-m3", "all-minilm");
  REQUIRE(other.size() == 1);
  CHECK_THAT(other.front(), Contains("asked for the model bge-m3") && Contains("all-minilm answered"));
  CHECK(warnings("text-embedding-3-small", "text-embedding-3-large").size() == 1);
  for (const char* const same :
       {"BAAI/bge-m3", "bge-m3", "BGE-M3", "bge-m3:latest", "bge-m3-v2", "openai/BAAI/bge-m3"}) {
    INFO(same);
    CHECK(warnings("bge-m3", same).empty());
  }
}

TEST_CASE("a close look says how batches, long texts and another model are answered") {
  const auto look = [](ServerOptions server_options) {
    server_options.play = Play::kOpenAi;
    ProviderServer server(std::move(server_options));
    return std::dynamic_pointer_cast<HealthCheck>(made(options_for(Play::kOpenAi, server.url())))->check_closely({});
  };
  const ProviderHealth good = look({});
  CHECK(good.state == HealthState::kOk);
  CHECK(good.batches == "two texts in one call, two vectors");
  CHECK_THAT(good.long_texts, Contains("read to their end"));
  CHECK(good.long_time > Duration(0));
  CHECK(good.short_time > Duration(0));
  CHECK(good.warnings.empty());
  ServerOptions one;
  one.one_vector = true;
  CHECK_THAT(look(one).batches, Contains("one goes at a time"));
  ServerOptions strict;
  strict.max_input_bytes = 100;
  CHECK_THAT(look(strict).long_texts, Contains("bytes are refused"));
  CHECK(look(strict).batches == "two texts in one call, two vectors");
  ServerOptions cuts;
  cuts.reads_bytes = 500;
  CHECK_THAT(look(cuts).long_texts, Contains("cut unseen"));
  ServerOptions other;
  other.answering_model = "another";
  CHECK(look(other).warnings.size() == 1);
}
