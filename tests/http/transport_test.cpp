// Servers that hang, drip, flood, break off, lie and are not there.
#include <catch2/catch.hpp>

#include <cstdlib>
#include <fstream>
#include <thread>

#include "http/scene.hpp"
#include "support/temp_folder.hpp"

using namespace embedjobs;
using namespace embedjobs::test;
using namespace std::chrono_literals;
using Catch::Matchers::Contains;

namespace {

Status status_with(ProviderServer& server, HttpEmbedderOptions options, const CallContext& context = {}) {
  options.dimension = 8;
  (void)server;
  return embed(*made(options), numbered(4), context).status();
}

Status status_with(Trouble trouble, const CallContext& context = {}) {
  ProviderServer server;
  server.always(trouble);
  HttpEmbedderOptions options = options_for(Play::kOllama, server.url());
  options.stall_timeout = 200ms;
  return status_with(server, options, context);
}

/// A certificate of its own for 127.0.0.1, made by openssl.
struct Certificate {
  TempFolder folder;
  std::string cert = folder.file("cert.pem"), key = folder.file("key.pem");
  explicit Certificate(const std::string& name = "IP:127.0.0.1", const std::string& days = "2") {
    const std::string command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout " +
                                key + " -out " + cert + " -days " + days +
                                " -subj /CN=test -addext subjectAltName=" + name + " 2>/dev/null";
    REQUIRE(std::system(command.c_str()) == 0);
  }
};

}  // namespace

TEST_CASE("a stop request ends a call to a server that never answers") {
  ProviderServer server;
  server.always(Trouble::kSilent);
  HttpEmbedderOptions options = options_for(Play::kOllama, server.url());
  options.dimension = 8;
  const auto embedder = made(options);
  std::stop_source stop;
  Status status;
  std::thread caller([&] { status = embed(*embedder, {"text"}, {.stop = stop.get_token()}).status(); });
  server.wait_for_calls(1);
  stop.request_stop();
  caller.join();  // there is nothing else that would end it; tests/bench/http_bench.cpp says how long it takes
  CHECK(status.code() == Code::kCancelled);
}

TEST_CASE("a stop requested before the call sends nothing") {
  ProviderServer server;
  std::stop_source stop;
  stop.request_stop();
  CHECK(status_with(server, options_for(Play::kOllama, server.url()), {.stop = stop.get_token()}).code() ==
        Code::kCancelled);
  CHECK(server.seen().calls == 0);
}

TEST_CASE("a server that never answers is a timeout when the limit has passed") {
  const Status status = status_with(Trouble::kSilent, {.time_limit = 100ms});
  CHECK(status.code() == Code::kTimeout);
}

TEST_CASE("a server that answers one byte a second is given up long before its answer ends") {
  const Status status = status_with(Trouble::kTrickle);
  CHECK(status.code() == Code::kRetry);
  CHECK_THAT(status.message(), Contains("too slowly"));
}

TEST_CASE("a slow model is not a stalled answer") {
  ProviderServer server({.delay_per_call = 500ms});
  HttpEmbedderOptions options = options_for(Play::kOllama, server.url());
  options.stall_timeout = 100ms;
  check_rows(embed(*made(options), numbered(2)), numbered(2));
}

TEST_CASE("broken connections and broken answers cost a try") {
  for (const Trouble trouble : {Trouble::kTruncated, Trouble::kReset, Trouble::kGarbage}) {
    INFO(to_string(trouble));
    const Status status = status_with(trouble);
    INFO(status.to_string());
    CHECK(status.code() == Code::kRetry);
  }
}

TEST_CASE("an answer that even a harmless text gets is the provider's fault, and pauses it") {
  for (const Trouble trouble : {Trouble::kBadGateway, Trouble::kBrokenJson, Trouble::kHtml, Trouble::kWrongDimension,
                                Trouble::kEmpty, Trouble::kBackendAway, Trouble::kErrorInside}) {
    INFO(to_string(trouble));
    const Status status = status_with(trouble);
    INFO(status.to_string());
    CHECK(status.code() == Code::kPaused);
  }
}

TEST_CASE("limits of a provider pause it") {
  for (const Trouble trouble : {Trouble::kRateLimit, Trouble::kBusy, Trouble::kLoading}) {
    INFO(to_string(trouble));
    CHECK(status_with(trouble).code() == Code::kPaused);
  }
}

TEST_CASE("an endless answer is read no further than its limit") {
  const Status status = status_with(Trouble::kOversized);
  CHECK(status.code() == Code::kRetry);
  CHECK_THAT(status.message(), Contains("more than is read"));
}

TEST_CASE("a small answer that decompresses to a large one is stopped at the same limit") {
  ProviderServer server({.gzip = true});
  server.answer_with([](std::string_view, std::size_t) {
    return Answer{.body = std::string(std::size_t{32} << 20, ' '), .headers = {}};
  });
  HttpEmbedderOptions options = options_for(Play::kOllama, server.url());
  options.response_bytes = 100'000;
  CHECK_THAT(status_with(server, options).message(), Contains("more than is read"));
}

TEST_CASE("headers without an end are not collected") {
  ProviderServer server;
  server.answer_with([](std::string_view, std::size_t) {
    Answer answer;
    for (int i = 0; i < 100; ++i) {
      answer.headers.emplace_back("X-Padding-" + std::to_string(i), std::string(4000, 'x'));
    }
    return answer;
  });
  CHECK(status_with(server, options_for(Play::kOllama, server.url())).code() == Code::kRetry);
}

TEST_CASE("a long error is cut, whatever the server goes on to say") {
  ProviderServer server;
  server.answer_with([](std::string_view, std::size_t) {
    return Answer{.status = 415, .body = "{\"error\":\"" + std::string(3'000'000, 'x') + "\"}", .headers = {}};
  });
  const Status status = status_with(server, options_for(Play::kOllama, server.url()));
  CHECK(status.code() == Code::kPaused);
  CHECK(status.message().size() < 500);
}

TEST_CASE("nobody there, no such host, a wrong protocol: a pause that says what to do") {
  ProviderServer server;
  const auto code = [&](const std::string& url) { return status_with(server, options_for(Play::kOpenAi, url)).code(); };
  CHECK(code("http://127.0.0.1:1") == Code::kPaused);
  CHECK(code("http://no-such-host.invalid") == Code::kPaused);
  CHECK(code("https://" + server.url().substr(7)) == Code::kPaused);  // TLS to a server that has none
}

TEST_CASE("a proxy of the environment is not used") {
  ProviderServer server;
  ::setenv("http_proxy", "http://127.0.0.1:1", 1);
  ::setenv("all_proxy", "http://127.0.0.1:1", 1);
  const auto answer = embed(*made(options_for(Play::kOllama, server.url())), {"text"});
  ::unsetenv("http_proxy");
  ::unsetenv("all_proxy");
  check_rows(answer, {"text"});
}

TEST_CASE("a proxy that is asked for is used") {
  ProviderServer server;
  HttpEmbedderOptions options = options_for(Play::kOllama, "http://provider.invalid");
  options.proxy = server.url();
  check_rows(embed(*made(options), {"text"}), {"text"});
}

TEST_CASE("redirects are not followed") {
  ProviderServer target;
  ProviderServer server;
  server.answer_with([&](std::string_view, std::size_t) {
    return Answer{.status = 307, .headers = {{"Location", target.url() + "/api/embed"}}};
  });
  CHECK(status_with(server, options_for(Play::kOllama, server.url())).code() == Code::kFailed);
  CHECK(target.seen().calls == 0);
}

TEST_CASE("a certificate that nobody vouches for is refused; with its authority it is accepted") {
  const Certificate certificate;
  ProviderServer server({.cert_file = certificate.cert, .key_file = certificate.key});
  HttpEmbedderOptions options = options_for(Play::kOllama, server.url());
  const Status status = status_with(server, options);
  CHECK(status.code() == Code::kPaused);
  CHECK_THAT(status.message(), Contains("certificate"));
  CHECK(server.seen().calls == 0);
  options.ca_file = certificate.cert;
  check_rows(embed(*made(options), numbered(3)), numbered(3));
}

TEST_CASE("a certificate of another host is refused") {
  const Certificate certificate("DNS:elsewhere.example");
  ProviderServer server({.cert_file = certificate.cert, .key_file = certificate.key});
  HttpEmbedderOptions options = options_for(Play::kOllama, server.url());
  options.ca_file = certificate.cert;
  CHECK(status_with(server, options).code() == Code::kPaused);
  CHECK(server.seen().calls == 0);
}

TEST_CASE("a file of authorities that is not there is an error before anybody is asked") {
  const Certificate certificate;
  HttpEmbedderOptions options = options_for(Play::kOllama, "https://127.0.0.1:1");
  const std::string folder = certificate.cert.substr(0, certificate.cert.rfind('/'));
  for (const std::string& path : {std::string("/no/such/file.pem"), folder}) {
    options.ca_file = path;
    const Status status = make_http_embedder(options).status();
    INFO(status.to_string());
    CHECK(status.code() == Code::kInvalidArgument);
    CHECK_THAT(status.message(), Contains("ca_file '" + path + "'") && Contains("PEM"));
  }
  options.ca_file = certificate.cert;
  CHECK(make_http_embedder(options).ok());
}

TEST_CASE("calls from many threads have connections of their own, and each its own answer") {
  ProviderServer server({.delay_per_call = 2ms});
  HttpEmbedderOptions options = options_for(Play::kOllama, server.url());
  options.concurrent_calls = 8;
  const auto embedder = made(options);
  std::vector<std::thread> threads;
  std::vector<Result<Embeddings>> answers(64, Result<Embeddings>(Status()));
  for (std::size_t t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      for (std::size_t i = t; i < answers.size(); i += 8) {
        answers[i] = embed(*embedder, {"text " + std::to_string(i), "more " + std::to_string(i)});
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  for (std::size_t i = 0; i < answers.size(); ++i) {
    check_rows(answers[i], {"text " + std::to_string(i), "more " + std::to_string(i)});
  }
  CHECK(server.seen().connections <= 8);
}

TEST_CASE("a connection that the server closed meanwhile is made anew") {
  HttpEmbedderOptions options;
  auto server = std::make_unique<ProviderServer>();
  options = options_for(Play::kOllama, server->url());
  const auto embedder = made(options);
  check_rows(embed(*embedder, {"one"}), {"one"});
  const int port = std::stoi(server->url().substr(server->url().rfind(':') + 1));
  server.reset();
  CHECK(embed(*embedder, {"two"}).status().code() == Code::kPaused);
  server = std::make_unique<ProviderServer>(ServerOptions{.port = port});
  check_rows(embed(*embedder, {"three"}), {"three"});
}
