// Every call of an engine, with a host that brings only an embedder.
#include <algorithm>

#include "capi/scene.hpp"

using namespace capi_test;

namespace {

struct ReadScene : EmbedderScene {
  ReadScene() { open(); }
  void index(std::size_t operations) {
    put(spec_with(operations, "users"));
    start();
    wait();
  }
};

}  // namespace

TEST_CASE("version, names of codes and hashes need no engine") {
  CHECK(std::string(embedjobs_version()) == "0.1.0");
  CHECK(std::string(embedjobs_code_name(EMBEDJOBS_LEASE_LOST)) == "lease_lost");
  CHECK(std::string(embedjobs_code_name(4711)) == "unknown");
  std::uint8_t hash[EMBEDJOBS_HASH_SIZE] = {};
  embedjobs_hash_text("abc", 3, hash);
  CHECK(hash[0] == 0xba);
  CHECK(hash[31] == 0xad);
}

TEST_CASE("a host's embedder fills the built-in catalog, and searches it") {
  ReadScene scene;
  auto enqueued = sized<embedjobs_enqueued>();
  const std::string spec = spec_with(70, "users");
  scene.ok(
      embedjobs_engine_put(scene.engine, "catalog", "spec", spec.data(), spec.size(), &enqueued, scene.error.out()));
  CHECK(enqueued.created == 1);
  CHECK(enqueued.generation == 1);
  scene.start();
  scene.wait();
  CHECK(scene.embedder.texts == 70);
  embedjobs_hits* hits = nullptr;
  scene.ok(embedjobs_engine_search(scene.engine, "catalog", "users", 5, 3, &hits, scene.error.out()));
  REQUIRE(hits->count == 3);
  CHECK(std::string(hits->items[0]->spec_name) == "spec");
  CHECK(std::string(hits->items[0]->catalog_id) == "catalog");
  CHECK(hits->items[0]->operation_id_size == std::strlen(hits->items[0]->operation_id));
  CHECK(hits->items[0]->score >= hits->items[2]->score);
  embedjobs_hits_destroy(hits);
  CHECK(scene.embedder.queries == 1);
}

TEST_CASE("statuses, health and catalogs are read as a person sees them") {
  ReadScene scene;
  scene.index(5);
  embedjobs_statuses* statuses = nullptr;
  scene.ok(embedjobs_engine_statuses(scene.engine, "catalog", &statuses, scene.error.out()));
  REQUIRE(statuses->count == 1);
  const embedjobs_spec_status& status = *statuses->items[0];
  CHECK(status.struct_size == sizeof(status));
  CHECK(std::string(status.badge_label) == "5/5 indexed");
  CHECK(status.badge_tone == EMBEDJOBS_TONE_GREEN);
  CHECK(status.job_status == EMBEDJOBS_JOB_SUCCEEDED);
  CHECK(status.offers_retry == 0);
  CHECK(std::string(status.visible_space_id) == "8/c-host?v1");
  CHECK(status.job_updated_at > 0);
  embedjobs_statuses_destroy(statuses);
  embedjobs_health* health = nullptr;
  scene.ok(embedjobs_engine_health(scene.engine, nullptr, &health, scene.error.out()));
  CHECK(health->indexed == 1);
  CHECK(health->degraded == 0);
  CHECK(std::string(health->banner_text).find("All 1 specs indexed") == 0);
  embedjobs_health_destroy(health);
  embedjobs_catalogs* catalogs = nullptr;
  scene.ok(embedjobs_engine_catalogs(scene.engine, &catalogs, scene.error.out()));
  REQUIRE(catalogs->count == 1);
  CHECK(std::string(catalogs->items[0]->target_space_id) == "8/c-host?v1");
  CHECK(catalogs->items[0]->spec_count == 1);
  embedjobs_catalogs_destroy(catalogs);
  CHECK(embedjobs_engine_statuses(scene.engine, "none", &statuses, scene.error.out()) == EMBEDJOBS_NOT_FOUND);
  CHECK(statuses == nullptr);
}

TEST_CASE("rows are read with ids, hashes and vectors, after the engine too") {
  ReadScene scene;
  scene.index(3);
  embedjobs_stored_rows* rows = nullptr;
  scene.ok(embedjobs_engine_rows(scene.engine, "catalog", "spec", 1, &rows, scene.error.out()));
  scene.close();
  REQUIRE(rows->count == 3);
  CHECK(rows->dimension == 8);
  CHECK(std::string(rows->space_id) == "8/c-host?v1");
  CHECK(std::string(rows->ids, rows->id_offsets[1]) == "op-0");
  CHECK(rows->embedded_bytes[0] == 0);
  float expected[8];
  const std::string text = "users number 0 /p0";
  std::uint8_t hash[EMBEDJOBS_HASH_SIZE];
  embedjobs_hash_text(text.data(), text.size(), hash);
  CHECK(std::memcmp(rows->hashes, hash, sizeof(hash)) == 0);
  fill_vector(text.data(), text.size(), expected, 8);
  CHECK(std::memcmp(rows->vectors, expected, sizeof(expected)) == 0);
  embedjobs_stored_rows_destroy(rows);
}

TEST_CASE("jobs are listed by every member of the filter") {
  ReadScene scene;
  scene.index(3);
  auto filter = sized<embedjobs_job_filter>();
  const auto count = [&] {
    embedjobs_jobs* jobs = nullptr;
    scene.ok(embedjobs_engine_jobs(scene.engine, &filter, &jobs, scene.error.out()));
    const std::size_t found = jobs->count;
    embedjobs_jobs_destroy(jobs);
    return found;
  };
  CHECK(count() == 1);
  filter.by_status = 1;
  filter.status = EMBEDJOBS_JOB_FAILED;
  CHECK(count() == 0);
  filter.status = EMBEDJOBS_JOB_SUCCEEDED;
  filter.by_kind = 1;
  filter.kind = EMBEDJOBS_JOB_SPEC_WRITE;
  filter.catalog_id = "catalog";
  filter.spec_name = "spec";
  filter.limit = 1;
  CHECK(count() == 1);
  filter.spec_name = "other";
  CHECK(count() == 0);
  filter.kind = 17;
  embedjobs_jobs* jobs = nullptr;
  CHECK(embedjobs_engine_jobs(scene.engine, &filter, &jobs, scene.error.out()) == EMBEDJOBS_INVALID_ARGUMENT);
}

TEST_CASE("metrics count in members and in Prometheus' words") {
  ReadScene scene;
  scene.index(3);
  embedjobs_metrics* metrics = nullptr;
  scene.ok(embedjobs_engine_metrics(scene.engine, &metrics, scene.error.out()));
  CHECK(metrics->jobs_succeeded == 1);
  CHECK(metrics->operations_embedded == 3);
  CHECK(metrics->provider_texts == 3);
  CHECK(metrics->provider_tokens == 3);
  CHECK(metrics->store_succeeded == 1);
  CHECK(std::string(metrics->prometheus, metrics->prometheus_size).find("embedjobs_") != std::string::npos);
  embedjobs_metrics_destroy(metrics);
}

TEST_CASE("items that a host has cut itself need no document") {
  ReadScene scene;
  const std::string items = "{\"id\":\"a\",\"text\":\"one\"}\n{\"id\":\"b\",\"text\":\"two\"}\n";
  scene.ok(embedjobs_engine_put_items(scene.engine, "catalog", "spec", items.data(), items.size(), nullptr,
                                      scene.error.out()));
  scene.start();
  scene.wait();
  CHECK(scene.embedder.texts == 2);
  CHECK(embedjobs_engine_put_items(scene.engine, "catalog", "spec", "no json", 7, nullptr, scene.error.out()) ==
        EMBEDJOBS_INVALID_DOCUMENT);
}

TEST_CASE("a retry embeds afresh, a removal clears, an unreadable document replaces nothing") {
  ReadScene scene;
  scene.index(3);
  scene.ok(embedjobs_engine_retry(scene.engine, "catalog", "spec", nullptr, scene.error.out()));
  scene.wait();
  CHECK(scene.embedder.texts == 6);
  CHECK(embedjobs_engine_put(scene.engine, "catalog", "spec", "[", 1, nullptr, scene.error.out()) ==
        EMBEDJOBS_INVALID_DOCUMENT);
  std::size_t count = 99;
  scene.ok(embedjobs_engine_reconcile(scene.engine, &count, scene.error.out()));
  CHECK(count == 0);
  scene.ok(embedjobs_engine_retry_failed(scene.engine, &count, scene.error.out()));
  CHECK(count == 0);
  scene.ok(embedjobs_engine_switch_space(scene.engine, "catalog", "4/other", &count, scene.error.out()));
  CHECK(count == 1);
  CHECK(embedjobs_engine_switch_space(scene.engine, "catalog", "nonsense", &count, scene.error.out()) ==
        EMBEDJOBS_INVALID_ARGUMENT);
  scene.ok(embedjobs_engine_remove(scene.engine, "catalog", "spec", scene.error.out()));
  CHECK(embedjobs_engine_remove(scene.engine, "catalog", "spec", scene.error.out()) == EMBEDJOBS_NOT_FOUND);
  CHECK(embedjobs_engine_retry(scene.engine, "catalog", "spec", nullptr, scene.error.out()) == EMBEDJOBS_NOT_FOUND);
  CHECK(embedjobs_engine_remove_catalog(scene.engine, "catalog", scene.error.out()) == EMBEDJOBS_NOT_FOUND);
}

TEST_CASE("the worker runs on the host's own thread") {
  ReadScene scene;
  std::vector<std::thread::id> threads;
  scene.embedder.first = [&](embedjobs_call*, const embedjobs_texts*, embedjobs_vectors*, std::size_t*) {
    threads.push_back(std::this_thread::get_id());
    return -1;
  };
  scene.put(spec_with(100, "users"));
  auto report = sized<embedjobs_idle_report>();
  scene.ok(
      embedjobs_engine_worker_run(scene.engine, EMBEDJOBS_RUN_UNTIL_IDLE, 0, -1, nullptr, &report, scene.error.out()));
  CHECK(report.idle == 1);
  CHECK(report.next_due_ms == -1);
  CHECK(scene.embedder.texts == 100);
  CHECK(std::all_of(threads.begin(), threads.end(), [](auto id) { return id == std::this_thread::get_id(); }));
  CHECK(embedjobs_engine_start(scene.engine, scene.error.out()) == EMBEDJOBS_REFUSED);
  // Nothing to do, and a limit: it says so. A stop request ends it.
  CHECK(embedjobs_engine_worker_run(scene.engine, EMBEDJOBS_RUN_UNTIL_STOPPED, 0, 1, nullptr, nullptr,
                                    scene.error.out()) == EMBEDJOBS_TIMEOUT);
  scene.ok(embedjobs_engine_request_stop(scene.engine, scene.error.out()));
  scene.ok(embedjobs_engine_worker_run(scene.engine, EMBEDJOBS_RUN_UNTIL_STOPPED, 0, -1, nullptr, nullptr,
                                       scene.error.out()));
  scene.ok(embedjobs_engine_stop(scene.engine, -1, scene.error.out()));
}

TEST_CASE("a running worker is stopped from a callback, and its job released") {
  ReadScene scene;
  scene.options.batch_size = 1;
  scene.embedder.first = [&](embedjobs_call*, const embedjobs_texts*, embedjobs_vectors*, std::size_t*) {
    CHECK(embedjobs_engine_request_stop(scene.engine, nullptr) == EMBEDJOBS_OK);
    return -1;
  };
  scene.put(spec_with(1000, "users"));
  scene.ok(embedjobs_engine_worker_run(scene.engine, EMBEDJOBS_RUN_UNTIL_STOPPED, 0, -1, nullptr, nullptr,
                                       scene.error.out()));
  scene.ok(embedjobs_engine_stop(scene.engine, -1, scene.error.out()));
  CHECK(scene.job().status == EMBEDJOBS_JOB_PENDING);
  CHECK(scene.embedder.texts < 1000);
}

TEST_CASE("a wait ends by its time limit, by a cancel, and by a stop") {
  ReadScene scene;
  scene.put(spec_with(3, "users"));  // nobody works
  const auto wait = [&](std::int64_t limit_ms, embedjobs_cancel* cancel) {
    return embedjobs_engine_wait_idle(scene.engine, 0, limit_ms, cancel, nullptr, scene.error.out());
  };
  CHECK(wait(0, nullptr) == EMBEDJOBS_TIMEOUT);
  CHECK(wait(20, nullptr) == EMBEDJOBS_TIMEOUT);
  embedjobs_cancel* cancel = embedjobs_cancel_create();
  REQUIRE(cancel != nullptr);
  std::thread canceller([&] {
    embedjobs_cancel_request(cancel);
    embedjobs_cancel_destroy(cancel);
  });
  canceller.join();
  cancel = embedjobs_cancel_create();
  std::thread waiter([&] { CHECK(wait(-1, cancel) == EMBEDJOBS_CANCELLED); });
  embedjobs_cancel_request(cancel);
  waiter.join();
  embedjobs_cancel_destroy(cancel);
  scene.ok(embedjobs_engine_stop(scene.engine, 0, scene.error.out()));
  CHECK(wait(-1, nullptr) == EMBEDJOBS_CANCELLED);
}

TEST_CASE("log, events and reload reach their callbacks") {
  HostEmbedder embedder;
  HostObserver observer;
  const embedjobs_embedder table = embedder.table();
  const embedjobs_observer watching = observer.table();
  {
    Scene scene;
    scene.options.host_embedder = &table;
    scene.options.observer = &watching;
    scene.options.lease_duration_ms = 1000;  // embed_timeout_ms >= lease_duration_ms: a warning
    scene.open();
    CHECK_FALSE(observer.lines.empty());
    scene.put(spec_with(3, "users"));
    scene.start();
    scene.wait();
    observer.wait_for(EMBEDJOBS_EVENT_JOB_SUCCEEDED);
  }
  CHECK(observer.reloaded == std::vector<std::string>{"catalog/spec"});
  CHECK(observer.kinds.front() == EMBEDJOBS_EVENT_JOB_CLAIMED);
  CHECK(observer.destroyed == 1);
  CHECK(embedder.destroyed == 1);
}

TEST_CASE("every option reaches the engine") {
  HostEmbedder embedder;
  const embedjobs_embedder table = embedder.table();
  Scene scene;
  scene.options.host_embedder = &table;
  scene.options.worker_id = "worker-of-c";
  scene.options.slots = 2;
  scene.options.batch_size = 7;
  scene.options.batch_bytes = 1 << 20;
  scene.options.lease_duration_ms = 600'000;
  scene.options.embed_timeout_ms = 60'000;
  scene.options.provider_concurrency = 1;
  scene.options.requests_per_minute = 1'000'000;
  scene.options.tokens_per_minute = 1'000'000'000;
  scene.options.daily_token_budget = 1'000'000'000;
  scene.options.safety_bound_ms = 600'000;
  scene.options.fallback_poll_ms = 1000;
  scene.options.reaper_interval_ms = 1000;
  scene.options.reconciler_interval_ms = 1000;
  scene.options.retention_interval_ms = 1000;
  scene.options.job_retention_ms = 86'400'000;
  scene.options.vector_grace_ms = 86'400'000;
  scene.open();
  std::atomic<std::size_t> most = 0;
  std::string worker;
  embedder.first = [&](embedjobs_call* call, const embedjobs_texts* texts, embedjobs_vectors*, std::size_t*) {
    most = std::max<std::size_t>(most, texts->count);
    CHECK(embedjobs_call_remaining_ms(call) > 0);
    CHECK(embedjobs_call_remaining_ms(call) <= 60'000);
    embedjobs_jobs* jobs = nullptr;
    REQUIRE(embedjobs_engine_jobs(scene.engine, nullptr, &jobs, nullptr) == EMBEDJOBS_OK);
    worker = jobs->items[0]->worker_id;
    embedjobs_jobs_destroy(jobs);
    return -1;
  };
  scene.put(spec_with(20, "users"));
  scene.start();
  scene.wait();
  CHECK(most == 7);
  CHECK(worker == "worker-of-c");
}

TEST_CASE("a built-in embedder is named by its spec") {
  Scene scene;
  scene.options.embedder = "hashing:64";
  scene.open();
  scene.put(spec_with(3, "users"));
  scene.start();
  scene.wait();
  CHECK(scene.job().embedded == 3);
}
