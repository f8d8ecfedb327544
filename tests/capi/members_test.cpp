// Every member of every struct: what a host writes is heeded, what the library writes is what happened.
#include <algorithm>

#include "capi/scene.hpp"

using namespace capi_test;

namespace {

struct MembersScene : Scene {
  HostEmbedder embedder;
  HostObserver observer;
  embedjobs_embedder table = embedder.table();
  embedjobs_observer watching = observer.table();
  MembersScene() {
    options.host_embedder = &table;
    options.observer = &watching;
  }
  ~MembersScene() { close(); }
};

}  // namespace

TEST_CASE("an embedder's limits are kept, and cut texts are marked on their way to the persister") {
  MembersScene scene;
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
  storing.finalize = [](void* self, auto... rest) { return HostPersister::finalize(&static_cast<Seen*>(self)->persister, rest...); };
  storing.describe = nullptr;
  storing.persist_batch = [](void* self, embedjobs_call* call, const embedjobs_pass* pass, const embedjobs_rows* rows, std::size_t* done) {
    const Seen& host = *static_cast<Seen*>(self);
    CHECK(pass->job_id > 0);
    CHECK(pass->generation == 1);
    CHECK(pass->input_cap == 12);
    CHECK(pass->epoch == 0);
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
  MembersScene scene;
  scene.open();
  auto enqueued = sized<embedjobs_enqueued>();
  const std::string spec = spec_with(3, "users");
  scene.ok(embedjobs_engine_put(scene.engine, "catalog", "spec", spec.data(), spec.size(), &enqueued, scene.error.out()));
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

TEST_CASE("a failed spec says why, and offers a retry") {
  MembersScene scene;
  scene.embedder.first = [](embedjobs_call* call, auto...) -> std::int32_t {
    embedjobs_call_set_error(call, "no such model", 13);
    return EMBEDJOBS_FAILED;
  };
  scene.open();
  scene.put(spec_with(3, "users"));
  scene.start();
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
  MembersScene scene;
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
  MembersScene scene;
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
