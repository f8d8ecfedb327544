// Every member of every struct: what a host writes is heeded, what the library writes is what happened.
#include <algorithm>

#include "capi/scene.hpp"

using namespace capi_test;

TEST_CASE("an embedder's limits are kept, and cut texts are marked on their way to the persister") {
  EmbedderScene scene;
  HostPersister persister;
  auto storing = persister.table();
  std::atomic<std::size_t> most_texts = 0, most_bytes = 0, cut_rows = 0;
  struct Seen {
    HostPersister& persister;
    std::atomic<std::size_t>& cut_rows;
  } seen{persister, cut_rows};
  storing.user_data = &seen;
  storing.destroy = nullptr;
  storing.list_existing = [](void* self, auto... rest) {
    return HostPersister::list_existing(&static_cast<Seen*>(self)->persister, rest...);
  };
  storing.finalize = [](void* self, auto... rest) {
    return HostPersister::finalize(&static_cast<Seen*>(self)->persister, rest...);
  };
  storing.describe = nullptr;
  storing.persist_batch = [](void* self, embedjobs_call* call, const embedjobs_pass* pass, const embedjobs_rows* rows,
                             std::size_t* done) {
    const Seen& host = *static_cast<Seen*>(self);
    CHECK(pass->job_id > 0);
    CHECK(pass->generation == 1);
    CHECK(pass->input_cap == 12);
    CHECK(pass->epoch == 0);  // nobody has asked for a manual retry of any spec
    CHECK(pass->reuse_floor == 0);
    CHECK(pass->dimension == 8);
    CHECK(pass->prompt_tokens > 0);
    CHECK(std::string(pass->catalog_id) == "catalog");
    for (std::size_t i = 0; i < rows->count; ++i) {
      host.cut_rows += rows->embedded_bytes[i] == 12 && rows->input_caps[i] == 12 ? 1 : 0;
    }
    return HostPersister::persist_batch(&host.persister, call, pass, rows, done);
  };
  scene.embedder.first = [&](embedjobs_call*, const embedjobs_texts* texts, embedjobs_vectors*, std::size_t*) {
    most_texts = std::max<std::size_t>(most_texts, texts->count);
    for (std::size_t i = 0; i < texts->count; ++i) {
      most_bytes = std::max<std::size_t>(most_bytes, texts->offsets[i + 1] - texts->offsets[i]);
    }
    return -1;
  };
  scene.table.concurrent_calls = 2;
  scene.table.batch_texts = 3;
  scene.table.batch_bytes = 1000;
  scene.table.batch_tokens = 100'000;
  scene.table.input_bytes = 12;
  scene.options.host_persister = &storing;
  scene.open();
  scene.put(spec_with(10, "users"));
  scene.start();
  scene.wait();
  CHECK(most_texts == 3);
  CHECK(most_bytes == 12);
  CHECK(cut_rows == 10);
}

TEST_CASE("a job's members tell its life") {
  EmbedderScene scene;
  scene.open();
  auto enqueued = sized<embedjobs_enqueued>();
  const std::string spec = spec_with(3, "users");
  scene.ok(
      embedjobs_engine_put(scene.engine, "catalog", "spec", spec.data(), spec.size(), &enqueued, scene.error.out()));
  scene.start();
  scene.wait();
  scene.observer.wait_for(EMBEDJOBS_EVENT_JOB_SUCCEEDED);
  embedjobs_jobs* jobs = nullptr;
  scene.ok(embedjobs_engine_jobs(scene.engine, nullptr, &jobs, scene.error.out()));
  const embedjobs_job& job = *jobs->items[0];
  CHECK(job.id == enqueued.job_id);
  CHECK(job.generation == enqueued.generation);
  CHECK(job.kind == EMBEDJOBS_JOB_SPEC_WRITE);
  CHECK(job.created_at > 1'600'000'000'000);
  CHECK(job.started_at >= job.created_at);
  CHECK(job.completed_at >= job.started_at);
  CHECK(job.updated_at >= job.completed_at);
  CHECK(job.next_run_at <= job.started_at);
  CHECK(job.lease_expires_at == 0);
  CHECK(job.embedded_so_far == 3);
  CHECK(job.reused_count == 0);
  CHECK(job.prompt_tokens == 3);
  embedjobs_jobs_destroy(jobs);
  embedjobs_metrics* metrics = nullptr;
  scene.ok(embedjobs_engine_metrics(scene.engine, &metrics, scene.error.out()));
  CHECK(metrics->jobs_claimed == 1);
  CHECK(metrics->jobs_retried + metrics->jobs_failed + metrics->jobs_released == 0);
  CHECK(metrics->leases_lost == 0);
  CHECK(metrics->leases_renewed <= 1);  // of ten minutes, and the job took no time
  CHECK(metrics->operations_reused == 0);
  CHECK(metrics->provider_calls == 1);
  CHECK(metrics->provider_errors + metrics->persist_errors == 0);
  CHECK(metrics->chunks_persisted == 1);
  CHECK(metrics->running == 0);
  CHECK(metrics->calls_in_flight == 0);
  CHECK(metrics->batch_size == 32);
  CHECK(metrics->store_pending + metrics->store_running + metrics->store_failed + metrics->store_cancelled == 0);
  embedjobs_metrics_destroy(metrics);
  embedjobs_catalogs* catalogs = nullptr;
  scene.ok(embedjobs_engine_catalogs(scene.engine, &catalogs, scene.error.out()));
  CHECK(std::string(catalogs->items[0]->search_space_id) == "8/c-host?v1");
  CHECK(catalogs->items[0]->specs_in_target == 1);
  embedjobs_catalogs_destroy(catalogs);
}

TEST_CASE("while a job runs, its spec's status says who holds it, since when and until when") {
  EmbedderScene scene;
  Gate entered, leave;
  scene.embedder.first = [&](auto...) {
    entered.open();
    leave.wait();
    return -1;
  };
  scene.options.worker_id = "worker-of-the-test";
  scene.open();
  scene.put(spec_with(3, "users"));
  scene.start();
  entered.wait();
  embedjobs_statuses* statuses = nullptr;
  embedjobs_jobs* jobs = nullptr;
  scene.ok(embedjobs_engine_statuses(scene.engine, nullptr, &statuses, scene.error.out()));
  scene.ok(embedjobs_engine_jobs(scene.engine, nullptr, &jobs, scene.error.out()));
  leave.open();
  CHECK(std::string(statuses->items[0]->worker_id) == "worker-of-the-test");
  CHECK(statuses->items[0]->job_started_at == jobs->items[0]->started_at);
  CHECK(statuses->items[0]->lease_expires_at == jobs->items[0]->lease_expires_at);
  CHECK(statuses->items[0]->job_started_at < statuses->items[0]->lease_expires_at);
  embedjobs_statuses_destroy(statuses);
  embedjobs_jobs_destroy(jobs);
  scene.wait();
}

TEST_CASE("a failed spec says why, and offers a retry") {
  EmbedderScene scene;
  scene.embedder.first = [](embedjobs_call* call, auto...) -> std::int32_t {
    embedjobs_call_set_error(call, "no such model", 13);
    return EMBEDJOBS_FAILED;
  };
  scene.open();
  scene.start();
  scene.observer.wait_for_first_round();
  scene.put(spec_with(3, "users"));
  scene.wait();
  embedjobs_statuses* statuses = nullptr;
  scene.ok(embedjobs_engine_statuses(scene.engine, nullptr, &statuses, scene.error.out()));
  const embedjobs_spec_status& status = *statuses->items[0];
  CHECK(status.job_status == EMBEDJOBS_JOB_FAILED);
  CHECK(std::string(status.job_last_error).find("no such model") != std::string::npos);
  CHECK(std::string(status.badge_label) == "failed");
  CHECK(std::string(status.badge_tooltip).find("no such model") != std::string::npos);
  CHECK(status.badge_tone == EMBEDJOBS_TONE_RED);
  CHECK(status.offers_retry == 1);
  CHECK(status.embedding_count == 0);
  CHECK(status.embedded_so_far == 0);
  CHECK(status.job_attempts == 1);
  CHECK(status.job_next_run_at == 0);
  CHECK(std::string(status.worker_id).empty());
  CHECK(status.job_started_at + status.lease_expires_at == 0);
  CHECK(std::string(status.provider_pause).empty());
  embedjobs_statuses_destroy(statuses);
  embedjobs_health* health = nullptr;
  scene.ok(embedjobs_engine_health(scene.engine, "catalog", &health, scene.error.out()));
  CHECK(health->specs == 1);
  CHECK(health->failed == 1);
  CHECK(health->pending + health->running == 0);
  CHECK(health->degraded == 1);
  CHECK(std::string(health->degraded_reason).find("catalog/spec") != std::string::npos);
  CHECK(health->banner_tone == EMBEDJOBS_TONE_RED);
  embedjobs_health_destroy(health);
  std::size_t count = 0;
  scene.embedder.first = nullptr;
  scene.ok(embedjobs_engine_retry_failed(scene.engine, &count, scene.error.out()));
  CHECK(count == 1);
  scene.wait();
}

TEST_CASE("an event's members tell what happened") {
  EmbedderScene scene;
  std::atomic<std::int64_t> persisted = 0, delay = 0, job = 0;
  scene.observer.on_event = [&](const embedjobs_event* event) {
    CHECK(event->struct_size == sizeof(*event));
    if (event->kind == EMBEDJOBS_EVENT_CHUNK_PERSISTED) {
      persisted += event->count;
    } else if (event->kind == EMBEDJOBS_EVENT_PROVIDER_PAUSED) {
      delay = event->delay_ms;
      CHECK(std::string(event->message).find("busy") != std::string::npos);
    } else if (event->kind == EMBEDJOBS_EVENT_JOB_PROGRESS) {
      CHECK(event->operation_count == 3);
      CHECK(event->reused + event->embedded + event->missing == 3);
      CHECK(event->prompt_tokens <= 3);
    } else if (event->kind == EMBEDJOBS_EVENT_JOB_SUCCEEDED) {
      job = event->job_id;
      CHECK(event->attempt >= 1);
    }
  };
  std::atomic<int> pauses = 1;
  scene.embedder.first = [&](embedjobs_call* call, auto...) -> std::int32_t {
    if (pauses-- > 0) {
      embedjobs_call_set_error(call, "busy", 4);
      embedjobs_call_set_retry_after_ms(call, 20);
      return EMBEDJOBS_PAUSED;
    }
    return -1;
  };
  scene.open();
  scene.put(spec_with(3, "users"));
  scene.start();
  scene.observer.wait_for(EMBEDJOBS_EVENT_JOB_SUCCEEDED);
  CHECK(persisted == 3);
  CHECK(delay >= 20);
  CHECK(job > 0);
}

TEST_CASE("open jobs of another space are told apart by a wait") {
  EmbedderScene scene;
  scene.open();
  scene.put(spec_with(3, "users"));
  scene.start();
  scene.wait();
  scene.ok(embedjobs_engine_switch_space(scene.engine, "catalog", "4/other", nullptr, scene.error.out()));
  auto report = sized<embedjobs_idle_report>();
  scene.ok(embedjobs_engine_wait_idle(scene.engine, 0, -1, nullptr, &report, scene.error.out()));
  CHECK(report.idle == 1);
  CHECK(report.other_space == 1);
}

TEST_CASE("the key of a provider over HTTP is asked of the host, and never shown") {
  HostObserver observer;
  const auto watching = observer.table();
  Gate asked;
  auto secret = sized<embedjobs_secret_source>();
  secret.user_data = &asked;
  secret.get = [](void* self, embedjobs_call*, embedjobs_secret* answer, std::size_t* done) {
    static_cast<Gate*>(self)->open();
    *done = 1;
    return embedjobs_secret_set(answer, "sk-of-the-host", 14);
  };
  Scene scene;
  scene.options.embedder = "openai:some-model@http://127.0.0.1:1";  // nobody listens there
  scene.options.secret_source = &secret;
  scene.options.observer = &watching;
  scene.open();
  scene.put(spec_with(1, "users"));
  scene.start();
  asked.wait();
  scene.close();
  for (const std::string& line : observer.lines) {
    CHECK(line.find("sk-of-the-host") == std::string::npos);
  }
}

TEST_CASE("rows are verified against their documents") {
  EmbedderScene scene;
  scene.open();
  scene.put(spec_with(3, "users"));
  scene.put(spec_with(2, "orders"), "waits");
  embedjobs_verifications* verified = nullptr;
  scene.ok(embedjobs_engine_verify(scene.engine, "catalog", nullptr, &verified, scene.error.out()));
  REQUIRE(verified->count == 2);
  CHECK(std::string(verified->items[0]->catalog_id) == "catalog");
  CHECK(std::string(verified->items[1]->spec_name) == "waits");
  CHECK(verified->items[1]->equal == 0);
  CHECK(std::string(verified->items[1]->difference).find("has no row") != std::string::npos);
  embedjobs_verifications_destroy(verified);
  scene.start();
  scene.wait();
  scene.ok(embedjobs_engine_verify(scene.engine, "catalog", "spec", &verified, scene.error.out()));
  REQUIRE(verified->count == 1);
  CHECK(verified->items[0]->equal == 1);
  CHECK(std::string(verified->items[0]->difference).empty());
  embedjobs_verifications_destroy(verified);
  CHECK(embedjobs_engine_verify(scene.engine, "catalog", "none", &verified, scene.error.out()) == EMBEDJOBS_NOT_FOUND);
  CHECK(verified == nullptr);
}

namespace {

void check_worker(const embedjobs_worker& worker) {
  CHECK(std::string(worker.worker_id) == "worker-of-the-test");
  CHECK_FALSE(std::string(worker.host).empty());
  CHECK(std::string(worker.version) == embedjobs_version());
  CHECK(std::string(worker.provider) == "c-host@test");
  CHECK(worker.process_id > 0);
  CHECK(worker.slots == 1);
  CHECK(worker.lease_duration_ms == 600'000);
  CHECK(worker.started_at > 1'600'000'000'000);
  CHECK(worker.last_seen_at >= worker.started_at);
  CHECK(worker.read_at >= worker.last_seen_at);
  CHECK(worker.running_jobs <= 1);
  CHECK(worker.live == 1);
}

void check_provider(const embedjobs_provider& provider) {
  CHECK(std::string(provider.provider) == "c-host@test");
  CHECK(std::string(provider.space_id) == "8/c-host?v1");
  CHECK(std::string(provider.pause_reason).find("busy") != std::string::npos);
  CHECK(provider.batch_texts <= 2);
  CHECK(provider.batch_bytes >= 0);
  CHECK(provider.paused_until > provider.read_at);
  CHECK(provider.tokens_total == provider.tokens_today);
  CHECK(provider.updated_at <= provider.read_at);
}

}  // namespace

TEST_CASE("what is remembered of a provider, and who works, can be read") {
  EmbedderScene scene;
  scene.options.worker_id = "worker-of-the-test";
  scene.options.lease_duration_ms = 600'000;
  scene.embedder.first = [](embedjobs_call* call, const embedjobs_texts* texts, auto...) -> std::int32_t {
    if (texts->count > 2) {
      return EMBEDJOBS_BATCH_TOO_LARGE;
    }
    if (texts->count == 2) {
      return -1;
    }
    embedjobs_call_set_error(call, "busy", 4);
    embedjobs_call_set_retry_after_ms(call, 3'600'000);
    return EMBEDJOBS_PAUSED;
  };
  scene.open();
  scene.put(spec_with(3, "users"));
  scene.start();
  scene.observer.wait_for(EMBEDJOBS_EVENT_PROVIDER_PAUSED);
  embedjobs_workers* workers = nullptr;
  const auto read_workers = [&] {
    scene.ok(embedjobs_engine_workers(scene.engine, &workers, scene.error.out()));
    return workers->count == 1 && std::string(workers->items[0]->space_id) == "8/c-host?v1";
  };
  while (!read_workers()) {  // it presents itself beside its work
    embedjobs_workers_destroy(workers);
  }
  check_worker(*workers->items[0]);
  embedjobs_workers_destroy(workers);

  embedjobs_providers* providers = nullptr;
  const auto read_providers = [&] {
    scene.ok(embedjobs_engine_providers(scene.engine, &providers, scene.error.out()));
    return providers->count == 1 && !std::string(providers->items[0]->pause_reason).empty();
  };
  while (!read_providers()) {
    embedjobs_providers_destroy(providers);
  }
  check_provider(*providers->items[0]);
  embedjobs_providers_destroy(providers);
}

TEST_CASE("a host that only logs learns of what went wrong in the background") {
  EmbedderScene scene;
  std::atomic<int> calls = 0;
  scene.embedder.first = [&](embedjobs_call* call, auto...) -> std::int32_t {
    embedjobs_call_set_error(call, "no GPU", 6);
    return calls++ == 0 ? EMBEDJOBS_RETRY : EMBEDJOBS_FAILED;
  };
  scene.watching.event = nullptr;
  scene.watching.reload = nullptr;
  scene.open();
  scene.put(spec_with(1, "users"));
  scene.start();
  const auto logged = [&](std::int32_t level, const std::string& words) {
    HostObserver& host = scene.observer;
    std::unique_lock lock(host.mutex);
    std::size_t at = 0;
    host.changed.wait(lock, [&] {
      const auto found =
          std::find_if(host.lines.begin(), host.lines.end(), [&](const auto& line) { return line.find(words) == 0; });
      at = static_cast<std::size_t>(found - host.lines.begin());
      return found != host.lines.end();
    });
    CHECK(host.levels[at] == level);
    CHECK(host.lines[at].find("no GPU") != std::string::npos);
  };
  logged(EMBEDJOBS_LOG_WARNING, "catalog/spec: attempt 1 failed and is made again: ");
  scene.enqueue();
  logged(EMBEDJOBS_LOG_ERROR, "catalog/spec: the job failed: ");
}
