// Work whose instructions .ci/check_instructions.py counts: always the same input, a clock that stands still, one
// thread. Usage: instructions NAME FOLDER, where FOLDER is empty; without arguments it prints the names.
//
// Only what runs inside measured() is counted: what a case needs before that is not.
#include <fmt/format.h>
#include <valgrind/callgrind.h>

#include <array>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "embedjobs/backend.hpp"
#include "embedjobs/embedder.hpp"
#include "embedjobs/hashing.hpp"
#include "embedjobs/manifest.hpp"
#include "embedjobs/openapi.hpp"
#include "embedjobs/persister.hpp"
#include "embedjobs/sqlite.hpp"
#include "embedjobs/sys/catalog.hpp"
#include "embedjobs/sys/store.hpp"
#include "support/manual_clock.hpp"

using namespace embedjobs;

namespace {

const Space kSpace{"instructions", 512, "v1"};
constexpr std::size_t kDocumentOperations = 300;
constexpr std::size_t kTexts = 100;
constexpr std::size_t kClaims = 100;
constexpr std::size_t kRows = 1000;
constexpr std::size_t kChunk = 250;

[[noreturn]] void stop_with(const Status& status) {
  fmt::print(stderr, "{}\n", status.to_string());
  std::exit(1);
}

void must(const Status& status) {
  if (!status.ok()) {
    stop_with(status);
  }
}

template <typename T>
T must(Result<T> result) {
  must(result.status());
  return std::move(result).value();
}

/// Only this is counted.
template <typename Work>
void measured(const Work& work) {
  CALLGRIND_TOGGLE_COLLECT;
  work();
  CALLGRIND_TOGGLE_COLLECT;
}

/// Numbers that look random and are always the same.
class Numbers {
 public:
  std::uint64_t next() {
    state_ = state_ * 6364136223846793005U + 1442695040888963407U;
    return state_ >> 33U;
  }

 private:
  std::uint64_t state_ = 1;
};

std::string sentence(Numbers& numbers, std::size_t words) {
  constexpr std::array<std::string_view, 12> kWords{"list",    "rotate", "project", "key",  "of",      "an",
                                                    "account", "delete", "user's",  "role", "billing", "export"};
  std::string text;
  for (std::size_t i = 0; i < words; ++i) {
    text += i == 0 ? "" : " ";
    text += kWords.at(numbers.next() % kWords.size());
  }
  return text;
}

std::string json_document() {
  Numbers numbers;
  std::string text = R"({"openapi":"3.0.3","info":{"title":"Things","version":"1"},"paths":{)";
  for (std::size_t i = 0; i < kDocumentOperations; ++i) {
    text += fmt::format(
        R"({}"/v1/things/{}/{{id}}":{{"get":{{"operationId":"get{}","summary":"{}","description":"{}","parameters":[)"
        R"({{"name":"id","in":"path","required":true,"description":"{}","schema":{{"type":"string"}}}}],)"
        R"("responses":{{"200":{{"description":"{}"}}}}}}}})",
        i == 0 ? "" : ",", i, i, sentence(numbers, 6), sentence(numbers, 40), sentence(numbers, 8),
        sentence(numbers, 5));
  }
  return text + "}}";
}

std::string yaml_document() {
  Numbers numbers;
  std::string text = "openapi: 3.0.3\ninfo: {title: Things, version: '1'}\npaths:\n";
  for (std::size_t i = 0; i < kDocumentOperations; ++i) {
    text += fmt::format(
        "  /v1/things/{}/{{id}}:\n    get:\n      operationId: get{}\n      summary: {}\n      description: |\n"
        "        {}\n        {}\n      parameters:\n        - {{name: id, in: path, required: true}}\n"
        "      responses:\n        '200':\n          description: {}\n",
        i, i, sentence(numbers, 6), sentence(numbers, 20), sentence(numbers, 20), sentence(numbers, 5));
  }
  return text;
}

void split(const std::string& document) {
  const auto splitter = make_openapi_splitter();
  std::size_t operations = 0;
  measured([&] { operations = must(splitter->split(document)).size(); });
  if (operations != kDocumentOperations) {
    stop_with({Code::kInternal, fmt::format("the document was split into {} operations", operations)});
  }
}

void splitting_json(const std::string&) {
  split(json_document());
}

void splitting_yaml(const std::string&) {
  split(yaml_document());
}

void hashing(const std::string&) {
  const auto embedder = must(make_hashing_embedder({}));
  Numbers numbers;
  std::vector<std::string> texts;
  for (std::size_t i = 0; i < kTexts; ++i) {
    texts.push_back(sentence(numbers, 60));
  }
  const std::vector<std::string_view> views(texts.begin(), texts.end());
  measured([&] {
    for (const std::string_view text : views) {
      (void)hash_text(text);
    }
    (void)must(embedder->embed(views, {}));
  });
}

Backend open(const std::string& folder) {
  // The rollback journal whatever the version of SQLite; and a holder that does not depend on the process.
  return must(open_sqlite(folder + "/instructions.db",
                          {.journal = SqliteJournal::kRollback,
                           .holder_identity = "instructions",
                           .holder_alive = [](const std::string&) { return true; }},
                          std::make_shared<test::ManualClock>()));
}

Lease claim_one(const Backend& backend, std::uint64_t nonce) {
  return must(backend.store->claim({.worker_id = "instructions", .nonce = nonce, .space_id = kSpace.id()}))
      .leases.at(0);
}

void claim(const std::string& folder) {
  const Backend backend = open(folder);
  for (std::size_t i = 0; i < 2 * kClaims; ++i) {
    (void)must(backend.catalog->put({"catalog", fmt::format("spec {}", i)}, "content", kSpace.id()));
  }
  measured([&] {
    for (std::size_t i = 0; i < kClaims; ++i) {
      (void)claim_one(backend, i + 1);
    }
  });
}

/// One pass over one spec of kRows operations.
class Pass {
 public:
  explicit Pass(const std::string& folder) : backend_(open(folder)) {
    const SpecKey key{"catalog", "spec"};
    (void)must(backend_.catalog->put(key, "content", kSpace.id()));
    const Lease lease = claim_one(backend_, 1);
    context_ = {.key = key,
                .job_id = lease.job.id,
                .fence = lease.job.fence,
                .generation = lease.job.generation,
                .space = kSpace,
                .epoch = lease.state.epoch,
                .content_version = "1",
                .splitter_version = "1"};
    Numbers numbers;
    for (std::size_t i = 0; i < kRows; ++i) {
      const std::string id = fmt::format("GET /v1/things/{:06}", i);
      manifest_.add(id, hash_text(id));
    }
    for (std::size_t i = 0; i < kRows * kSpace.dimension; ++i) {
      floats_.push_back(static_cast<float>(numbers.next() % 997 + 1));
    }
  }

  /// All rows, a chunk at a time.
  void persist() {
    for (std::size_t begin = 0; begin < kRows; begin += kChunk) {
      std::vector<VectorRow> rows;
      for (std::size_t row = begin; row < begin + kChunk; ++row) {
        rows.push_back({.operation_id = manifest_.operation_id(row),
                        .text_hash = manifest_.text_hash(row),
                        .vector = std::span(floats_).subspan(row * kSpace.dimension, kSpace.dimension)});
      }
      must(backend_.catalog->persist_batch(context_, rows));
    }
  }
  void finalize() { must(backend_.catalog->finalize(context_, manifest_)); }

 private:
  Backend backend_;
  PassContext context_;
  Manifest manifest_;
  std::vector<float> floats_;
};

void chunk(const std::string& folder) {
  Pass pass(folder);
  measured([&] { pass.persist(); });
}

void finalize(const std::string& folder) {
  Pass pass(folder);
  pass.persist();
  measured([&] { pass.finalize(); });
}

void finalize_unchanged(const std::string& folder) {
  Pass pass(folder);
  pass.persist();
  pass.finalize();
  measured([&] { pass.finalize(); });
}

struct Case {
  std::string_view name;
  void (*run)(const std::string& folder);
};
constexpr std::array kCases{
    Case{"splitting_json", splitting_json},
    Case{"splitting_yaml", splitting_yaml},
    Case{"hashing", hashing},
    Case{"claim", claim},
    Case{"chunk", chunk},
    Case{"finalize", finalize},
    Case{"finalize_unchanged", finalize_unchanged},
};

}  // namespace

int main(int argc, char** argv) {
  for (const Case& one : kCases) {
    if (argc < 3) {
      fmt::print("{}\n", one.name);
    } else if (one.name == argv[1]) {
      one.run(argv[2]);
      return 0;
    }
  }
  return argc < 3 ? 0 : 2;
}
