// A host's computer, alone and with the other parts, and what happens when it fails.
#include <algorithm>

#include "capi/scene.hpp"

using namespace capi_test;

namespace {

/// A computer that takes each word of the document for an operation.
struct HostComputer {
  std::function<std::int32_t(embedjobs_call*, embedjobs_compute*)> at_end;  ///< Answered unless it is -1.
  std::atomic<std::size_t> destroyed = 0, computed = 0;
  bool sets_manifest = true;
  std::size_t chunk = 2;
  std::function<void(std::size_t persisted)> on_chunk;

  static std::int32_t compute(void* self, embedjobs_call* call, embedjobs_compute* compute,
                              const embedjobs_compute_request* request, std::size_t* done) {
    auto& host = *static_cast<HostComputer*>(self);
    std::string ids;
    std::vector<std::uint64_t> offsets{0};
    std::vector<std::uint8_t> hashes;
    const std::string content(request->content, request->content_size);
    for (std::size_t at = 0; at < content.size();) {
      const std::size_t end = std::min(content.find(' ', at), content.size());
      ids += content.substr(at, end - at);
      offsets.push_back(ids.size());
      hashes.resize(hashes.size() + EMBEDJOBS_HASH_SIZE);
      embedjobs_hash_text(content.data() + at, end - at, hashes.data() + hashes.size() - EMBEDJOBS_HASH_SIZE);
      at = end + 1;
    }
    auto all = sized<embedjobs_operations>();
    all.count = offsets.size() - 1;
    all.ids = ids.data();
    all.id_offsets = offsets.data();
    all.hashes = hashes.data();
    std::vector<std::uint8_t> existing(all.count);
    if (const std::int32_t code = embedjobs_compute_list_existing(compute, &all, existing.data(), nullptr);
        code != EMBEDJOBS_OK) {
      return code;
    }
    std::size_t have = static_cast<std::size_t>(std::count(existing.begin(), existing.end(), 1));
    embedjobs_compute_progress(compute, have, all.count);
    for (std::size_t i = 0; i < all.count; ++i) {
      if (existing[i] == 0) {
        if (const std::int32_t code = host.persist(compute, all, i); code != EMBEDJOBS_OK) {
          return code;
        }
        ++host.computed;
        embedjobs_compute_progress(compute, ++have, all.count);
        if (host.on_chunk) {
          host.on_chunk(have);
        }
        if (embedjobs_call_is_cancelled(call) != 0) {
          return EMBEDJOBS_CANCELLED;
        }
      }
    }
    if (host.sets_manifest) {
      (void)embedjobs_compute_set_manifest(compute, &all, nullptr);
    }
    if (host.at_end) {
      if (const std::int32_t code = host.at_end(call, compute); code != -1) {
        return code;
      }
    }
    *done = all.count;
    return EMBEDJOBS_OK;
  }
  std::int32_t persist(embedjobs_compute* compute, const embedjobs_operations& all, std::size_t i) const {
    const std::uint64_t offsets[2] = {0, all.id_offsets[i + 1] - all.id_offsets[i]};
    const float vector[2] = {1, 2};
    auto rows = sized<embedjobs_rows>();
    rows.count = 1;
    rows.dimension = 2;
    rows.ids = all.ids + all.id_offsets[i];
    rows.id_offsets = offsets;
    rows.hashes = all.hashes + i * EMBEDJOBS_HASH_SIZE;
    rows.vectors = vector;
    return embedjobs_compute_persist_batch(compute, &rows, nullptr);
  }
  embedjobs_computer table() {
    auto table = sized<embedjobs_computer>();
    table.user_data = this;
    table.destroy = [](void* self) { ++static_cast<HostComputer*>(self)->destroyed; };
    table.compute = compute;
    table.version = "words/1";
    table.model = "words";
    table.dimension = 2;
    return table;
  }
};

struct ComputerScene : HostScene {
  HostComputer computer;
  embedjobs_computer computer_table = computer.table();
  ComputerScene() {
    options.host_computer = &computer_table;
    options.host_embedder = nullptr;
    options.host_persister = nullptr;
  }
  ~ComputerScene() { close(); }
};

}  // namespace

TEST_CASE("a computer does the whole document") {
  ComputerScene scene;
  scene.open();
  scene.put("one two three four five");
  scene.start();
  scene.wait();
  CHECK(scene.computer.computed == 5);
  CHECK(scene.job().operations == 5);
  scene.put("one two three");
  scene.wait();
  CHECK(scene.computer.computed == 5);  // all reused
  embedjobs_stored_rows* rows = nullptr;
  scene.ok(embedjobs_engine_rows(scene.engine, "catalog", "spec", 0, &rows, scene.error.out()));
  CHECK(rows->count == 3);
  CHECK(rows->vectors == nullptr);
  embedjobs_stored_rows_destroy(rows);
}

TEST_CASE("a computer that fails goes on from what it persisted") {
  ComputerScene scene;
  std::atomic<int> failures = 1;
  scene.computer.at_end = [&](embedjobs_call* call, embedjobs_compute*) -> std::int32_t {
    if (failures-- > 0) {
      embedjobs_call_set_error(call, "out of breath", 13);
      return EMBEDJOBS_RETRY;
    }
    return -1;
  };
  scene.open();
  scene.put("one two three");
  scene.start();
  scene.observer.wait_for(EMBEDJOBS_EVENT_JOB_RETRIED);
  CHECK(scene.job().last_error == "the host's computer: out of breath");
  scene.again_now();
  CHECK(scene.computer.computed == 3);
  CHECK(scene.job().status == EMBEDJOBS_JOB_SUCCEEDED);
}

TEST_CASE("a computer that names no manifest has not succeeded") {
  ComputerScene scene;
  scene.computer.sets_manifest = false;
  scene.open();
  scene.put("one two");
  scene.start();
  scene.observer.wait_for(EMBEDJOBS_EVENT_JOB_RETRIED);
  CHECK(scene.job().last_error.find("the host's computer answered ok, but") != std::string::npos);
}

TEST_CASE("a computer's wrong arguments are refused, and harm nothing") {
  ComputerScene scene;
  scene.computer.at_end = [&](embedjobs_call*, embedjobs_compute* compute) -> std::int32_t {
    auto rows = sized<embedjobs_rows>();
    const std::uint64_t offsets[2] = {0, 1};
    const std::uint8_t hash[EMBEDJOBS_HASH_SIZE] = {};
    const float zero[2] = {0, 0};
    CHECK(embedjobs_compute_persist_batch(compute, nullptr, nullptr) == EMBEDJOBS_INVALID_ARGUMENT);
    rows.count = 1;
    CHECK(embedjobs_compute_persist_batch(compute, &rows, nullptr) == EMBEDJOBS_INVALID_ARGUMENT);  // pointers are NULL
    rows.ids = "x";
    rows.id_offsets = offsets;
    rows.hashes = hash;
    rows.vectors = zero;
    rows.dimension = 3;
    CHECK(embedjobs_compute_persist_batch(compute, &rows, nullptr) == EMBEDJOBS_INVALID_ARGUMENT);  // another dimension
    rows.dimension = 2;
    CHECK(embedjobs_compute_persist_batch(compute, &rows, nullptr) == EMBEDJOBS_INVALID_ARGUMENT);  // a zero vector
    rows.ids = "\xff";
    CHECK(embedjobs_compute_persist_batch(compute, &rows, nullptr) == EMBEDJOBS_INVALID_ARGUMENT);  // not UTF-8
    rows.ids = "x";
    const std::uint64_t falling[2] = {0, 0};
    rows.id_offsets = falling;
    CHECK(embedjobs_compute_persist_batch(compute, &rows, nullptr) == EMBEDJOBS_INVALID_ARGUMENT);
    rows.count = SIZE_MAX / 2;
    CHECK(embedjobs_compute_persist_batch(compute, &rows, nullptr) == EMBEDJOBS_INVALID_ARGUMENT);  // too many
    auto operations = sized<embedjobs_operations>();
    operations.count = 1;
    CHECK(embedjobs_compute_set_manifest(compute, &operations, nullptr) == EMBEDJOBS_INVALID_ARGUMENT);
    std::uint8_t existing = 0;
    CHECK(embedjobs_compute_list_existing(compute, nullptr, &existing, nullptr) == EMBEDJOBS_INVALID_ARGUMENT);
    CHECK(embedjobs_compute_list_existing(nullptr, &operations, &existing, nullptr) == EMBEDJOBS_INVALID_ARGUMENT);
    CHECK(embedjobs_compute_set_manifest(nullptr, &operations, nullptr) == EMBEDJOBS_INVALID_ARGUMENT);
    CHECK(embedjobs_compute_persist_batch(nullptr, &rows, nullptr) == EMBEDJOBS_INVALID_ARGUMENT);
    embedjobs_compute_progress(nullptr, 1, 2);
    return -1;
  };
  scene.open();
  scene.put("one two");
  scene.start();
  scene.wait();
  CHECK(scene.job().status == EMBEDJOBS_JOB_SUCCEEDED);
}

TEST_CASE("a computer that names an id twice fails its job, and says which") {
  ComputerScene scene;
  scene.open();
  scene.start();
  scene.observer.wait_for_first_round();
  scene.put("one two one");
  scene.wait();
  CHECK(scene.job().status == EMBEDJOBS_JOB_FAILED);
  CHECK(scene.job().last_error.find("names operation id 'one' twice") != std::string::npos);
}

TEST_CASE("embedder, computer, persister and resolver go together") {
  ComputerScene scene;
  scene.options.host_persister = &scene.persister_table;
  scene.with_resolver();
  scene.open();
  scene.resolver.documents["spec"] = "one two three";
  scene.enqueue();
  scene.start();
  scene.wait();
  CHECK(scene.persister.rows_of("spec") == 3);
  scene.close();
  CHECK(scene.computer.destroyed == 1);
  CHECK(scene.persister.destroyed == 1);
  CHECK(scene.resolver.destroyed == 1);
}
