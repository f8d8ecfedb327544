#include <catch2/catch.hpp>

#include "embedjobs/engine.hpp"
#include "http/scene.hpp"

using namespace embedjobs;
using namespace embedjobs::test;
using namespace std::chrono_literals;
using Catch::Matchers::Contains;

TEST_CASE("every provider's vectors arrive in the order of the texts") {
  for (const Play play : {Play::kOllama, Play::kOldOllama, Play::kOpenAi, Play::kAzure, Play::kTei}) {
    INFO(static_cast<int>(play));
    ProviderServer server({.play = play});
    const auto embedder = made(options_for(play, server.url()));
    for (const std::size_t count : {1U, 2U, 7U, 32U}) {
      check_rows(embed(*embedder, numbered(count)), numbered(count));
    }
  }
}

TEST_CASE("texts with everything that JSON escapes arrive as they are") {
  ProviderServer server({.play = Play::kOllama});
  const auto embedder = made(options_for(Play::kOllama, server.url()));
  const std::vector<std::string> texts{"\"quoted\" \\ / \n\t\r \x01 \x1f \x7f", "žluťoučký 🐎 \xe2\x80\xa8",
                                       std::string("nul \0 inside", 12)};
  check_rows(embed(*embedder, texts), texts);
}

TEST_CASE("a text that is not UTF-8 is refused before it is sent") {
  ProviderServer server;
  const auto embedder = made(options_for(Play::kOllama, server.url()));
  CHECK(embed(*embedder, {"fine", "\xff"}).status().code() == Code::kInputRejected);
  CHECK(embed(*embedder, {""}).status().code() == Code::kInputRejected);
  CHECK(server.seen().calls == 0);
}

TEST_CASE("the dimension is what the first answer has, and no other from then on") {
  ProviderServer server({.dimension = 5});
  const auto embedder = made(options_for(Play::kOllama, server.url()));
  CHECK((*embedder->space({})).id() == "5/test-model");
  CHECK(server.seen().calls == 1);
  CHECK((*embedder->space({})).id() == "5/test-model");
  CHECK(server.seen().calls == 1);
  server.always(Trouble::kWrongDimension);
  const Status status = embed(*embedder, numbered(2)).status();
  CHECK(status.code() == Code::kPaused);
  CHECK_THAT(status.message(), Contains("than the 5 expected"));
}

TEST_CASE("a dimension that is given needs no call") {
  ProviderServer server({.dimension = 8});
  HttpEmbedderOptions options = options_for(Play::kOllama, server.url());
  options.dimension = 8;
  const auto embedder = made(options);
  CHECK((*embedder->space({})).id() == "8/test-model");
  CHECK(server.seen().calls == 0);
}

TEST_CASE("shorter vectors are asked for") {
  for (const Play play : {Play::kOllama, Play::kOpenAi, Play::kTei}) {
    ProviderServer server({.play = play, .dimension = 8});
    HttpEmbedderOptions options = options_for(play, server.url());
    options.request_dimensions = 4;
    const auto embedder = made(options);
    check_rows(embed(*embedder, numbered(3)), numbered(3), 4);
    CHECK((*embedder->space({})).id() == "4/test-model");
  }
}

TEST_CASE("base64 is asked for, arrays are accepted whatever was asked") {
  ProviderServer server({.play = Play::kOpenAi, .arrays_only = true});
  const auto embedder = made(options_for(Play::kOpenAi, server.url()));
  check_rows(embed(*embedder, numbered(3)), numbered(3));
  CHECK_THAT(server.seen().last_body, Contains("\"encoding_format\":\"base64\""));
}

TEST_CASE("a server that refuses base64 is asked for arrays from then on") {
  ProviderServer server({.play = Play::kOpenAi, .refuses_base64 = true});
  const auto embedder = made(options_for(Play::kOpenAi, server.url()));
  check_rows(embed(*embedder, numbered(3)), numbered(3));
  CHECK(server.seen().calls == 2);
  check_rows(embed(*embedder, numbered(3)), numbered(3));
  CHECK(server.seen().calls == 3);
}

TEST_CASE("a missing route of Ollama means an old one, which is remembered and whose vectors are normalised") {
  ProviderServer server({.play = Play::kOldOllama});
  const auto embedder = made(options_for(Play::kOllama, server.url()));
  check_rows(embed(*embedder, numbered(3)), numbered(3));  // the server's have length 3
  CHECK(server.seen().calls == 3);
  CHECK(server.seen().last_path == "/api/embeddings");
}

TEST_CASE("a missing model of Ollama is permanent and says what to run") {
  ProviderServer server({.model = "another"});
  const auto embedder = made(options_for(Play::kOllama, server.url()));
  const Status status = embed(*embedder, {"text"}).status();
  CHECK(status.code() == Code::kFailed);
  CHECK_THAT(status.message(), Contains("run `ollama pull test-model`"));
}

TEST_CASE("Ollama and TEI are told not to cut texts by themselves") {
  for (const Play play : {Play::kOllama, Play::kTei}) {
    ProviderServer server({.play = play});
    (void)embed(*made(options_for(play, server.url())), {"text"});
    CHECK_THAT(server.seen().last_body, Contains("\"truncate\":false"));
  }
}

TEST_CASE("TEI says which model it serves") {
  ProviderServer server({.play = Play::kTei, .model = "BAAI/bge-small-en-v1.5"});
  const auto embedder = made(options_for(Play::kTei, server.url()));
  CHECK((*embedder->space({})).id() == "8/BAAI/bge-small-en-v1.5");
}

TEST_CASE("Azure has its own path and header") {
  ProviderServer server({.play = Play::kAzure, .key = "azure-key"});
  HttpEmbedderOptions options = options_for(Play::kAzure, server.url());
  options.key = Secret("azure-key");
  check_rows(embed(*made(options), {"text"}), {"text"});
  CHECK(server.seen().last_path == "/openai/deployments/test-model/embeddings");
  CHECK(server.seen().last_api_key == "azure-key");
  CHECK(server.seen().last_authorization.empty());
}

TEST_CASE("prompt tokens are reported as the provider counts them") {
  for (const Play play : {Play::kOllama, Play::kOpenAi, Play::kTei}) {
    ProviderServer server({.play = play});
    const auto answer = embed(*made(options_for(play, server.url())), {"text"});
    REQUIRE(answer.ok());
    CHECK(answer->prompt_tokens.value_or(0) > 0);
  }
}

TEST_CASE("compressed answers are read") {
  ProviderServer server({.play = Play::kOllama, .dimension = 256, .gzip = true});
  check_rows(embed(*made(options_for(Play::kOllama, server.url())), numbered(8)), numbered(8), 256);
}

TEST_CASE("connections are kept") {
  ProviderServer server;
  const auto embedder = made(options_for(Play::kOllama, server.url()));
  for (int i = 0; i < 20; ++i) {
    check_rows(embed(*embedder, {"text"}), {"text"});
  }
  CHECK(server.seen().connections == 1);
}

TEST_CASE("a model's prefixes are sent, and are part of the space") {
  ProviderServer server({.play = Play::kOllama, .model = "nomic-embed-text"});
  HttpEmbedderOptions options = options_for(Play::kOllama, server.url());
  options.model = "nomic-embed-text";
  const auto embedder = made(options);
  CHECK(embed(*embedder, {"find me"}, {.purpose = Purpose::kQuery}).ok());
  CHECK(embed(*embedder, {"a document"}).ok());
  CHECK(server.seen().times.count("search_query: find me") == 1);
  CHECK(server.seen().times.count("search_document: a document") == 1);
  CHECK((*embedder->space({})).id() ==
        "8/nomic-embed-text?document_prefix=search_document:%20&query_prefix=search_query:%20");
  options.document_prefix = options.query_prefix = "";
  CHECK((*made(options)->space({})).id() == "8/nomic-embed-text");
}

TEST_CASE("one model under two URLs or names is one space") {
  HttpEmbedderOptions options = options_for(Play::kOllama, "http://here:1");
  options.dimension = 8;
  options.model = "m:latest";
  HttpEmbedderOptions other = options_for(Play::kOllama, "http://there:2/behind/a/proxy");
  other.dimension = 8;
  other.model = "m";
  CHECK((*made(options)->space({})).id() == (*made(other)->space({})).id());
}

TEST_CASE("long prefixes still make an id that is a space") {
  HttpEmbedderOptions options = options_for(Play::kOllama, "");
  options.dimension = 8;
  options.document_prefix = std::string(1000, 'x');
  const auto space = made(options)->space({});
  REQUIRE(space.ok());
  CHECK(validate(*space).ok());
  CHECK(*parse_space(space->id()) == *space);
  options.query_prefix = "y";
  CHECK((*made(options)->space({})).id() != space->id());
}

TEST_CASE("a text at fault is told from a provider at fault by asking a harmless one") {
  ProviderServer server({.poison = "venom", .poison_status = 500});
  const auto embedder = made(options_for(Play::kOllama, server.url()));
  CHECK(embed(*embedder, {"fine", "venom"}).status().code() == Code::kInputRejected);  // to be split
  CHECK(embed(*embedder, {"venom"}).status().code() == Code::kInputTooLarge);          // stands alone: cut
  server.always(Trouble::kInternalError);
  CHECK(embed(*embedder, {"fine"}).status().code() == Code::kPaused);
}

TEST_CASE("a text that failed once by accident is embedded all the same") {
  ProviderServer server;
  const auto embedder = made(options_for(Play::kOllama, server.url()));
  server.script({Trouble::kInternalError});
  check_rows(embed(*embedder, {"fine"}), {"fine"});
}

TEST_CASE("health tells the states apart and says what to do") {
  const auto state = [](const HttpEmbedderOptions& options) {
    return std::dynamic_pointer_cast<HealthCheck>(made(options))->check({});
  };
  ProviderServer server({.play = Play::kOpenAi, .key = "right"});
  HttpEmbedderOptions options = options_for(Play::kOpenAi, server.url());
  options.key = Secret("wrong");
  ProviderHealth health = state(options);
  CHECK(health.state == HealthState::kUnauthorised);
  CHECK_THAT(health.advice, Contains("EMBEDJOBS_API_KEY"));
  CHECK(health.detail.find("wrong") == std::string::npos);
  options.key = Secret("right");
  health = state(options);
  CHECK(health.state == HealthState::kOk);
  CHECK(health.kind == "openai");
  CHECK(health.model == "test-model");
  CHECK(health.dimension == 8);
  CHECK(health.advice.empty());
  options.model = "unknown";
  CHECK(state(options).state == HealthState::kModelMissing);
  options = options_for(Play::kOllama, "http://127.0.0.1:1");
  health = state(options);
  CHECK(health.state == HealthState::kUnreachable);
  CHECK_THAT(health.advice, Contains("ollama serve"));
  server.always(Trouble::kQuota);
  options = options_for(Play::kOpenAi, server.url());
  options.key = Secret("right");
  CHECK(state(options).state == HealthState::kQuotaExhausted);
  server.always(Trouble::kRateLimit);
  CHECK(state(options).state == HealthState::kLimited);
  server.always(Trouble::kHtml);
  CHECK(state(options).state == HealthState::kFaulty);
}

TEST_CASE("a provider that is not there is one clear line that says what to start") {
  const auto embedder = make_embedder("ollama:nomic-embed-text@http://127.0.0.1:1");
  REQUIRE(embedder.ok());
  const Status status = (*embedder)->space({}).status();
  CHECK(status.code() == Code::kPaused);
  CHECK(status.message() ==
        "ollama at http://127.0.0.1:1 is not reachable (Connection refused); start it with `ollama serve`, or name "
        "another embedder with "
        "--embedder");
}
