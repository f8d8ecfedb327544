// What must not be done, and what happens then: an error that says so, and no harm.
#include <algorithm>
#include <cmath>
#include <limits>
#include <new>
#include <stdexcept>

#include "capi/scene.hpp"

using namespace capi_test;

namespace {

struct OpenScene : EmbedderScene {
  /// Indexes a document whose first call the test answers; the job's error.
  std::string error_of_first_call(HostEmbedder::Call answer) {
    std::atomic<int> calls = 0;
    embedder.first = [&, answer = std::move(answer)](embedjobs_call* call, const embedjobs_texts* texts,
                                                     embedjobs_vectors* out, std::size_t* done) {
      return calls++ == 0 ? answer(call, texts, out, done) : -1;
    };
    open();
    put(spec_with(3, "users"));
    start();
    observer.wait_for(EMBEDJOBS_EVENT_JOB_RETRIED);
    const std::string said = job().last_error;
    enqueue();
    wait();
    CHECK(job().status == EMBEDJOBS_JOB_SUCCEEDED);  // tried again, nothing lost
    return said;
  }
};

template <typename Table>
void check_refused_sizes(const Table& table, const std::function<std::int32_t(const Table*)>& open) {
  for (const std::size_t size :
       {std::size_t{0}, sizeof(Table) - 1, std::size_t{4097}, std::numeric_limits<std::size_t>::max()}) {
    Table wrong = table;
    wrong.struct_size = size;
    CHECK(open(&wrong) == EMBEDJOBS_INVALID_ARGUMENT);
  }
}

}  // namespace

TEST_CASE("NULL is refused everywhere") {
  embedjobs_engine* none = nullptr;
  Error error;
  const auto refused = [&](std::int32_t code) {
    CHECK(code == EMBEDJOBS_INVALID_ARGUMENT);
    CHECK(error.message().find("NULL") != std::string::npos);
  };
  refused(embedjobs_engine_start(none, error.out()));
  refused(embedjobs_engine_stop(none, 0, error.out()));
  refused(embedjobs_engine_request_stop(none, error.out()));
  refused(embedjobs_engine_wait_idle(none, 0, 0, nullptr, nullptr, error.out()));
  refused(embedjobs_engine_worker_run(none, 0, 0, 0, nullptr, nullptr, error.out()));
  refused(embedjobs_engine_put(none, "c", "s", "", 0, nullptr, error.out()));
  refused(embedjobs_engine_put_items(none, "c", "s", "", 0, nullptr, error.out()));
  refused(embedjobs_engine_remove(none, "c", "s", error.out()));
  refused(embedjobs_engine_remove_catalog(none, "c", error.out()));
  refused(embedjobs_engine_enqueue(none, "c", "s", 0, nullptr, error.out()));
  refused(embedjobs_engine_retry(none, "c", "s", nullptr, error.out()));
  refused(embedjobs_engine_retry_failed(none, nullptr, error.out()));
  refused(embedjobs_engine_reconcile(none, nullptr, error.out()));
  refused(embedjobs_engine_switch_space(none, "c", "4/x", nullptr, error.out()));
  refused(embedjobs_engine_statuses(none, nullptr, nullptr, error.out()));
  refused(embedjobs_engine_health(none, nullptr, nullptr, error.out()));
  refused(embedjobs_engine_jobs(none, nullptr, nullptr, error.out()));
  refused(embedjobs_engine_search(none, "c", "q", 1, 1, nullptr, error.out()));
  refused(embedjobs_engine_rows(none, "c", "s", 0, nullptr, error.out()));
  refused(embedjobs_engine_catalogs(none, nullptr, error.out()));
  refused(embedjobs_engine_metrics(none, nullptr, error.out()));
  refused(embedjobs_engine_verify(none, "c", nullptr, nullptr, error.out()));
  refused(embedjobs_engine_providers(none, nullptr, error.out()));
  refused(embedjobs_engine_workers(none, nullptr, error.out()));
  CHECK(embedjobs_engine_start(none, nullptr) == EMBEDJOBS_INVALID_ARGUMENT);  // nobody asks why
  CHECK(embedjobs_engine_open(nullptr, nullptr, nullptr) == EMBEDJOBS_INVALID_ARGUMENT);
}

TEST_CASE("NULL is destroyed everywhere, and what is asked of it is nothing") {
  embedjobs_engine_destroy(nullptr);
  embedjobs_error_destroy(nullptr);
  embedjobs_cancel_request(nullptr);
  embedjobs_cancel_destroy(nullptr);
  embedjobs_statuses_destroy(nullptr);
  embedjobs_health_destroy(nullptr);
  embedjobs_jobs_destroy(nullptr);
  embedjobs_hits_destroy(nullptr);
  embedjobs_stored_rows_destroy(nullptr);
  embedjobs_catalogs_destroy(nullptr);
  embedjobs_metrics_destroy(nullptr);
  embedjobs_verifications_destroy(nullptr);
  embedjobs_providers_destroy(nullptr);
  embedjobs_workers_destroy(nullptr);

  CHECK(embedjobs_error_code(nullptr) == EMBEDJOBS_OK);
  CHECK(std::string(embedjobs_error_message(nullptr)).empty());
  CHECK(embedjobs_error_retry_after_ms(nullptr) == 0);
  embedjobs_call_set_error(nullptr, "x", 1);
  embedjobs_call_set_retry_after_ms(nullptr, 1);
  CHECK(embedjobs_call_is_cancelled(nullptr) == 0);
  CHECK(embedjobs_call_remaining_ms(nullptr) == -1);
  embedjobs_hash_text(nullptr, 0, nullptr);
  embedjobs_hash_text("x", 1, nullptr);
  CHECK(embedjobs_document_set(nullptr, "", 0, "v") == EMBEDJOBS_INVALID_ARGUMENT);
  CHECK(embedjobs_document_list_add(nullptr, "c", "s", "v") == EMBEDJOBS_INVALID_ARGUMENT);
  CHECK(embedjobs_spec_states_set(nullptr, 0, "", "", "") == EMBEDJOBS_INVALID_ARGUMENT);
  CHECK(embedjobs_secret_set(nullptr, "", 0) == EMBEDJOBS_INVALID_ARGUMENT);
}

TEST_CASE("NULL, no names, no UTF-8 and huge lengths are refused at an open engine") {
  OpenScene scene;
  scene.open();
  embedjobs_engine* engine = scene.engine;
  const auto refused = [&](std::int32_t code) {
    INFO(scene.error.message());
    CHECK(code == EMBEDJOBS_INVALID_ARGUMENT);
  };
  refused(embedjobs_engine_put(engine, nullptr, "s", "", 0, nullptr, scene.error.out()));
  refused(embedjobs_engine_put(engine, "c", nullptr, "", 0, nullptr, scene.error.out()));
  refused(embedjobs_engine_put(engine, "c", "s", nullptr, 5, nullptr, scene.error.out()));
  refused(embedjobs_engine_put(engine, "", "s", "", 0, nullptr, scene.error.out()));
  refused(embedjobs_engine_put(engine, "c", "\xff", "{}", 2, nullptr, scene.error.out()));
  refused(embedjobs_engine_put(engine, "c", std::string(513, 'x').c_str(), "{}", 2, nullptr, scene.error.out()));
  refused(embedjobs_engine_put(engine, "c", "s", "x", SIZE_MAX, nullptr, scene.error.out()));
  refused(embedjobs_engine_put_items(engine, "c", "s", nullptr, 5, nullptr, scene.error.out()));
  refused(embedjobs_engine_enqueue(engine, "c", "s", 99, nullptr, scene.error.out()));
  refused(embedjobs_engine_search(engine, "c", nullptr, 3, 1, nullptr, scene.error.out()));
  embedjobs_hits* hits = nullptr;
  refused(embedjobs_engine_search(engine, "c", "\xff", 1, 1, &hits, scene.error.out()));
  refused(embedjobs_engine_search(engine, nullptr, "q", 1, 1, &hits, scene.error.out()));
  refused(embedjobs_engine_statuses(engine, nullptr, nullptr, scene.error.out()));
  refused(embedjobs_engine_switch_space(engine, "c", nullptr, nullptr, scene.error.out()));
  embedjobs_verifications* verified = nullptr;
  refused(embedjobs_engine_verify(engine, nullptr, "s", &verified, scene.error.out()));
  refused(embedjobs_engine_verify(engine, "c", "", &verified, scene.error.out()));
  refused(embedjobs_engine_worker_run(engine, 7, 0, 0, nullptr, nullptr, scene.error.out()));
  auto enqueued = sized<embedjobs_enqueued>();
  enqueued.struct_size = 8;
  refused(embedjobs_engine_enqueue(engine, "c", "s", 0, &enqueued, scene.error.out()));
  auto report = sized<embedjobs_idle_report>();
  report.struct_size = 0;
  refused(embedjobs_engine_wait_idle(engine, 0, 0, nullptr, &report, scene.error.out()));
  auto filter = sized<embedjobs_job_filter>();
  filter.struct_size = 1;
  embedjobs_jobs* jobs = nullptr;
  refused(embedjobs_engine_jobs(engine, &filter, &jobs, scene.error.out()));
  embedjobs_statuses* statuses = nullptr;
  scene.ok(embedjobs_engine_statuses(engine, nullptr, &statuses, scene.error.out()));
  CHECK(statuses->count == 0);  // none of this left anything
  embedjobs_statuses_destroy(statuses);
}

TEST_CASE("a wrong struct_size is refused, and nothing in that struct is touched") {
  HostEmbedder embedder;
  HostPersister persister;
  HostResolver resolver;
  HostObserver observer;
  auto options = sized<embedjobs_options>();
  options.dsn = "memory:";
  embedjobs_engine* engine = nullptr;
  check_refused_sizes<embedjobs_options>(
      options, [&](const auto* wrong) { return embedjobs_engine_open(wrong, &engine, nullptr); });
  check_refused_sizes<embedjobs_embedder>(embedder.table(), [&](const auto* wrong) {
    options.host_embedder = wrong;
    return embedjobs_engine_open(&options, &engine, nullptr);
  });
  CHECK(embedder.destroyed == 0);
  const embedjobs_embedder table = embedder.table();
  options.host_embedder = &table;
  check_refused_sizes<embedjobs_persister>(persister.table(), [&](const auto* wrong) {
    options.host_persister = wrong;
    return embedjobs_engine_open(&options, &engine, nullptr);
  });
  CHECK(persister.destroyed == 0);
  CHECK(embedder.destroyed == 4);  // the table beside it was read, and is destroyed once for each open that failed
  CHECK(engine == nullptr);
}

TEST_CASE("a newer host's struct is read, as long as it uses nothing new") {
  struct Newer {
    embedjobs_options known;
    std::uint64_t later;
  } newer{};
  newer.known = sized<embedjobs_options>();
  newer.known.struct_size = sizeof(newer);
  newer.known.dsn = "memory:";
  embedjobs_engine* engine = nullptr;
  CHECK(embedjobs_engine_open(&newer.known, &engine, nullptr) == EMBEDJOBS_OK);
  embedjobs_engine_destroy(std::exchange(engine, nullptr));
  newer.later = 1;
  Error error;
  CHECK(embedjobs_engine_open(&newer.known, &engine, error.out()) == EMBEDJOBS_INVALID_ARGUMENT);
  CHECK(error.message().find("does not know") != std::string::npos);
}

TEST_CASE("destroy callbacks run too when a newer host used what this library does not know") {
  struct NewerOptions {
    embedjobs_options known;
    std::uint64_t later;
  } options{};
  struct NewerEmbedder {
    embedjobs_embedder known;
    std::uint64_t later;
  } table{};
  HostEmbedder embedder;
  HostObserver observer;
  const auto watching = observer.table();
  table.known = embedder.table();
  table.known.struct_size = sizeof(table);
  options.known.struct_size = sizeof(options);
  options.known.dsn = "memory:";
  options.known.host_embedder = &table.known;
  options.known.observer = &watching;
  embedjobs_engine* engine = nullptr;
  Error error;
  const auto refused = [&](const char* which) {
    CHECK(embedjobs_engine_open(&options.known, &engine, error.out()) == EMBEDJOBS_INVALID_ARGUMENT);
    CHECK(error.message().find(which) == 0);
    CHECK(error.message().find("does not know") != std::string::npos);
  };
  options.later = 1;
  refused("embedjobs_options");
  CHECK(embedder.destroyed == 1);
  options.later = 0;
  table.later = 1;
  refused("embedjobs_embedder");
  CHECK(embedder.destroyed == 2);
  CHECK(observer.destroyed == 2);
}

TEST_CASE("destroy callbacks run exactly once, also when opening fails") {
  HostEmbedder embedder;
  HostObserver observer;
  HostResolver resolver;
  const auto embedder_table = embedder.table();
  const auto observer_table = observer.table();
  const auto resolver_table = resolver.table();
  auto options = sized<embedjobs_options>();
  options.host_embedder = &embedder_table;
  options.observer = &observer_table;
  embedjobs_engine* engine = nullptr;
  options.dsn = "nonsense";
  CHECK(embedjobs_engine_open(&options, &engine, nullptr) == EMBEDJOBS_INVALID_ARGUMENT);
  CHECK(embedder.destroyed == 1);
  CHECK(observer.destroyed == 1);
  options.dsn = "memory:";
  options.host_resolver = &resolver_table;  // needs a persister
  CHECK(embedjobs_engine_open(&options, &engine, nullptr) == EMBEDJOBS_INVALID_ARGUMENT);
  CHECK(resolver.destroyed == 1);
  CHECK(embedder.destroyed == 2);
  options.host_resolver = nullptr;
  options.embedder = "hashing";  // and a host's
  CHECK(embedjobs_engine_open(&options, &engine, nullptr) == EMBEDJOBS_INVALID_ARGUMENT);
  CHECK(embedder.destroyed == 3);
  options.embedder = nullptr;
  CHECK(embedjobs_engine_open(&options, nullptr, nullptr) == EMBEDJOBS_INVALID_ARGUMENT);
  CHECK(embedder.destroyed == 4);
  REQUIRE(embedjobs_engine_open(&options, &engine, nullptr) == EMBEDJOBS_OK);
  CHECK(embedder.destroyed == 4);
  embedjobs_engine_destroy(engine);
  CHECK(embedder.destroyed == 5);
  CHECK(observer.destroyed == 5);
}

TEST_CASE("tables without what they need are refused") {
  HostEmbedder embedder;
  HostPersister persister;
  auto options = sized<embedjobs_options>();
  options.dsn = "memory:";
  embedjobs_engine* engine = nullptr;
  const auto refused = [&] { CHECK(embedjobs_engine_open(&options, &engine, nullptr) == EMBEDJOBS_INVALID_ARGUMENT); };
  auto table = embedder.table();
  options.host_embedder = &table;
  table.embed = nullptr;
  refused();
  table = embedder.table();
  table.model = nullptr;
  refused();
  table = embedder.table();
  table.dimension = 65'537;
  refused();
  options.host_embedder = nullptr;
  auto storing = persister.table();
  storing.finalize = nullptr;
  options.host_persister = &storing;
  refused();
  options.host_persister = nullptr;
  auto computing = sized<embedjobs_computer>();
  options.host_computer = &computing;
  refused();
  options.host_computer = nullptr;
  auto secret = sized<embedjobs_secret_source>();
  options.secret_source = &secret;
  refused();
  secret.get = [](void*, embedjobs_call*, embedjobs_secret* answer, std::size_t* done) {
    *done = 1;
    return embedjobs_secret_set(answer, "key", 3);
  };
  options.embedder = "hashing";
  refused();
}

TEST_CASE("names in options are bounded UTF-8 of one line") {
  const std::string bad = GENERATE(std::string("\xff"), std::string("a\nb"), std::string(513, 'x'));
  HostEmbedder embedder;
  auto table = embedder.table();
  auto options = sized<embedjobs_options>();
  options.dsn = "memory:";
  options.host_embedder = &table;
  embedjobs_engine* engine = nullptr;
  for (const char** name : {&options.worker_id, &table.provider, &table.model, &table.variant}) {
    const char* const good = std::exchange(*name, bad.c_str());
    CHECK(embedjobs_engine_open(&options, &engine, nullptr) == EMBEDJOBS_INVALID_ARGUMENT);
    *name = good;
  }
  REQUIRE(embedjobs_engine_open(&options, &engine, nullptr) == EMBEDJOBS_OK);
  embedjobs_engine_destroy(engine);
}

TEST_CASE("an error's words are UTF-8, whatever they repeat") {
  auto options = sized<embedjobs_options>();
  const std::string dsn = "sqlite:/\xff/" + std::string(2000, 'x');
  options.dsn = dsn.c_str();
  embedjobs_engine* engine = nullptr;
  Error error;
  CHECK(embedjobs_engine_open(&options, &engine, error.out()) == EMBEDJOBS_UNUSABLE);
  CHECK(error.message().find("/?/xxx") != std::string::npos);
  CHECK(error.message().size() <= 1000);
}

TEST_CASE("numbers of any size mean what can be meant") {
  OpenScene scene;
  for (std::size_t* number : {&scene.table.concurrent_calls, &scene.table.batch_texts, &scene.table.batch_bytes,
                              &scene.table.batch_tokens, &scene.table.input_bytes}) {
    *number = SIZE_MAX;
  }
  for (std::int64_t* number :
       {&scene.options.slots, &scene.options.batch_size, &scene.options.batch_bytes, &scene.options.lease_duration_ms,
        &scene.options.requests_per_minute, &scene.options.tokens_per_minute, &scene.options.daily_token_budget,
        &scene.options.safety_bound_ms, &scene.options.provider_concurrency}) {
    *number = INT64_MAX;
  }
  scene.embedder.first = [](embedjobs_call* call, const embedjobs_texts* texts, embedjobs_vectors* out,
                            std::size_t* done) -> std::int32_t {
    CHECK(embedjobs_call_remaining_ms(call) >= -1);
    std::fill(out->values, out->values + texts->count * out->dimension, 1.0F);
    out->prompt_tokens = INT64_MAX;
    *done = texts->count;
    return EMBEDJOBS_OK;
  };
  scene.open();
  scene.put(spec_with(3, "users"));
  scene.start();
  scene.ok(embedjobs_engine_wait_idle(scene.engine, INT64_MAX, INT64_MAX, nullptr, nullptr, scene.error.out()));
  CHECK(scene.job().status == EMBEDJOBS_JOB_SUCCEEDED);
  embedjobs_hits* hits = nullptr;
  scene.ok(embedjobs_engine_search(scene.engine, "catalog", "users", 5, SIZE_MAX, &hits, scene.error.out()));
  CHECK(hits->count == 3);
  embedjobs_hits_destroy(hits);
  auto filter = sized<embedjobs_job_filter>();
  filter.limit = SIZE_MAX;
  embedjobs_jobs* jobs = nullptr;
  scene.ok(embedjobs_engine_jobs(scene.engine, &filter, &jobs, scene.error.out()));
  CHECK(jobs->count == 1);
  embedjobs_jobs_destroy(jobs);
}

TEST_CASE("an embedder that throws is tried again") {
  OpenScene scene;
  CHECK(scene.error_of_first_call([](auto...) -> std::int32_t { throw std::runtime_error("no GPU"); })
            .find("the host's embedder threw: no GPU") != std::string::npos);
}

TEST_CASE("an embedder that answers ok without a count is tried again") {
  OpenScene scene;
  CHECK(scene.error_of_first_call([](auto...) -> std::int32_t { return EMBEDJOBS_OK; }).find("did not set *done") !=
        std::string::npos);
}

TEST_CASE("too few and too many vectors are no success") {
  const std::size_t count = GENERATE(std::size_t{2}, std::size_t{4}, std::size_t{0}, SIZE_MAX - 1);
  OpenScene scene;
  const std::string said =
      scene.error_of_first_call([&](embedjobs_call*, const embedjobs_texts*, embedjobs_vectors*, std::size_t* done) {
        *done = count;
        return EMBEDJOBS_OK;
      });
  CHECK(said.find("*done is " + std::to_string(count) + " and not 3") != std::string::npos);
}

TEST_CASE("an unknown code is a failed callback") {
  const std::int32_t code = GENERATE(-2, 18, 0x7fffffff);
  OpenScene scene;
  const std::string said = scene.error_of_first_call(
      [&](embedjobs_call*, const embedjobs_texts* texts, embedjobs_vectors*, std::size_t* done) {
        *done = texts->count;
        return code;
      });
  CHECK(said.find("answered " + std::to_string(code) + ", which is no code") != std::string::npos);
}

TEST_CASE("an error's message of any length and bytes becomes one clean line") {
  OpenScene scene;
  const std::string said = scene.error_of_first_call([](embedjobs_call* call, auto...) -> std::int32_t {
    const std::string long_one = std::string(100'000, 'x') + "\n";
    embedjobs_call_set_error(call, long_one.data(), long_one.size());
    embedjobs_call_set_error(call, "bad\x80\tline", 9);
    embedjobs_call_set_error(call, nullptr, 5);
    return EMBEDJOBS_RETRY;
  });
  CHECK(said.find("bad? line") != std::string::npos);
}

TEST_CASE("vectors that are not finite or all zero are never stored") {
  OpenScene scene;
  const float bad = GENERATE(0.0F, std::numeric_limits<float>::infinity(), std::nanf(""));
  scene.embedder.first = [&](embedjobs_call*, const embedjobs_texts* texts, embedjobs_vectors* out, std::size_t* done) {
    std::fill(out->values, out->values + texts->count * out->dimension, bad);
    *done = texts->count;
    return EMBEDJOBS_OK;
  };
  scene.open();
  scene.put(spec_with(2, "users"));
  scene.start();
  scene.ok(embedjobs_engine_wait_idle(scene.engine, 0, -1, nullptr, nullptr, scene.error.out()));
  embedjobs_stored_rows* rows = nullptr;
  scene.ok(embedjobs_engine_rows(scene.engine, "catalog", "spec", 0, &rows, scene.error.out()));
  CHECK(rows->count == 0);
  embedjobs_stored_rows_destroy(rows);
}
