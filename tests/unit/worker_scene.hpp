// A worker over the memory backend in one thread on virtual time, with an embedder that answers as a test says.
#pragma once

#include <catch2/catch.hpp>

#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "embedjobs/backend.hpp"
#include "embedjobs/embedder.hpp"
#include "embedjobs/events.hpp"
#include "embedjobs/jobs.hpp"
#include "embedjobs/manifest.hpp"
#include "embedjobs/memory.hpp"
#include "embedjobs/persister.hpp"
#include "embedjobs/provider.hpp"
#include "embedjobs/search.hpp"
#include "embedjobs/splitter.hpp"
#include "embedjobs/sys/catalog.hpp"
#include "embedjobs/sys/runtime.hpp"
#include "embedjobs/sys/store.hpp"
#include "embedjobs/worker.hpp"
#include "support/manual_runtime.hpp"

namespace embedjobs::test {

inline bool contains(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

/// A document is a line an operation: id, tab, text. One that starts with '!' is broken.
class LineSplitter final : public Splitter {
 public:
  Result<OperationList> split(std::string_view content) const override {
    if (content.starts_with('!')) {
      return {Code::kInvalidDocument, "the document is broken"};
    }
    OperationList operations;
    while (!content.empty()) {
      const std::size_t end = content.find('\n');
      const std::string_view line = content.substr(0, end);
      content.remove_prefix(end == std::string_view::npos ? content.size() : end + 1);
      operations.add(line.substr(0, line.find('\t')), line.substr(line.find('\t') + 1));
    }
    return operations;
  }
  [[nodiscard]] std::string version() const override { return "lines/1"; }
};

/// Operations "<word>0", "<word>1", ... with texts "text of <word>0", ...
inline std::string lines(std::size_t count, const std::string& word = "op") {
  std::string content;
  for (std::size_t i = 0; i < count; ++i) {
    const std::string id = word + std::to_string(i);
    content += id + "\ttext of " + id + "\n";
  }
  return content;
}

using Texts = std::span<const std::string_view>;

/// Keeps what it was sent, and answers as it is told.
class ScriptedEmbedder final : public Embedder {
 public:
  explicit ScriptedEmbedder(EmbedderLimits limits = {}) : limits_(limits) {}

  Result<Space> space(const CallContext& context) override {
    ++space_calls;
    space_was_stopped = context.stop.stop_requested();
    return down.ok() ? Result<Space>(Space{"test-model", 4, ""}) : Result<Space>(down);
  }
  [[nodiscard]] bool knows_space() const override { return !asks_provider || space_calls > 0; }
  [[nodiscard]] std::string provider() const override { return name; }
  [[nodiscard]] EmbedderLimits limits() const override { return limits_; }
  Result<Embeddings> embed(Texts texts, const CallContext& context) override {
    calls.emplace_back(texts.begin(), texts.end());
    if (const Status status = on_call ? on_call(texts, context) : Status(); !status.ok()) {
      return status;
    }
    Embeddings answer{.vectors = Matrix(texts.size() + extra_rows, 4)};
    for (std::size_t row = 0; row < answer.vectors.rows(); ++row) {
      const TextHash hash = hash_text(texts[std::min(row, texts.size() - 1)]);
      std::transform(hash.begin(), hash.begin() + 4, answer.vectors.row(row).begin(),
                     [](std::uint8_t byte) { return 1.0F + static_cast<float>(byte); });
    }
    if (spoil) {
      spoil(texts, answer.vectors);
    }
    if (count_tokens) {
      answer.prompt_tokens = 0;
      for (const std::string_view text : texts) {
        *answer.prompt_tokens += count_tokens(text);
      }
    }
    return answer;
  }

  [[nodiscard]] std::size_t times_sent(std::string_view text) const {
    std::size_t times = 0;
    for (const auto& call : calls) {
      times += static_cast<std::size_t>(std::count(call.begin(), call.end(), text));
    }
    return times;
  }
  [[nodiscard]] std::size_t texts_sent() const {
    std::size_t sent = 0;
    for (const auto& call : calls) {
      sent += call.size();
    }
    return sent;
  }

  std::vector<std::vector<std::string>> calls;
  /// Called in the middle of a call; it may let time pass. An error is the answer.
  std::function<Status(Texts texts, const CallContext& context)> on_call;
  std::function<void(Texts texts, Matrix& vectors)> spoil;
  std::size_t extra_rows = 0;
  std::function<std::uint64_t(std::string_view text)> count_tokens;
  Status down;  ///< What space() answers.
  std::size_t space_calls = 0;
  bool asks_provider = false;  ///< For its space.
  bool space_was_stopped = false;
  std::string name;

 private:
  EmbedderLimits limits_;
};

/// The backend's persister, watched.
class WatchedPersister final : public Persister {
 public:
  explicit WatchedPersister(std::shared_ptr<Persister> inner) : inner_(std::move(inner)) {}
  Result<std::vector<bool>> list_existing(const PassContext& context, const Manifest& wanted) override {
    return inner_->list_existing(context, wanted);
  }
  Result<std::vector<Reservation>> reserve(const PassContext& context, std::span<const TextHash> texts,
                                           std::span<const TextHash> given_up) override {
    return inner_->reserve(context, texts, given_up);
  }
  Status persist_batch(const PassContext& context, std::span<const VectorRow> rows) override {
    if (on_upsert) {
      on_upsert();
    }
    Status status = inner_->persist_batch(context, rows);
    if (status.ok() && lose_answers > 0) {
      --lose_answers;
      return {Code::kRetry, "the answer was lost"};
    }
    if (status.ok()) {
      auto& ids = chunks.emplace_back();
      std::transform(rows.begin(), rows.end(), std::back_inserter(ids),
                     [](const VectorRow& row) { return std::string(row.operation_id); });
    }
    return status;
  }
  Status finalize(const PassContext& context, const Manifest& manifest) override {
    return inner_->finalize(context, manifest);
  }

  std::vector<std::vector<std::string>> chunks;  ///< Operation ids.
  std::function<void()> on_upsert;
  int lose_answers = 0;  ///< Of the next batches: stored, and answered with an error.

 private:
  std::shared_ptr<Persister> inner_;
};

/// The clock of the store: the runtime's, but for sleeps of the machine that the worker's clock does not show.
class SleepyClock final : public Clock {
 public:
  explicit SleepyClock(Runtime& runtime) : runtime_(runtime) {}
  MonoTime now() override { return runtime_.now(); }
  WallTime wall_now() override { return runtime_.wall_now(); }
  Duration boot_time() override { return runtime_.boot_time() + slept; }
  std::string boot_id() override { return runtime_.boot_id(); }
  Duration slept{0};

 private:
  Runtime& runtime_;
};

struct WorkerScene {
  static inline const SpecKey kKey{"catalog", "spec"};

  ManualRuntime runtime;
  std::shared_ptr<SleepyClock> clock = std::make_shared<SleepyClock>(runtime);
  Backend backend;
  std::shared_ptr<ScriptedEmbedder> embedder;
  std::shared_ptr<WatchedPersister> persister;
  WorkerParts parts;
  WorkerOptions options;
  std::vector<Event> events;
  std::vector<std::string> log;
  int stopped = 0;
  std::unique_ptr<Worker> worker;

  explicit WorkerScene(Duration lease = minutes(10), EmbedderLimits limits = {})
      : backend(make_memory_backend({.lease_duration = lease}, clock)),
        embedder(std::make_shared<ScriptedEmbedder>(limits)),
        persister(std::make_shared<WatchedPersister>(backend.catalog)) {
    parts = {.store = backend.store,
             .resolver = backend.catalog,
             .persister = persister,
             .splitter = std::make_shared<LineSplitter>(),
             .embedder = embedder,
             .computer = nullptr,
             .log = [this](LogLevel, std::string_view line) { log.emplace_back(line); },
             .events = [this](const Event& event) { events.push_back(event); }};
    options.worker_id = "worker";
  }

  void make() { worker = std::make_unique<Worker>(runtime, parts, options); }
  /// Makes the worker and lets it do what can be done now.
  void start() {
    make();
    worker->start();
    runtime.settle();
  }
  /// Another worker of the same process or of the next one.
  void start_anew() {
    worker->request_stop([] {});
    runtime.settle();
    start();
  }
  void stop() {
    worker->request_stop([this] { ++stopped; });
    runtime.settle();
  }
  void put(std::string_view content, const SpecKey& key = kKey) {
    REQUIRE(backend.catalog->put(key, content, "").ok());
  }
  void enqueue(JobKind kind, const SpecKey& key = kKey) { REQUIRE(backend.store->enqueue(key, kind).ok()); }
  /// The embedder's next calls end so, then it works.
  void answer_next(std::vector<Status> answers) {
    auto left = std::make_shared<std::vector<Status>>(std::move(answers));
    embedder->on_call = [left](Texts, const CallContext&) {
      if (left->empty()) {
        return Status();
      }
      Status status = left->front();
      left->erase(left->begin());
      return status;
    };
  }

  ProviderState provider() {
    const auto state = backend.store->provider_state(embedder->name.empty() ? "test-model" : embedder->name);
    REQUIRE(state.ok());
    return *state;
  }
  Job job(const SpecKey& key = kKey) {
    const auto jobs = backend.store->last_jobs(std::vector{key});
    REQUIRE(jobs.ok());
    REQUIRE(jobs->front());
    return *jobs->front();
  }
  JobState job_state(const SpecKey& key = kKey) {
    const auto state = backend.store->job_state(job(key).id);
    REQUIRE(state.ok());
    return *state;
  }
  std::vector<StoredRow> rows(const SpecKey& key = kKey) {
    std::vector<StoredRow> all;
    const auto space = backend.catalog->rows(key, true, [&](const StoredRow& row) {
      all.push_back(row);
      return true;
    });
    REQUIRE(space.ok());
    return all;
  }
  std::vector<Event> events_of(EventKind kind) const {
    std::vector<Event> found;
    std::copy_if(events.begin(), events.end(), std::back_inserter(found),
                 [kind](const Event& event) { return event.kind == kind; });
    return found;
  }
  std::vector<std::string> specs_of(EventKind kind) const {
    std::vector<std::string> names;
    for (const Event& event : events_of(kind)) {
      names.push_back(event.key.spec_name);
    }
    return names;
  }
};

}  // namespace embedjobs::test
