// An engine over memory with an embedder that the test turns.
#pragma once

#include <catch2/catch.hpp>

#include <algorithm>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "embedjobs/embedder.hpp"
#include "embedjobs/engine.hpp"
#include "embedjobs/events.hpp"
#include "embedjobs/memory.hpp"
#include "embedjobs/persister.hpp"
#include "embedjobs/resolver.hpp"
#include "embedjobs/splitter.hpp"
#include "embedjobs/sys/catalog.hpp"
#include "embedjobs/sys/runtime.hpp"
#include "embedjobs/sys/store.hpp"
#include "support/provider.hpp"
#include "support/spec.hpp"

namespace embedjobs::test {

inline const SpecKey kKey{"catalog", "spec"};

inline EngineOptions memory_options() {
  EngineOptions options;
  options.dsn = "memory:";
  return options;
}

struct EngineScene {
  std::shared_ptr<Provider> provider;
  std::mutex mutex;
  std::condition_variable logged;
  std::vector<std::string> lines;
  std::unique_ptr<Engine> engine;

  EngineScene() : EngineScene({}, nullptr, memory_options()) {}
  EngineScene(EngineParts parts, std::shared_ptr<Provider> with, EngineOptions options = memory_options())
      : provider(with ? std::move(with) : std::make_shared<Provider>()) {
    options.log = [this](LogLevel, std::string_view line) {
      const std::lock_guard lock(mutex);
      lines.emplace_back(line);
      logged.notify_all();
    };
    if (options.embedder.empty() && !parts.computer) {
      parts.embedder = provider;
    }
    auto opened = Engine::open(std::move(options), std::move(parts));
    INFO(opened.status().to_string());
    REQUIRE(opened.ok());
    engine = std::move(opened).value();
  }

  Engine* operator->() { return engine.get(); }

  void wait() {
    const auto report = engine->wait_idle(std::chrono::hours(1));
    INFO(report.status().to_string());
    REQUIRE(report.ok());
    CHECK(report->idle);
  }
  /// Puts, starts and waits until it is done.
  void index(const SpecKey& key, std::string_view content) {
    const auto put = engine->put(key, content);
    INFO(put.status().to_string());
    REQUIRE(put.ok());
    const Status started = engine->start();
    INFO(started.to_string());
    REQUIRE(started.ok());
    wait();
  }
  /// Returns when a line with this text was logged.
  void wait_for_log(std::string_view text) {
    std::unique_lock lock(mutex);
    logged.wait(lock, [&] {
      return std::any_of(lines.begin(), lines.end(),
                         [&](const std::string& line) { return line.find(text) != std::string::npos; });
    });
  }
  /// The reconciler also looks when a worker starts, and tries again what failed before it looked: who counts failures
  /// waits for that.
  void wait_for_first_round() { wait_for_log("reconciler: a round ended"); }
  bool log_has(std::string_view text) {
    const std::lock_guard lock(mutex);
    return std::any_of(lines.begin(), lines.end(),
                       [&](const std::string& line) { return line.find(text) != std::string::npos; });
  }
};

}  // namespace embedjobs::test
