// Every line of the decision table, by an answer that it is there for: what a real server says, and what becomes of it.
#include <catch2/catch.hpp>

#include <set>

#include "http/decision.hpp"
#include "http/scene.hpp"

using namespace embedjobs;
using namespace embedjobs::http;
using Catch::Matchers::Contains;

namespace {

constexpr auto kOllama = ProviderKind::kOllama;
constexpr auto kOpenAi = ProviderKind::kOpenAi;
constexpr auto kTei = ProviderKind::kTei;

struct FaultCase {
  std::string_view line;
  ProviderKind kind;
  Fault fault;
  Action action;
};
const std::vector<FaultCase> kFaults{
    {"cancelled", kOllama, Fault::kCancelled, Action::kCancel},
    {"ollama unreachable", kOllama, Fault::kUnreachable, Action::kPause},
    {"tei unreachable", kTei, Fault::kUnreachable, Action::kPause},
    {"unreachable", kOpenAi, Fault::kUnreachable, Action::kPause},
    {"tls", kOpenAi, Fault::kTls, Action::kPause},
    {"timeout", kOllama, Fault::kTimeout, Action::kShrink},
    {"stalled", kOllama, Fault::kStalled, Action::kRetry},
    {"connection lost", kOllama, Fault::kConnectionLost, Action::kRetry},
    {"truncated", kOllama, Fault::kTruncated, Action::kRetry},
    {"oversized", kOllama, Fault::kOversized, Action::kRetry},
    {"not http", kOllama, Fault::kNotHttp, Action::kRetry},
    {"local", kOllama, Fault::kLocal, Action::kRetry},
    {"broken json", kOllama, Fault::kBrokenJson, Action::kSuspectInput},
    {"wrong shape", kOllama, Fault::kWrongShape, Action::kSuspectInput},
    {"error inside", kOpenAi, Fault::kErrorInside, Action::kSuspectInput},
    {"web page", kOpenAi, Fault::kWebPage, Action::kSuspectInput},
    {"foreign base64", kOpenAi, Fault::kForeignBase64, Action::kPlainNumbers},
    {"empty answer", kOllama, Fault::kEmptyAnswer, Action::kSuspectInput},
    {"wrong count", kOllama, Fault::kWrongCount, Action::kSplitBatch},
    {"wrong order", kOpenAi, Fault::kWrongOrder, Action::kSplitBatch},
    {"wrong dimension", kOllama, Fault::kWrongDimension, Action::kSuspectInput},
    {"not finite", kOllama, Fault::kNotFinite, Action::kSuspectInput},
    {"zero vector", kOllama, Fault::kZeroVector, Action::kSuspectInput},
};

struct AnswerCase {
  std::string_view line;
  ProviderKind kind;
  int status;
  std::string_view body;
  Action action;
};
const std::vector<AnswerCase> kAnswers{
    {"quota", kOpenAi, 429,
     R"({"error":{"message":"You exceeded your current quota",)"
     R"("type":"insufficient_quota","code":"insufficient_quota"}})",
     Action::kFail},
    {"billing limit", kOpenAi, 400,
     R"({"error":{"message":"Billing hard limit has been reached","code":"billing_hard_limit_reached"}})",
     Action::kFail},
    {"balance", kOpenAi, 429, R"({"error":{"message":"no","code":"insufficient_balance"}})", Action::kFail},
    {"current quota", kOpenAi, 429, R"({"error":{"message":"no","type":"exceeded_current_quota_error"}})",
     Action::kFail},
    {"budget", kOpenAi, 429,
     R"({"error":{"message":"Budget has been exceeded! Current cost: 3, Max budget: 2","type":"budget_exceeded",)"
     R"("code":"429"}})",
     Action::kFail},
    {"budget", kOpenAi, 400, R"({"error":{"message":"no","type":"budget_exceeded","code":"400"}})", Action::kFail},
    {"budget in words", kOpenAi, 400,
     R"({"error":{"message":"litellm.BadRequestError: OpenAIException - Budget has been exceeded! Max budget: 100",)"
     R"("type":null,"code":"400"}})",
     Action::kSuspectInput},
    {"payment", kOpenAi, 402, R"({"message":"Payment required"})", Action::kFail},
    {"unauthorised", kOpenAi, 401, R"({"error":{"message":"Incorrect API key provided","code":"invalid_api_key"}})",
     Action::kFail},
    {"forbidden", kOpenAi, 403, R"({"error":{"message":"Country not supported"}})", Action::kFail},
    {"tokens a request", kOpenAi, 400,
     R"({"error":{"message":"Requested 312000 tokens","code":"max_tokens_per_request"}})", Action::kSplitBatch},
    {"300000 tokens", kOpenAi, 400, R"({"error":{"message":"Requested 312000 tokens, max 300000 tokens per request"}})",
     Action::kSplitBatch},
    {"tei batch size", kTei, 422,
     R"({"error":"batch size 64 > maximum allowed batch size 32","error_type":"Validation"})", Action::kSplitBatch},
    {"openai array", kOpenAi, 400, R"({"error":{"message":"Invalid 'input': array too long. Expected at most 2048"}})",
     Action::kSplitBatch},
    {"larger than a minute", kOpenAi, 429,
     R"({"error":{"message":"Request too large for m on tokens per min (TPM): Limit 40000",)"
     R"("type":"tokens","code":"rate_limit_exceeded"}})",
     Action::kSplitBatch},
    {"tokens must be reduced", kOpenAi, 429,
     R"({"error":{"message":"The input or output tokens must be reduced","code":"429"}})", Action::kSplitBatch},
    {"exceeds the context length", kOllama, 400, R"({"error":"the input length exceeds the context length"})",
     Action::kCutInput},
    {"exceeds the context length", kOllama, 500, R"({"error":"The input length EXCEEDS the context length"})",
     Action::kCutInput},
    {"exceeds maximum context length", kOllama, 400, R"({"error":"input length exceeds maximum context length"})",
     Action::kCutInput},
    {"cannot be truncated further", kOllama, 400, R"({"error":"input cannot be truncated further"})",
     Action::kCutInput},
    {"maximum context length is", kOpenAi, 400,
     R"({"error":{"message":"This model's maximum context length is 8192 tokens"}})", Action::kCutInput},
    {"maximum input length is", kOpenAi, 422, R"({"message":"maximum input length is 512"})", Action::kCutInput},
    {"is too large to process", kOpenAi, 500,
     R"({"error":{"code":500,"message":"input is too large to process. increase the batch size"}})", Action::kCutInput},
    {"physical batch size", kOpenAi, 500,
     R"({"error":{"message":"input (900 tokens) is larger than the physical batch size"}})", Action::kCutInput},
    {"larger than the max context size", kOpenAi, 400,
     R"({"error":{"message":"input is larger than the max context size"}})", Action::kCutInput},
    {"exceeds the available context size", kOpenAi, 400,
     R"({"error":{"message":"the request exceeds the available context size"}})", Action::kCutInput},
    {"exceed_context_size_error", kOpenAi, 400, R"({"error":{"message":"no","type":"exceed_context_size_error"}})",
     Action::kCutInput},
    {"must have less than tokens", kTei, 413,
     R"({"error":"`inputs` must have less than 512 tokens. Given: 900","error_type":"Validation"})", Action::kCutInput},
    {"context window", kOpenAi, 400, R"({"error":{"message":"the text is larger than the model's context window"}})",
     Action::kCutInput},
    {"context_length_exceeded", kOpenAi, 400, R"({"error":{"message":"no","code":"context_length_exceeded"}})",
     Action::kCutInput},
    {"body too large", kTei, 413, "length limit exceeded", Action::kSplitBatch},
    {"no base64", kOpenAi, 422, R"({"message":"encoding_format is not supported","type":"Validation","code":422})",
     Action::kPlainNumbers},
    {"no dimensions", kOpenAi, 400, R"({"error":{"message":"This model does not support specifying dimensions."}})",
     Action::kFail},
    {"no matryoshka", kOpenAi, 400, R"({"error":{"message":"Model does not support matryoshka representation"}})",
     Action::kFail},
    {"ollama without /api/embed", kOllama, 404, "404 page not found", Action::kOldRoute},
    {"ollama without /api/embed", kOllama, 404, R"({"detail":"Not Found"})", Action::kOldRoute},
    {"ollama model missing", kOllama, 404, R"({"error":"model \"x\" not found, try pulling it first"})", Action::kFail},
    {"model_not_found", kOpenAi, 404,
     R"({"error":{"message":"The model `x` does not exist","code":"model_not_found"}})", Action::kFail},
    {"deployment missing", kOpenAi, 404,
     R"({"error":{"code":"DeploymentNotFound","message":"The API deployment does not exist."}})", Action::kFail},
    {"model missing", kOpenAi, 404,
     R"({"object":"error","message":"The model `x` does not exist.","type":"NotFoundError","code":404})",
     Action::kFail},
    {"model missing", kOpenAi, 404,
     R"({"error":{"message":"model \"x\" not found, try pulling it first","type":"api_error"}})", Action::kFail},
    {"model missing", kTei, 404, R"({"error":"no such model here","error_type":"NotFound"})", Action::kFail},
    {"does not exist", kOpenAi, 404, R"({"error":{"message":"x does not exist"}})", Action::kFail},
    {"invalid model name", kOpenAi, 400,
     R"({"error":{"message":"Invalid model name passed in model=x","type":"None","code":"400"}})",
     Action::kSuspectInput},
    {"not a valid model", kOpenAi, 400, R"({"error":{"message":"x is not a valid model ID","code":400}})",
     Action::kSuspectInput},
    {"unknown model", kOpenAi, 422, R"({"detail":"Unknown model: x"})", Action::kSuspectInput},
    {"no such model", kOpenAi, 400, R"({"message":"no such model: x"})", Action::kSuspectInput},
    {"model not found", kOpenAi, 400, R"({"error":"model not found: x"})", Action::kSuspectInput},
    {"nothing there", kOpenAi, 404, "<html>not here</html>", Action::kFail},
    {"loading", kOpenAi, 503, R"({"error":{"code":503,"message":"Loading model","type":"unavailable_error"}})",
     Action::kPause},
    {"no memory", kOllama, 500, R"({"error":"model requires more system memory (8 GiB) than is available"})",
     Action::kPause},
    {"too early", kOpenAi, 425, "", Action::kPause},
    {"rate limit", kOpenAi, 429, R"({"error":{"message":"Rate limit reached","code":"rate_limit_exceeded"}})",
     Action::kPause},
    {"rate limit", kTei, 429, R"({"error":"Model is overloaded","error_type":"Overloaded"})", Action::kPause},
    {"unavailable", kOllama, 503, R"({"error":"server busy, please try again.  maximum pending requests exceeded"})",
     Action::kPause},
    {"overloaded", kOpenAi, 529, R"({"error":{"message":"Overloaded"}})", Action::kPause},
    {"slow request", kOpenAi, 408, "", Action::kRetry},
    {"not implemented", kOpenAi, 501, R"({"error":{"message":"This server does not support embeddings."}})",
     Action::kFail},
    {"redirect", kOpenAi, 307, "", Action::kFail},
    {"client error", kOpenAi, 400, R"({"error":{"message":"'$.input' is invalid"}})", Action::kSuspectInput},
    {"client error", kOpenAi, 422, R"({"detail":[{"msg":"field required"}]})", Action::kSuspectInput},
    {"client error", kTei, 424, R"({"error":"CUDA error","error_type":"Backend"})", Action::kSuspectInput},
    {"client error", kOpenAi, 415, "", Action::kSuspectInput},
    {"server error", kOllama, 500, R"({"error":"llama runner process has terminated"})", Action::kSuspectInput},
    {"server error", kOllama, 500, R"({"error":"embedding contains NaN or Inf values"})", Action::kSuspectInput},
    {"server error", kOpenAi, 502, "<html>Bad Gateway</html>", Action::kSuspectInput},
    {"anything else", kOpenAi, 204, "", Action::kRetry},
};

/// Of a batch that is always answered so, the harmless text included.
Code code_of(const AnswerCase& answer) {
  switch (answer.action) {
    case Action::kCancel: return Code::kCancelled;
    case Action::kPause:
    case Action::kRejectInput: return Code::kPaused;
    case Action::kShrink: return Code::kTimeout;
    case Action::kSplitBatch: return Code::kBatchTooLarge;
    case Action::kCutInput: return Code::kInputTooLarge;
    case Action::kPlainNumbers:  // arrays are refused for the same reason
    case Action::kSuspectInput:
      return answer.line.find("model") != std::string::npos || answer.line == "budget in words" ? Code::kFailed
                                                                                                : Code::kPaused;
    case Action::kFail:
    case Action::kOldRoute: return Code::kFailed;  // there is no older route behind it
    case Action::kRetry: return Code::kRetry;
  }
  return Code::kInternal;
}

}  // namespace

TEST_CASE("every fault of an exchange or of its vectors has its line in the table") {
  for (const FaultCase& expected : kFaults) {
    Evidence evidence;
    evidence.kind = expected.kind;
    evidence.fault = expected.fault;
    const Rule& rule = decide(evidence);
    INFO(expected.line);
    CHECK(rule.name == expected.line);
    CHECK(rule.action == expected.action);
  }
}

TEST_CASE("every answer that is not vectors is decided by the line that is there for it") {
  for (const AnswerCase& expected : kAnswers) {
    Body body;
    body.assign(expected.body);
    Evidence evidence;
    evidence.kind = expected.kind;
    evidence.status = expected.status;
    evidence.error = read_error(body);
    const Rule& rule = decide(evidence);
    INFO(expected.line << ": " << expected.status << " " << expected.body);
    CHECK(rule.name == expected.line);
    CHECK(rule.action == expected.action);
  }
}

// A provider that repeats a text in its message says nothing about money or models.
TEST_CASE("a code counts where codes stand, and not in a message") {
  const auto decided = [&](ProviderKind kind, int status, const std::string& json) {
    Body body;
    body.assign(json);
    return std::string(decide({.kind = kind, .fault = Fault::kNone, .status = status, .error = read_error(body)}).name);
  };
  struct CodeCase {
    std::string line, code;
    int status;
    std::string otherwise;
  };
  for (const CodeCase& expected : {CodeCase{"quota", "insufficient_quota", 400, "client error"},
                                   CodeCase{"quota", "insufficient_quota", 429, "rate limit"},
                                   CodeCase{"billing limit", "billing_hard_limit_reached", 422, "client error"},
                                   CodeCase{"model_not_found", "model_not_found", 400, "client error"},
                                   CodeCase{"deployment missing", "DeploymentNotFound", 404, "nothing there"}}) {
    INFO(expected.code << " " << expected.status);
    const std::string said = R"({"error":{"message":"invalid input: '... set )" + expected.code + R"( ...'"}})";
    CHECK(decided(kOpenAi, expected.status, said) == expected.otherwise);
    CHECK(decided(kOpenAi, expected.status, R"({"error":{"message":"no","code":")" + expected.code + R"("}})") ==
          expected.line);
    CHECK(decided(kOpenAi, expected.status, R"({"error":{"message":"no","type":")" + expected.code + R"("}})") ==
          expected.line);
  }
  CHECK(decided(kOpenAi, 400, R"({"error":{"message":"invalid input: '... set billing_plan ...'"}})") ==
        "client error");
  CHECK(decided(kOpenAi, 400, R"({"error":{"message":"invalid input: '... matryoshka dolls ...'"}})") ==
        "client error");
  // A gateway puts the provider's code into its message; a text that is cut for nothing costs little.
  CHECK(decided(kOpenAi, 400, R"({"error":{"message":"BadRequest: code context_length_exceeded"}})") ==
        "context_length_exceeded");
}

TEST_CASE("an error that comes with 200 is one of its code") {
  test::ProviderServer server;
  const auto said = [&](const std::string& body) {
    server.answer_with(
        [body](std::string_view, std::size_t) { return test::Answer{.status = 200, .body = body, .headers = {}}; });
    return test::embed(*test::made(test::options_for(test::Play::kOpenAi, server.url())), {"one", "two"}).status();
  };
  CHECK(said(R"({"error":{"message":"slow down","code":429}})").code() == Code::kPaused);
  CHECK(said(R"({"error":{"message":"slow down","code":"429"},"data":[]})").code() == Code::kPaused);
  CHECK(said(R"({"error":{"message":"no","type":"insufficient_quota"}})").code() == Code::kFailed);
  CHECK(said(R"({"error":{"message":"no","code":"invalid_api_key"}})").code() == Code::kFailed);
  CHECK(said(R"({"error":{"message":"no","code":"context_length_exceeded"}})").code() == Code::kInputTooLarge);
  CHECK_THAT(said(R"({"error":{"message":"the words","code":503}})").message(), Contains("the words"));
  for (const char* const unknown :
       {R"({"error":{"message":"no","code":200}})", R"({"error":{"message":"no","code":"x"}})", R"({"error":"no"})"}) {
    CHECK(said(unknown).code() == Code::kPaused);
    CHECK_THAT(said(unknown).message(), Contains("answered an error instead of vectors (no)"));
  }
  // A number may be that of whoever stands behind the gateway: the path is not blamed for it.
  const Status upstream = said(R"({"error":{"message":"no upstream answered","code":404}})");
  CHECK(upstream.code() == Code::kPaused);
  CHECK_THAT(upstream.message(), Contains("no upstream answered") && !Contains("path"));
  CHECK(said(R"({"error":{"message":"model x not found","code":404}})").code() == Code::kFailed);
  const Status zeros = said(R"({"code":429,"data":[{"index":0,"embedding":[0,0]}]})");
  CHECK_THAT(zeros.message(), Contains("zeros"));  // there were vectors: what is beside them is no error
}

TEST_CASE("a text that stands alone and is too much for a request is too long") {
  test::ProviderServer server;
  server.answer_with([](std::string_view, std::size_t) {
    return test::Answer{
        .status = 429,
        .body = R"({"error":{"message":"Request too large for m on tokens per min (TPM): Limit 40000"}})",
        .headers = {{"Retry-After", "60"}}};
  });
  const auto embedder = test::made(test::options_for(test::Play::kOpenAi, server.url()));
  CHECK(test::embed(*embedder, {"one", "two"}).status().code() == Code::kBatchTooLarge);
  CHECK(test::embed(*embedder, {"one"}).status().code() == Code::kInputTooLarge);
}

TEST_CASE("no line of the table is without a case, and none is named twice") {
  std::set<std::string_view> covered;
  for (const FaultCase& expected : kFaults) {
    covered.insert(expected.line);
  }
  for (const AnswerCase& expected : kAnswers) {
    covered.insert(expected.line);
  }
  std::set<std::string_view> lines;
  for (const Rule& rule : rules()) {
    INFO(rule.name);
    CHECK(covered.count(rule.name) == 1);
    CHECK(lines.insert(rule.name).second);
  }
  CHECK(covered.size() == lines.size());
}

TEST_CASE("over a connection, every answer becomes the status that says what to do") {
  test::ProviderServer server;
  for (const AnswerCase& expected : kAnswers) {
    server.answer_with([&](std::string_view, std::size_t) {
      return test::Answer{.status = expected.status, .body = std::string(expected.body), .headers = {}};
    });
    HttpEmbedderOptions options;
    options.kind = expected.kind;
    options.model = "test-model";
    options.url = server.url();
    const Status status = test::embed(*test::made(options), {"one", "two"}).status();
    INFO(expected.line << ": " << status.to_string());
    CHECK(status.code() == code_of(expected));
    CHECK(status.message().size() < 600);
    CHECK(status.message().find_first_of("\n\r\t") == std::string::npos);
    CHECK_THAT(status.message(), Contains(server.url()));
  }
}

TEST_CASE("a pause lasts as long as the provider asks, within an hour") {
  test::ProviderServer server;
  const auto pause_after = [&](std::vector<std::pair<std::string, std::string>> headers) {
    server.answer_with([headers = std::move(headers)](std::string_view, std::size_t) {
      return test::Answer{.status = 429,
                          .body = R"({"error":{"message":"slow down","code":"rate_limit_exceeded"}})",
                          .headers = headers};
    });
    const Status status =
        test::embed(*test::made(test::options_for(test::Play::kOpenAi, server.url())), {"text"}).status();
    CHECK(status.code() == Code::kPaused);
    return status.retry_after();
  };
  using namespace std::chrono_literals;
  CHECK(pause_after({}) == 0s);
  CHECK(pause_after({{"Retry-After", "7"}}) == 7s);
  CHECK(pause_after({{"Retry-After", "7"}, {"retry-after-ms", "1500"}}) == 1500ms);
  CHECK(pause_after({{"x-ratelimit-remaining-requests", "0"}, {"x-ratelimit-reset-requests", "1m2s"}}) == 62s);
  CHECK(pause_after({{"Retry-After", "99999999999"}}) == 1h);
  CHECK(pause_after({{"Retry-After", "-5"}}) == 0s);
}
