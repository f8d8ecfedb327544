// An engine over a file, an embedder over HTTP and a provider that the test turns.
#pragma once

#include <catch2/catch.hpp>

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "embedjobs/engine.hpp"
#include "embedjobs/events.hpp"
#include "embedjobs/jobs.hpp"
#include "embedjobs/search.hpp"
#include "embedjobs/sqlite.hpp"
#include "http/scene.hpp"
#include "support/spec.hpp"
#include "support/temp_folder.hpp"

namespace embedjobs::test {

inline const SpecKey kSpec{"catalog", "spec"};

class HttpScene {
 public:
  explicit HttpScene(ServerOptions with = {}, WorkerOptions worker = {})
      : play(with.play), server(std::make_unique<ProviderServer>(std::move(with))) {
    open(server->url(), std::move(worker));
  }
  ~HttpScene() { engine.reset(); }  // before what its events are noted in

  void open(const std::string& url, WorkerOptions worker) {
    EngineOptions options;
    options.dsn = "sqlite:" + folder.file("test.db");
    options.worker = std::move(worker);
    options.events = [this](const Event& event) { note(event); };
    options.log = [this](LogLevel, std::string_view line) {
      const std::lock_guard lock(mutex_);
      lines_.emplace_back(line);
      first_round_ended_ = first_round_ended_ || line.starts_with("reconciler: a round ended");
      changed_.notify_all();
    };
    EngineParts parts;
    parts.embedder = made(options_for(play, url));
    auto opened = Engine::open(std::move(options), std::move(parts));
    INFO(opened.status().to_string());
    REQUIRE(opened.ok());
    engine = std::move(opened).value();
  }

  /// As a new process would: nothing is known but what the file holds.
  void reopen(WorkerOptions worker) {
    engine.reset();
    first_round_ended_ = false;
    open(server->url(), std::move(worker));
  }

  void put(const std::string& document, const SpecKey& key = kSpec) {
    const auto put = engine->put(key, document);
    INFO(put.status().to_string());
    REQUIRE(put.ok());
  }
  void start() {
    const Status started = engine->start();
    INFO(started.to_string());
    REQUIRE(started.ok());
  }
  /// Waits until nothing is to be done. A job that waits for its backoff is made due (which gives it a fresh budget:
  /// count the retries). The reconciler's look at the start, which tries again what failed before it, is waited for
  /// too.
  void finish() {
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [&] { return first_round_ended_; });
    }
    for (;;) {
      const auto report = engine->wait_idle(std::chrono::seconds(0));
      REQUIRE(report.ok());
      const auto jobs = engine->jobs({});
      REQUIRE(jobs.ok());
      bool open = false;
      for (const Job& job : *jobs) {
        open = open || is_open(job.status);
        if (job.status == JobStatus::kPending && job.errors_in_row > 0) {
          (void)engine->enqueue(job.key, JobKind::kSpecWrite);
        }
      }
      if (!open) {
        return;
      }
    }
  }
  /// Waits for that many events of a kind.
  void wait_for(EventKind kind, std::size_t count = 1) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return counts_[kind] >= count; });
  }
  [[nodiscard]] std::size_t count_of(EventKind kind) {
    const std::lock_guard lock(mutex_);
    return counts_[kind];
  }
  [[nodiscard]] std::vector<std::int64_t> batch_sizes() {
    const std::lock_guard lock(mutex_);
    return batch_sizes_;
  }
  [[nodiscard]] std::string everything_said() {
    const std::lock_guard lock(mutex_);
    std::string text;
    for (const std::string& line : lines_) {
      text += line + "\n";
    }
    return text;
  }
  [[nodiscard]] Job job() {
    const auto jobs = engine->jobs({.catalog_id = kSpec.catalog_id, .spec_name = kSpec.spec_name, .limit = 1});
    REQUIRE(jobs.ok());
    REQUIRE(jobs->size() == 1);
    return jobs->front();
  }
  /// How many rows there are; each has the vector of the text "<word> number <n> /p<n>" of its operation "op-<n>".
  std::size_t check_rows(const std::string& word, std::size_t dimension = 8) {
    std::size_t rows = 0;
    std::size_t wrong = 0;
    const auto space = engine->rows(kSpec, true, [&](const StoredRow& row) {
      ++rows;
      const std::string number = row.operation_id.substr(3);
      const std::vector<float> expected = vector_of(word + " number " + number + " /p" + number, dimension);
      const bool right =
          row.vector.size() == dimension && std::equal(expected.begin(), expected.end(), row.vector.begin(), near);
      wrong += right ? 0U : 1U;
      return true;
    });
    INFO(space.status().to_string());
    CHECK(space.ok());
    CHECK(wrong == 0);
    return rows;
  }

  const Play play;
  TempFolder folder;
  std::unique_ptr<ProviderServer> server;
  std::unique_ptr<Engine> engine;

 private:
  static bool near(float a, float b) { return std::abs(a - b) < 1e-6F; }
  void note(const Event& event) {
    const std::lock_guard lock(mutex_);
    ++counts_[event.kind];
    lines_.push_back(event.message);
    if (event.kind == EventKind::kBatchResized) {
      batch_sizes_.push_back(event.count);
    }
    changed_.notify_all();
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<EventKind, std::size_t> counts_;
  std::vector<std::string> lines_;
  bool first_round_ended_ = false;
  std::vector<std::int64_t> batch_sizes_;
};

}  // namespace embedjobs::test
