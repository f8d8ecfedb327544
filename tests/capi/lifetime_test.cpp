// Who may call when: inside callbacks, after a stop, in forked children, while something hangs.
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

#include "capi/scene.hpp"
#include "support/temp_folder.hpp"

using namespace capi_test;

TEST_CASE("calls from inside a callback: what would wait for it is refused, the rest works") {
  EmbedderScene scene;
  std::atomic<bool> tried = false;
  scene.embedder.first = [&](embedjobs_call*, const embedjobs_texts*, embedjobs_vectors*, std::size_t*) {
    if (tried.exchange(true)) {
      return -1;
    }
    embedjobs_engine* engine = scene.engine;
    Error error;
    const auto refused = [&](std::int32_t code) {
      CHECK(code == EMBEDJOBS_REFUSED);
      CHECK(error.message().find("recursive call") == 0);
    };
    embedjobs_hits* hits = nullptr;
    embedjobs_statuses* statuses = nullptr;
    embedjobs_health* health = nullptr;
    embedjobs_catalogs* catalogs = nullptr;
    embedjobs_stored_rows* rows = nullptr;
    refused(embedjobs_engine_start(engine, error.out()));
    refused(embedjobs_engine_stop(engine, -1, error.out()));
    refused(embedjobs_engine_wait_idle(engine, 0, -1, nullptr, nullptr, error.out()));
    refused(embedjobs_engine_worker_run(engine, 0, 0, -1, nullptr, nullptr, error.out()));
    refused(embedjobs_engine_search(engine, "catalog", "q", 1, 1, &hits, error.out()));
    refused(embedjobs_engine_statuses(engine, nullptr, &statuses, error.out()));
    refused(embedjobs_engine_health(engine, nullptr, &health, error.out()));
    refused(embedjobs_engine_catalogs(engine, &catalogs, error.out()));
    refused(embedjobs_engine_rows(engine, "catalog", "spec", 0, &rows, error.out()));
    embedjobs_verifications* verified = nullptr;
    embedjobs_providers* providers = nullptr;
    embedjobs_workers* workers = nullptr;
    refused(embedjobs_engine_verify(engine, "catalog", nullptr, &verified, error.out()));
    refused(embedjobs_engine_providers(engine, &providers, error.out()));
    refused(embedjobs_engine_workers(engine, &workers, error.out()));
    refused(embedjobs_engine_reconcile(engine, nullptr, error.out()));
    refused(embedjobs_engine_retry_failed(engine, nullptr, error.out()));
    refused(embedjobs_engine_remove_catalog(engine, "catalog", error.out()));
    refused(embedjobs_engine_switch_space(engine, "catalog", "4/x", nullptr, error.out()));
    const std::string other = spec_with(2, "other");
    CHECK(embedjobs_engine_put(engine, "catalog", "other", other.data(), other.size(), nullptr, error.out()) ==
          EMBEDJOBS_OK);
    CHECK(embedjobs_engine_enqueue(engine, "catalog", "other", 0, nullptr, error.out()) == EMBEDJOBS_OK);
    CHECK(embedjobs_engine_retry(engine, "catalog", "other", nullptr, error.out()) == EMBEDJOBS_OK);
    CHECK(embedjobs_engine_put(engine, "catalog", "third", other.data(), other.size(), nullptr, error.out()) ==
          EMBEDJOBS_OK);
    CHECK(embedjobs_engine_remove(engine, "catalog", "third", error.out()) == EMBEDJOBS_OK);
    embedjobs_metrics* metrics = nullptr;
    CHECK(embedjobs_engine_metrics(engine, &metrics, error.out()) == EMBEDJOBS_OK);
    embedjobs_metrics_destroy(metrics);
    return -1;
  };
  scene.open();
  scene.put(spec_with(3, "users"));
  scene.start();
  scene.wait();
  CHECK(tried);
  CHECK(scene.embedder.texts == 5);
}

TEST_CASE("an engine may be destroyed from inside its own callback") {
  HostEmbedder embedder;
  Gate destroyed;
  struct Destroying {
    HostEmbedder& embedder;
    Gate& destroyed;
  } destroying{embedder, destroyed};
  auto table = embedder.table();
  table.user_data = &destroying;
  table.destroy = [](void* self) { static_cast<Destroying*>(self)->destroyed.open(); };
  table.embed = [](void* self, embedjobs_call* call, const embedjobs_texts* texts, embedjobs_vectors* out,
                   std::size_t* done) {
    return HostEmbedder::embed(&static_cast<Destroying*>(self)->embedder, call, texts, out, done);
  };
  std::atomic<embedjobs_engine*> engine = nullptr;
  embedder.first = [&](embedjobs_call* call, const embedjobs_texts*, embedjobs_vectors*, std::size_t*) {
    embedjobs_engine_destroy(engine.exchange(nullptr));
    CHECK(embedjobs_call_is_cancelled(call) == 1);
    return -1;
  };
  Scene scene;
  scene.options.host_embedder = &table;
  scene.open();
  engine = std::exchange(scene.engine, nullptr);
  const std::string spec = spec_with(3, "users");
  REQUIRE(embedjobs_engine_put(engine, "catalog", "spec", spec.data(), spec.size(), nullptr, nullptr) == EMBEDJOBS_OK);
  REQUIRE(embedjobs_engine_start(engine, nullptr) == EMBEDJOBS_OK);
  destroyed.wait();
}

TEST_CASE("an engine may be destroyed by its observer, whichever of its callbacks runs") {
  const std::string where = GENERATE("event", "log", "reload");
  struct Host {
    const std::string& where;
    Gate destroyed;
    std::atomic<embedjobs_engine*> engine = nullptr;
    void reached(const std::string& here) {
      if (here == where) {
        embedjobs_engine_destroy(engine.exchange(nullptr));
      }
    }
  } host{where, {}};
  auto watching = sized<embedjobs_observer>();
  watching.user_data = &host;
  watching.destroy = [](void* self) { static_cast<Host*>(self)->destroyed.open(); };
  watching.event = [](void* self, const embedjobs_event*) { static_cast<Host*>(self)->reached("event"); };
  watching.log = [](void* self, std::int32_t, const char*, std::size_t) { static_cast<Host*>(self)->reached("log"); };
  watching.reload = [](void* self, const char*, const char*) { static_cast<Host*>(self)->reached("reload"); };
  HostEmbedder embedder;
  if (where == "log") {  // of a failure
    embedder.first = [](auto...) -> std::int32_t { return EMBEDJOBS_RETRY; };
  }
  const auto table = embedder.table();
  auto options = sized<embedjobs_options>();
  options.dsn = "memory:";
  options.host_embedder = &table;
  options.observer = &watching;
  embedjobs_engine* engine = nullptr;
  REQUIRE(embedjobs_engine_open(&options, &engine, nullptr) == EMBEDJOBS_OK);
  const std::string spec = spec_with(2, "users");
  REQUIRE(embedjobs_engine_put(engine, "catalog", "spec", spec.data(), spec.size(), nullptr, nullptr) == EMBEDJOBS_OK);
  host.engine = engine;
  (void)embedjobs_engine_start(engine, nullptr);
  host.destroyed.wait();
  while (embedder.destroyed == 0) {  // each table by itself
    std::this_thread::yield();
  }
}

TEST_CASE("an embedder that asks whether it is cancelled still answers searches after a stop") {
  EmbedderScene scene;
  scene.embedder.first = [](embedjobs_call* call, auto...) -> std::int32_t {
    return embedjobs_call_is_cancelled(call) != 0 ? EMBEDJOBS_CANCELLED : -1;
  };
  scene.open();
  scene.put(spec_with(3, "users"));
  scene.start();
  scene.wait();
  scene.ok(embedjobs_engine_stop(scene.engine, -1, scene.error.out()));
  embedjobs_hits* hits = nullptr;
  scene.ok(embedjobs_engine_search(scene.engine, "catalog", "users", 5, 3, &hits, scene.error.out()));
  CHECK(hits->count == 3);
  embedjobs_hits_destroy(hits);
}

TEST_CASE("two engines share a database, and one takes the work of the other") {
  const embedjobs::test::TempFolder folder;
  const std::string dsn = "sqlite:" + (folder.path() / "shared.db").string();
  EmbedderScene one;
  EmbedderScene other;
  one.options.dsn = dsn.c_str();
  other.options.dsn = dsn.c_str();
  one.open();
  other.open();
  one.put(spec_with(40, "users"));
  other.put(spec_with(40, "orders"), "other");
  other.start();
  one.wait();  // sees what the other one does
  CHECK(other.embedder.texts == 80);
  one.start();
  one.close();
  other.put(spec_with(41, "users"));
  other.wait();
  CHECK(one.embedder.texts + other.embedder.texts == 81);
}

TEST_CASE("after stop the engine reads and enqueues, and does not start again") {
  EmbedderScene scene;
  scene.open();
  scene.put(spec_with(3, "users"));
  scene.start();
  scene.wait();
  scene.ok(embedjobs_engine_stop(scene.engine, -1, scene.error.out()));
  scene.ok(embedjobs_engine_stop(scene.engine, 0, scene.error.out()));  // idempotent
  CHECK(embedjobs_engine_start(scene.engine, scene.error.out()) == EMBEDJOBS_REFUSED);
  CHECK(embedjobs_engine_worker_run(scene.engine, 0, 0, -1, nullptr, nullptr, scene.error.out()) == EMBEDJOBS_REFUSED);
  scene.enqueue();
  CHECK(scene.job().status == EMBEDJOBS_JOB_PENDING);
}

TEST_CASE("an embedder that hangs past the deadline: not stopped, and destroy waits for it") {
  EmbedderScene scene;
  Gate entered;
  std::atomic<bool> told = false;
  std::atomic<bool> leave = false;
  scene.embedder.first = [&](embedjobs_call* call, const embedjobs_texts*, embedjobs_vectors*,
                             std::size_t*) -> std::int32_t {
    entered.open();
    while (!leave) {
      told = told || embedjobs_call_is_cancelled(call) != 0;
      std::this_thread::yield();
    }
    return EMBEDJOBS_CANCELLED;
  };
  scene.open();
  scene.put(spec_with(3, "users"));
  scene.start();
  entered.wait();
  CHECK(embedjobs_engine_stop(scene.engine, 20, scene.error.out()) == EMBEDJOBS_TIMEOUT);
  while (!told) {
    std::this_thread::yield();
  }
  leave = true;
  scene.close();
  CHECK(scene.embedder.destroyed == 1);
}

TEST_CASE("a forked child is refused, and its destroy does nothing") {
  EmbedderScene scene;
  scene.open();
  scene.start();
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    embedjobs_engine* engine = scene.engine;
    embedjobs_statuses* statuses = nullptr;
    embedjobs_health* health = nullptr;
    embedjobs_jobs* jobs = nullptr;
    embedjobs_hits* hits = nullptr;
    embedjobs_stored_rows* rows = nullptr;
    embedjobs_catalogs* catalogs = nullptr;
    embedjobs_metrics* metrics = nullptr;
    embedjobs_verifications* verified = nullptr;
    embedjobs_providers* providers = nullptr;
    embedjobs_workers* workers = nullptr;
    const std::int32_t codes[] = {
        embedjobs_engine_start(engine, nullptr),
        embedjobs_engine_stop(engine, -1, nullptr),
        embedjobs_engine_request_stop(engine, nullptr),
        embedjobs_engine_wait_idle(engine, 0, -1, nullptr, nullptr, nullptr),
        embedjobs_engine_worker_run(engine, 0, 0, -1, nullptr, nullptr, nullptr),
        embedjobs_engine_put(engine, "c", "s", "{}", 2, nullptr, nullptr),
        embedjobs_engine_put_items(engine, "c", "s", "{}", 2, nullptr, nullptr),
        embedjobs_engine_remove(engine, "c", "s", nullptr),
        embedjobs_engine_remove_catalog(engine, "c", nullptr),
        embedjobs_engine_enqueue(engine, "c", "s", 0, nullptr, nullptr),
        embedjobs_engine_retry(engine, "c", "s", nullptr, nullptr),
        embedjobs_engine_retry_failed(engine, nullptr, nullptr),
        embedjobs_engine_reconcile(engine, nullptr, nullptr),
        embedjobs_engine_switch_space(engine, "c", "4/x", nullptr, nullptr),
        embedjobs_engine_statuses(engine, nullptr, &statuses, nullptr),
        embedjobs_engine_health(engine, nullptr, &health, nullptr),
        embedjobs_engine_jobs(engine, nullptr, &jobs, nullptr),
        embedjobs_engine_search(engine, "c", "q", 1, 1, &hits, nullptr),
        embedjobs_engine_rows(engine, "c", "s", 0, &rows, nullptr),
        embedjobs_engine_catalogs(engine, &catalogs, nullptr),
        embedjobs_engine_metrics(engine, &metrics, nullptr),
        embedjobs_engine_verify(engine, "c", nullptr, &verified, nullptr),
        embedjobs_engine_providers(engine, &providers, nullptr),
        embedjobs_engine_workers(engine, &workers, nullptr),
    };
    const bool good =
        std::all_of(std::begin(codes), std::end(codes), [](std::int32_t code) { return code == EMBEDJOBS_REFUSED; });
    embedjobs_engine_destroy(scene.engine);
    _exit(good && scene.embedder.destroyed == 0 ? 0 : 1);
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
  scene.put(spec_with(2, "users"));
  scene.wait();
}

TEST_CASE("a thread that is ended inside a callback is no success, and another one goes on") {
  const bool on_own_thread = GENERATE(false, true);
  EmbedderScene scene;
  std::atomic<int> calls = 0;
  scene.embedder.first = [&](embedjobs_call*, const embedjobs_texts*, embedjobs_vectors*,
                             std::size_t*) -> std::int32_t {
    if (calls++ == 0) {
      pthread_exit(nullptr);
    }
    return -1;
  };
  scene.open();
  scene.put(spec_with(3, "users"));
  const auto run = [&](std::int32_t until) {
    return std::thread(
        [&, until] { (void)embedjobs_engine_worker_run(scene.engine, until, 0, -1, nullptr, nullptr, nullptr); });
  };
  if (on_own_thread) {
    run(EMBEDJOBS_RUN_UNTIL_STOPPED).join();  // ended by the callback
    scene.observer.wait_for(EMBEDJOBS_EVENT_JOB_CLAIMED);
    std::thread second = run(EMBEDJOBS_RUN_UNTIL_STOPPED);
    scene.observer.wait_for(EMBEDJOBS_EVENT_JOB_RETRIED);
    scene.enqueue();
    scene.observer.wait_for(EMBEDJOBS_EVENT_JOB_SUCCEEDED);
    scene.ok(embedjobs_engine_request_stop(scene.engine, scene.error.out()));
    second.join();
  } else {
    scene.start();
    scene.observer.wait_for(EMBEDJOBS_EVENT_JOB_RETRIED);
    CHECK(scene.job().last_error.find("the thread was ended inside the call") != std::string::npos);
    scene.enqueue();
    scene.wait();
  }
  CHECK(scene.job().status == EMBEDJOBS_JOB_SUCCEEDED);
}

TEST_CASE("only one thread may run the worker") {
  EmbedderScene scene;
  Gate entered;
  Gate leave;
  scene.embedder.first = [&](embedjobs_call*, const embedjobs_texts*, embedjobs_vectors*, std::size_t*) {
    entered.open();
    leave.wait();
    return -1;
  };
  scene.open();
  scene.put(spec_with(2, "users"));
  std::thread runner([&] {
    CHECK(embedjobs_engine_worker_run(scene.engine, EMBEDJOBS_RUN_UNTIL_IDLE, 0, -1, nullptr, nullptr, nullptr) ==
          EMBEDJOBS_OK);
  });
  entered.wait();
  CHECK(embedjobs_engine_worker_run(scene.engine, EMBEDJOBS_RUN_UNTIL_IDLE, 0, -1, nullptr, nullptr,
                                    scene.error.out()) == EMBEDJOBS_REFUSED);
  leave.open();
  runner.join();
  CHECK(scene.embedder.texts == 2);
}
