#include "embedjobs/hashing.hpp"

#include <catch2/catch.hpp>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <regex>
#include <sstream>
#include <thread>

#include "embedjobs/embedder.hpp"
#include "embedjobs/types.hpp"

using namespace embedjobs;
using namespace std::chrono_literals;

namespace {

std::shared_ptr<Embedder> make(const HashingOptions& options) {
  Result<std::shared_ptr<Embedder>> embedder = make_hashing_embedder(options);
  REQUIRE(embedder.status().to_string() == "ok");
  return *embedder;
}

const std::vector<std::string_view> kTexts{"list users", "delete a user"};

/// A folder of its own, removed at the end.
struct TemporaryFolder {
  std::filesystem::path path;
  TemporaryFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "embedjobs-hashing-XXXXXX").string();
    REQUIRE(mkdtemp(pattern.data()) != nullptr);
    path = pattern;
  }
  ~TemporaryFolder() { std::filesystem::remove_all(path); }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
};

std::vector<std::string> lines_of(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) {
    lines.push_back(line);
  }
  return lines;
}

}  // namespace

TEST_CASE("the space names model, dimension and the version of the algorithm") {
  const Result<Space> space = make({.dimension = 64})->space({});
  REQUIRE(space.ok());
  CHECK(space->id() == "64/hashing?v1");
  CHECK(make({})->space({})->id() == "512/hashing?v1");
}

TEST_CASE("one row a text, in the order of the texts") {
  const auto embedder = make({.dimension = 32});
  const Result<Embeddings> both = embedder->embed(kTexts, {});
  REQUIRE(both.ok());
  REQUIRE(both->vectors.rows() == 2);
  REQUIRE(both->vectors.dimension() == 32);
  for (std::size_t i = 0; i < kTexts.size(); ++i) {
    const Result<Embeddings> alone = embedder->embed(std::span(&kTexts[i], 1), {});
    REQUIRE(alone.ok());
    CHECK(std::ranges::equal(both->vectors.row(i), alone->vectors.row(0)));
  }
}

TEST_CASE("options out of range are refused") {
  CHECK(make_hashing_embedder({.dimension = 0}).status().code() == Code::kInvalidArgument);
  CHECK(make_hashing_embedder({.dimension = 65537}).status().code() == Code::kInvalidArgument);
  CHECK(make_hashing_embedder({.delay = -1ns}).status().code() == Code::kInvalidArgument);
  CHECK(make_hashing_embedder({.concurrent_calls = 0}).status().code() == Code::kInvalidArgument);
  CHECK(make_hashing_embedder({.log_file = "/no/such/folder/log"}).status().code() == Code::kInvalidArgument);
}

TEST_CASE("a call lasts at least its delay") {
  const auto begin = std::chrono::steady_clock::now();
  CHECK(make({.delay = 20ms})->embed(kTexts, {}).ok());
  CHECK(std::chrono::steady_clock::now() - begin >= 20ms);
}

TEST_CASE("a stop request ends the wait") {
  const auto embedder = make({.delay = 1h});
  std::stop_source source;
  std::atomic<bool> begun = false;
  Code code = Code::kOk;
  std::thread caller([&] {
    begun = true;
    begun.notify_all();
    code = embedder->embed(kTexts, {.stop = source.get_token()}).status().code();
  });
  begun.wait(false);
  source.request_stop();
  caller.join();
  CHECK(code == Code::kCancelled);
}

TEST_CASE("a call that was stopped before it began is cancelled") {
  std::stop_source source;
  source.request_stop();
  CHECK(make({})->embed(kTexts, {.stop = source.get_token()}).status().code() == Code::kCancelled);
  CHECK(make({.delay = 1h})->embed(kTexts, {.stop = source.get_token()}).status().code() == Code::kCancelled);
}

TEST_CASE("the time limit ends the wait") {
  CHECK(make({.delay = 1h})->embed(kTexts, {.time_limit = 5ms}).status().code() == Code::kTimeout);
  CHECK(make({.delay = 1ms})->embed(kTexts, {.time_limit = 1h}).ok());
  CHECK(make({.delay = 1ms})->embed(kTexts, {.time_limit = 0ms}).ok());
}

TEST_CASE("the log gets one line a call: time, number of texts, their hashes") {
  const TemporaryFolder folder;
  const auto log = folder.path / "calls.log";
  const auto embedder = make({.log_file = log.string()});
  CHECK(lines_of(log).empty());
  REQUIRE(embedder->embed(kTexts, {}).ok());
  REQUIRE(embedder->embed(std::span(kTexts.data(), 1), {}).ok());
  const std::vector<std::string> lines = lines_of(log);
  REQUIRE(lines.size() == 2);
  const std::string time = R"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z)";
  CHECK(std::regex_match(lines[0],
                         std::regex(time + " 2 " + to_hex(hash_text(kTexts[0])) + " " + to_hex(hash_text(kTexts[1])))));
  CHECK(std::regex_match(lines[1], std::regex(time + " 1 " + to_hex(hash_text(kTexts[0])))));
}

TEST_CASE("a call that gives no answer leaves no line, and an existing log is continued") {
  const TemporaryFolder folder;
  const auto log = folder.path / "calls.log";
  std::ofstream(log) << "before\n";
  CHECK_FALSE(make({.delay = 1h, .log_file = log.string()})->embed(kTexts, {.time_limit = 1ms}).ok());
  CHECK(lines_of(log).size() == 1);
  CHECK(make({.log_file = log.string()})->embed(kTexts, {}).ok());
  CHECK(lines_of(log).size() == 2);
}

TEST_CASE("a log that can't be written to gives no answer: work that is not counted is not done") {
  if (!std::filesystem::exists("/dev/full")) {
    WARN("skipped: this system has no /dev/full");
    return;
  }
  CHECK(make({.log_file = "/dev/full"})->embed(kTexts, {}).status().code() == Code::kRetry);
}

TEST_CASE("calls from many threads write whole lines") {
  const TemporaryFolder folder;
  const auto log = folder.path / "calls.log";
  const auto embedder = make({.dimension = 8, .log_file = log.string()});
  std::vector<std::thread> callers;
  for (int i = 0; i < 8; ++i) {
    callers.emplace_back([&] {
      for (int call = 0; call < 20; ++call) {
        (void)embedder->embed(kTexts, {});
      }
    });
  }
  for (std::thread& caller : callers) {
    caller.join();
  }
  const std::vector<std::string> lines = lines_of(log);
  CHECK(lines.size() == 160);
  CHECK(
      std::all_of(lines.begin(), lines.end(), [&](const std::string& line) { return line.size() == lines[0].size(); }));
}
