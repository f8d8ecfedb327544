// Ten thousand engines, a million callbacks: no growth of memory, handles or threads. EMBEDJOBS_ENDURANCE=full; else a
// hundredth of it.
#include <dirent.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>

#include "capi/scene.hpp"

using namespace capi_test;

namespace {

bool full() {
  const char* value = std::getenv("EMBEDJOBS_ENDURANCE");
  return value != nullptr && std::string(value) == "full";
}

std::size_t entries(const char* folder) {
  std::size_t count = 0;
  DIR* dir = opendir(folder);
  while (readdir(dir) != nullptr) {
    ++count;
  }
  closedir(dir);
  return count;
}

struct Usage {
  std::size_t handles = entries("/proc/self/fd");
  std::size_t threads = entries("/proc/self/task");
  std::size_t pages = [] {
    std::size_t size = 0;
    std::size_t resident = 0;
    std::ifstream("/proc/self/statm") >> size >> resident;
    return resident;
  }();
};

/// Memory settles first: allocators keep what they had.
void check_memory(const Usage& before, const Usage& after) {
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
  return;  // they keep freed memory on purpose
#endif
#endif
  const std::size_t four_mib = 1024;
  INFO(before.pages << " pages before, " << after.pages << " after");
  CHECK(after.pages <= before.pages + four_mib);
#endif
}

void check_handles(const Usage& before, const Usage& after) {
  CHECK(after.handles == before.handles);
  CHECK(after.threads == before.threads);
}

void one_cycle() {
  HostEmbedder embedder;
  const embedjobs_embedder table = embedder.table();
  {
    Scene scene;
    scene.options.host_embedder = &table;
    scene.open();
    scene.put(spec_with(2, "users"));
    scene.start();
    scene.wait();
  }
  REQUIRE(embedder.destroyed == 1);
  REQUIRE(embedder.texts == 2);
}

}  // namespace

TEST_CASE("engines open and close without a trace") {
  const std::size_t cycles = full() ? 10'000 : 100;
  for (std::size_t i = 0; i < cycles / 10; ++i) {
    one_cycle();
  }
  const Usage before;
  for (std::size_t i = 0; i < cycles; ++i) {
    one_cycle();
  }
  const Usage after;
  check_memory(before, after);
  check_handles(before, after);
}

TEST_CASE("callbacks come and go without a trace") {
  const std::size_t calls = full() ? 1'000'000 : 10'000;
  const std::size_t texts = 1000;
  HostEmbedder embedder;
  const embedjobs_embedder table = embedder.table();
  const Usage unopened;
  Scene scene;
  scene.options.host_embedder = &table;
  scene.options.batch_size = 1;
  scene.open();
  scene.put(spec_with(texts, "users"));
  scene.start();
  const auto round = [&] {
    scene.ok(embedjobs_engine_retry(scene.engine, "catalog", "spec", nullptr, scene.error.out()));
    scene.wait();
  };
  scene.wait();
  for (std::size_t done = 0; done < calls / 10; done += texts) {
    round();
  }
  const Usage before;
  const std::size_t called = embedder.calls;
  while (embedder.calls < called + calls) {
    round();
  }
  check_memory(before, Usage());
  scene.close();
  check_handles(unopened, Usage());  // lanes make their threads when they are first needed
}
