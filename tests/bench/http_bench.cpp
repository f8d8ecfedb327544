// http_bench: what embedding over HTTP costs beside what can't be avoided. Ratios, each of two measurements of one run.
//   parsing    2,048 vectors of 1,536: decimal against simdjson reading every double of the same bytes (goal <= 1.5),
//              base64 against
//              decimal (goal >= 8 times as fast), allocations a vector (goal 0)
//   keep-alive requests a second against a bare libcurl loop of the same requests (goal >= 95%)
//   pipeline   10,000 texts with 8 calls in flight, wall time against the provider's own (goal <= 1.03)
//   stop       how long a stop request takes to end a call to a server that never answers (goal < 1 s)
#include <curl/curl.h>
#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <new>
#include <thread>

#include "embedjobs/embedjobs.hpp"
#include "http/provider_server.hpp"
#include "http/request.hpp"
#include "http/response.hpp"

namespace {
std::atomic<std::size_t> allocations = 0;
}  // namespace

void* operator new(std::size_t size) {
  ++allocations;
  if (void* const memory = std::malloc(size); memory != nullptr) {
    return memory;
  }
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
  std::free(memory);
}

namespace {

using namespace embedjobs;
using Steady = std::chrono::steady_clock;

double seconds_since(Steady::time_point began) {
  return std::chrono::duration<double>(Steady::now() - began).count();
}

/// The shortest of several runs.
template <typename F>
double fastest(int runs, F&& run) {
  double best = 1e9;
  for (int i = 0; i < runs; ++i) {
    const auto began = Steady::now();
    run();
    best = std::min(best, seconds_since(began));
  }
  return best;
}

// --- parsing

constexpr std::size_t kRows = 2048;
constexpr std::size_t kDimension = 1536;

std::string answer_json(bool base64) {
  constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string json = R"({"object":"list","data":[)";
  for (std::size_t row = 0; row < kRows; ++row) {
    const std::vector<float> vector = test::vector_of(std::to_string(row), kDimension);
    json += fmt::format(R"({}{{"object":"embedding","index":{},"embedding":)", row == 0 ? "" : ",", row);
    if (!base64) {
      // As OpenAI and Python servers print: doubles with all their digits.
      json += '[';
      for (std::size_t i = 0; i < vector.size(); ++i) {
        fmt::format_to(std::back_inserter(json), "{}{}", i == 0 ? "" : ",", static_cast<double>(vector[i]));
      }
      json += "]}";
      continue;
    }
    json += '"';
    const auto* const bytes = reinterpret_cast<const unsigned char*>(vector.data());
    for (std::size_t i = 0; i < vector.size() * sizeof(float); i += 3) {
      const unsigned group = (unsigned{bytes[i]} << 16) | (unsigned{bytes[i + 1]} << 8) | bytes[i + 2];
      for (int shift = 18; shift >= 0; shift -= 6) {
        json += kAlphabet[(group >> shift) & 63];
      }
    }
    json += "\"}";
  }
  return json + R"(],"model":"m","usage":{"prompt_tokens":1,"total_tokens":1}})";
}

double bare_decimal(const http::Body& body) {
  simdjson::ondemand::parser parser;
  double sum = 0;
  const double time = fastest(7, [&] {
    simdjson::ondemand::document document;
    if (parser.iterate(simdjson::padded_string_view(body.view().data(), body.view().size(), body.capacity()))
            .get(document)) {
      std::abort();
    }
    for (auto record : document["data"]) {
      for (auto number : record["embedding"]) {
        sum += number.get_double().value_unsafe();
      }
    }
  });
  return sum != 0 ? time : 0;
}

double ours(const http::Body& body, std::size_t& allocated) {
  http::ResponseParser parser;
  Matrix vectors;
  const auto read = [&] {
    if (parser.read(body, kRows, kDimension, vectors).fault != http::Fault::kNone) {
      std::abort();
    }
  };
  read();
  allocated = allocations;
  read();
  allocated = allocations - allocated;
  return fastest(7, read);
}

void bench_parsing() {
  http::Body decimal, base64;
  decimal.assign(answer_json(false));
  base64.assign(answer_json(true));
  std::size_t decimal_allocations = 0, base64_allocations = 0;
  const double bare = bare_decimal(decimal);
  const double numbers = ours(decimal, decimal_allocations);
  const double letters = ours(base64, base64_allocations);
  fmt::print("parsing: decimal {:.1f} ms ({:.0f} MB), bare simdjson {:.1f} ms, ratio {:.2f} (goal <= 1.5)\n",
             numbers * 1e3, static_cast<double>(decimal.view().size()) / 1e6, bare * 1e3, numbers / bare);
  fmt::print("parsing: base64 {:.2f} ms ({:.0f} MB), {:.1f} times as fast as decimal (goal >= 8)\n", letters * 1e3,
             static_cast<double>(base64.view().size()) / 1e6, numbers / letters);
  fmt::print("parsing: {} and {} allocations for {} vectors (goal: none a vector)\n", decimal_allocations,
             base64_allocations, kRows);
}

// --- keep-alive

std::size_t ignore_body(char*, std::size_t size, std::size_t count, void*) {
  return size * count;
}

double bare_libcurl(const std::string& url, const std::string& body, int calls) {
  CURL* const easy = curl_easy_init();
  curl_slist* const headers = curl_slist_append(nullptr, "Content-Type: application/json");
  curl_easy_setopt(easy, CURLOPT_URL, url.c_str());
  curl_easy_setopt(easy, CURLOPT_POSTFIELDS, body.c_str());
  curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
  curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, &ignore_body);
  const auto began = Steady::now();
  for (int i = 0; i < calls; ++i) {
    if (curl_easy_perform(easy) != CURLE_OK) {
      std::abort();
    }
  }
  const double time = seconds_since(began);
  curl_slist_free_all(headers);
  curl_easy_cleanup(easy);
  return calls / time;
}

HttpEmbedderOptions options_for(const test::ProviderServer& server, std::size_t dimension) {
  HttpEmbedderOptions options;
  options.model = "test-model";
  options.url = server.url();
  options.dimension = dimension;
  return options;
}

void bench_keep_alive() {
  constexpr int kCalls = 1000;
  const test::ProviderServer server({.dimension = 16});  // parsing is measured above
  const std::vector<std::string_view> texts{"one text", "another text"};
  std::string body;
  http::write_question({.kind = ProviderKind::kOllama,
                        .model = "test-model",
                        .prefix = "",
                        .dimensions = 0,
                        .format = http::NumberFormat::kFloat,
                        .old_route = false},
                       texts, body);
  const auto embedder = make_http_embedder(options_for(server, 16));
  double best = 0, bare_best = 0;
  for (int round = 0; round < 5; ++round) {  // turn by turn, so that both have the same machine
    bare_best = std::max(bare_best, bare_libcurl(server.url() + "/api/embed", body, kCalls));
    const auto began = Steady::now();
    for (int i = 0; i < kCalls; ++i) {
      if (!(*embedder)->embed(texts, {}).ok()) {
        std::abort();
      }
    }
    best = std::max(best, kCalls / seconds_since(began));
  }
  fmt::print("keep-alive: {:.0f} calls a second, bare libcurl {:.0f}, {:.1f}% (goal >= 95%)\n", best, bare_best,
             best / bare_best * 100);
}

// --- pipeline

class LineSplitter final : public Splitter {
 public:
  Result<OperationList> split(std::string_view content) const override {
    OperationList operations;
    for (std::size_t begin = 0; begin < content.size();) {
      const std::size_t end = std::min(content.find('\n', begin), content.size());
      operations.add(content.substr(begin, end - begin), content.substr(begin, end - begin));
      begin = end + 1;
    }
    return operations;
  }
  [[nodiscard]] std::string version() const override { return "lines/1"; }
};

void bench_pipeline(const std::filesystem::path& folder) {
  constexpr int kTexts = 10'000, kInFlight = 8, kBatch = 25;
  test::ProviderServer server({.dimension = 384, .delay_per_text = std::chrono::milliseconds(10)});
  HttpEmbedderOptions http = options_for(server, 384);
  http.concurrent_calls = kInFlight;
  EngineParts parts;
  parts.splitter = std::make_shared<LineSplitter>();
  parts.embedder = *make_http_embedder(http);
  EngineOptions options;
  options.dsn = "sqlite:" + (folder / "bench.db").string();
  options.worker.batch_size = kBatch;
  auto engine = Engine::open(options, parts);
  std::string document;
  for (int i = 0; i < kTexts; ++i) {
    document += fmt::format("operation {} of the benchmark\n", i);
  }
  if (!engine.ok() || !(*engine)->put({"bench", "lines"}, document).ok()) {
    std::abort();
  }
  const auto began = Steady::now();
  if (!(*engine)->start().ok() || !(*engine)->wait_idle(std::chrono::minutes(1)).ok()) {
    std::abort();
  }
  const double wall = seconds_since(began);
  const double own = std::chrono::duration<double>(server.seen().own_time).count() / kInFlight;
  fmt::print(
      "pipeline: {} texts in {} calls, wall {:.2f} s, the provider's own {:.2f} s, ratio {:.3f} (goal <= 1.03)\n",
      server.seen().texts, server.seen().calls, wall, own, wall / own);
}

void bench_stop() {
  test::ProviderServer server;
  server.always(test::Trouble::kSilent);
  const auto embedder = make_http_embedder(options_for(server, 8));
  std::stop_source stop;
  const std::vector<std::string_view> texts{"text"};
  std::thread caller([&] { (void)(*embedder)->embed(texts, {.stop = stop.get_token()}); });
  server.wait_for_calls(1);
  const auto asked = Steady::now();
  stop.request_stop();
  caller.join();
  fmt::print("stop: a call ends {:.1f} ms after the request (goal < 1000)\n", seconds_since(asked) * 1e3);
}

}  // namespace

int main() {
  bench_parsing();
  bench_keep_alive();
  bench_stop();
  const auto folder = std::filesystem::temp_directory_path() /
                      fmt::format("embedjobs-http-{}", Steady::now().time_since_epoch().count());
  std::filesystem::create_directories(folder);
  bench_pipeline(folder);
  std::filesystem::remove_all(folder);
  return 0;
}
