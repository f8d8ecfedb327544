#include <catch2/catch.hpp>

#include "embedjobs/embedder.hpp"
#include "embedjobs/engine.hpp"
#include "embedjobs/http.hpp"

using namespace embedjobs;
using namespace std::chrono_literals;
using Catch::Matchers::Contains;

namespace {

HttpEmbedderOptions parsed(std::string_view spec) {
  const Result<HttpEmbedderOptions> options = parse_http_embedder(spec);
  INFO(spec << ": " << options.status().to_string());
  REQUIRE(options.ok());
  return *options;
}

}  // namespace

TEST_CASE("a spec names provider, model and URL") {
  CHECK(parsed("ollama:nomic-embed-text:v1.5").model == "nomic-embed-text:v1.5");
  CHECK(parsed("ollama:nomic-embed-text:v1.5").url.empty());
  const HttpEmbedderOptions ollama = parsed("ollama:hf.co/org/model:Q4@http://gpu:11434");
  CHECK(ollama.kind == ProviderKind::kOllama);
  CHECK(ollama.model == "hf.co/org/model:Q4");
  CHECK(ollama.url == "http://gpu:11434");
  CHECK(parsed("openai:text-embedding-3-small@https://host/v1").url == "https://host/v1");
  CHECK(parsed("tei").kind == ProviderKind::kTei);
  CHECK(parsed("tei@http://host").url == "http://host");
  CHECK(parsed("tei:BAAI/bge@http://host").model == "BAAI/bge");
}

TEST_CASE("options stand behind a question mark") {
  const HttpEmbedderOptions options = parsed(
      "openai:m@https://"
      "name.openai.azure.com?api=azure&deployment=d%201&api_version=2024-02-01&dimensions=256&concurrency=3&batch=16"
      "&batch_bytes=1000&input_bytes=2000&response_bytes=3000&document_prefix=doc%3A%20&query_prefix=&encoding=float&"
      "ca_file=/ca.pem"
      "&connect_timeout=2s&proxy=http://proxy:3128");
  CHECK(options.azure);
  CHECK(options.deployment == "d 1");
  CHECK(options.api_version == "2024-02-01");
  CHECK(options.request_dimensions == 256);
  CHECK(options.concurrent_calls == 3);
  CHECK(options.batch_texts == 16);
  CHECK(options.batch_bytes == 1000);
  CHECK(options.input_bytes == 2000);
  CHECK(options.response_bytes == 3000);
  CHECK(options.document_prefix == "doc: ");
  CHECK(options.query_prefix == "");
  CHECK_FALSE(options.base64);
  CHECK(options.ca_file == "/ca.pem");
  CHECK(options.connect_timeout == 2s);
  CHECK(options.proxy == "http://proxy:3128");
}

TEST_CASE("what is wrong is said in one line that repeats nothing secret") {
  for (const char* spec : {"ollama",
                           "ollama:",
                           "ollama:@http://h",
                           "openai",
                           "ollama:m@",
                           "ollama:m@host:1",
                           "ollama:m@ftp://h",
                           "ollama:m@http://",
                           "ollama:m@http://user:canary@host",
                           "ollama:m@http://canary@host",
                           "ollama:m@https://h?canary",
                           "ollama:m?key=canary",
                           "ollama:m?api_key=canary",
                           "ollama:m?token=canary",
                           "ollama:m?unknown=canary",
                           "ollama:m?dimensions=0",
                           "ollama:m?dimensions=canary",
                           "ollama:m?dimensions=65537",
                           "ollama:m?concurrency=1&concurrency=2",
                           "ollama:m?document_prefix=%ff",
                           "ollama:m?encoding=canary",
                           "ollama:m?api=azure",
                           "openai:m?api=azure&api_version=1",
                           "openai:m@https://h?api=azure",
                           "ollama:m?connect_timeout=0s",
                           "ollama:m?dimension=3&dimensions=4",
                           "ollama:m\x01",
                           "tei:@http://h",
                           "ollama:m?ca_file=",
                           "ollama:m@http://h/#x"}) {
    const Status status = make_embedder(spec).status();
    INFO(spec << ": " << status.to_string());
    CHECK(status.code() == Code::kInvalidArgument);
    CHECK(status.message().find("canary") == std::string::npos);
    CHECK(status.message().find('\n') == std::string::npos);
    CHECK_FALSE(status.message().empty());
  }
  CHECK_THAT(make_embedder("ollama:m?key=canary").status().message(), Contains("EMBEDJOBS_API_KEY"));
  CHECK_THAT(make_embedder("ollama:m@http://u:p@host").status().message(), Contains("user name"));
}

TEST_CASE("a provider is named by kind, model and address, the same in every process") {
  CHECK((*make_embedder("ollama:nomic-embed-text:latest"))->provider() ==
        "ollama:nomic-embed-text@http://127.0.0.1:11434");
  CHECK((*make_embedder("tei@http://h:1/"))->provider() == "tei@http://h:1");
  CHECK((*make_embedder("tei@http://GPU.Example:80/A"))->provider() == "tei@http://gpu.example/A");
  CHECK((*make_embedder("tei@https://h:443"))->provider() == "tei@https://h");
  CHECK((*make_embedder("tei@https://h:80"))->provider() == "tei@https://h:80");
  CHECK((*make_embedder("openai:m@http://" + std::string(600, 'h')))->provider().size() <= 512);
}

TEST_CASE("limits come from the provider's table unless the spec says otherwise") {
  const auto limits = [](const char* spec) { return (*make_embedder(spec))->limits(); };
  CHECK(limits("ollama:m").concurrent_calls == 1);
  CHECK(limits("openai:m").batch_texts == 2048);
  CHECK(limits("tei").batch_texts == 32);
  CHECK(limits("openai:m").batch_tokens == 300'000);
  CHECK(limits("tei?batch_tokens=99").batch_tokens == 99);
  const EmbedderLimits own = limits("tei?batch=8&concurrency=2&input_bytes=100&batch_bytes=400");
  CHECK(make_embedder("tei?input_bytes=3").status().code() == Code::kInvalidArgument);  // not even one character
  CHECK(limits("tei?input_bytes=4").input_bytes == 4);
  CHECK(own.batch_texts == 8);
  CHECK(own.concurrent_calls == 2);
  CHECK(own.input_bytes == 100);
  CHECK(own.batch_bytes == 400);
}
