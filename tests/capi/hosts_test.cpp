// A host's persister and resolver, alone and together, and what happens when they fail.
#include <algorithm>
#include <stdexcept>

#include "capi/scene.hpp"

using namespace capi_test;

TEST_CASE("vectors go to the host, jobs and documents stay") {
  HostScene scene;
  scene.open();
  scene.put(spec_with(40, "users"));
  scene.start();
  scene.wait();
  CHECK(scene.persister.rows_of("spec") == 40);
  embedjobs_hits* hits = nullptr;
  CHECK(embedjobs_engine_search(scene.engine, "catalog", "users", 5, 3, &hits, scene.error.out()) == EMBEDJOBS_REFUSED);
  // An edit: what is unchanged is reused, what is gone disappears.
  scene.put(spec_with(30, "users"));
  scene.wait();
  CHECK(scene.persister.rows_of("spec") == 30);
  CHECK(scene.embedder.texts == 40);
  CHECK(scene.job().reused == 30);
}

TEST_CASE("documents and vectors are the host's, on its thread too") {
  const bool on_own_thread = GENERATE(false, true);
  HostScene scene;
  scene.with_resolver();
  std::atomic<bool> elsewhere = false;
  const auto me = std::this_thread::get_id();
  scene.persister.first_persist = [&](embedjobs_call*) {
    elsewhere = elsewhere || std::this_thread::get_id() != me;
    return -1;
  };
  scene.open();
  scene.resolver.documents["spec"] = spec_with(25, "users");
  scene.enqueue();
  if (on_own_thread) {
    scene.ok(embedjobs_engine_worker_run(scene.engine, EMBEDJOBS_RUN_UNTIL_IDLE, 0, -1, nullptr, nullptr,
                                         scene.error.out()));
    CHECK_FALSE(elsewhere);
  } else {
    scene.start();
    scene.observer.wait_for_first_round();  // it would find the next gap, too
    scene.wait();
  }
  CHECK(scene.persister.rows_of("spec") == 25);
  std::size_t gaps = 99;
  scene.ok(embedjobs_engine_reconcile(scene.engine, &gaps, scene.error.out()));
  CHECK(gaps == 0);
  scene.resolver.documents["spec"] = spec_with(26, "users");
  scene.ok(embedjobs_engine_reconcile(scene.engine, &gaps, scene.error.out()));
  CHECK(gaps == 1);
  CHECK(embedjobs_engine_put(scene.engine, "catalog", "spec", "{}", 2, nullptr, scene.error.out()) ==
        EMBEDJOBS_REFUSED);
}

TEST_CASE("a count that nobody tells is -1, and a persister that describes is believed") {
  HostScene scene;
  scene.with_resolver();
  const bool describes = GENERATE(true, false);
  if (!describes) {
    scene.persister_table.describe = nullptr;
  }
  scene.open();
  scene.resolver.documents["spec"] = spec_with(25, "users");
  embedjobs_statuses* statuses = nullptr;
  scene.ok(embedjobs_engine_statuses(scene.engine, nullptr, &statuses, scene.error.out()));
  REQUIRE(statuses->count == 1);
  const embedjobs_spec_status& status = *statuses->items[0];
  CHECK(status.operation_count == -1);
  CHECK(status.embedding_count == -1);
  CHECK(status.embedded_so_far == 0);              // no pass runs
  CHECK(status.job_status == EMBEDJOBS_JOB_NONE);  // the library's store tells; else EMBEDJOBS_JOB_UNKNOWN
  REQUIRE(status.provider_pause != nullptr);
  CHECK((status.visible_space_id == nullptr) != describes);
  CHECK(std::string(status.badge_label) == (describes ? "not indexed" : "unknown"));
  embedjobs_statuses_destroy(statuses);
  embedjobs_health* health = nullptr;
  scene.ok(embedjobs_engine_health(scene.engine, nullptr, &health, scene.error.out()));
  CHECK(health->specs == 1);
  CHECK(health->unknown == (describes ? 0 : 1));
  CHECK(health->pending + health->running + health->failed + health->degraded == 0);  // the library's store tells
  embedjobs_health_destroy(health);
}

TEST_CASE("a list that does not move on is an error and no endless walk") {
  HostScene scene;
  scene.with_resolver();
  scene.resolver_table.list = [](void*, embedjobs_call*, const char*, const char*, std::size_t limit,
                                 embedjobs_document_list* list, std::size_t* done) -> std::int32_t {
    for (std::size_t i = 0; i < limit; ++i) {
      CHECK(embedjobs_document_list_add(list, "catalog", std::to_string(100'000 + i).c_str(), "v") == EMBEDJOBS_OK);
    }
    CHECK(embedjobs_document_list_add(list, "catalog", "one more", "v") == EMBEDJOBS_INVALID_ARGUMENT);
    *done = limit;
    return EMBEDJOBS_OK;
  };
  scene.open();
  embedjobs_statuses* statuses = nullptr;
  CHECK(embedjobs_engine_statuses(scene.engine, nullptr, &statuses, scene.error.out()) == EMBEDJOBS_INTERNAL);
  CHECK(scene.error.message().find("not ordered by key") != std::string::npos);
  CHECK(embedjobs_engine_reconcile(scene.engine, nullptr, scene.error.out()) == EMBEDJOBS_INTERNAL);
}

TEST_CASE("gone is an answer: the vectors are cleared and the job ends") {
  HostScene scene;
  scene.with_resolver();
  scene.open();
  scene.resolver.documents["spec"] = spec_with(5, "users");
  scene.enqueue();
  scene.start();
  scene.wait();
  CHECK(scene.persister.rows_of("spec") == 5);
  {
    const std::lock_guard lock(scene.resolver.mutex);
    scene.resolver.documents.clear();
  }
  scene.enqueue();
  scene.wait();
  CHECK(scene.persister.rows_of("spec") == 0);
  CHECK(scene.job().status == EMBEDJOBS_JOB_SUCCEEDED);
}

TEST_CASE("a persister that fails is tried again, and its words are read") {
  HostScene scene;
  std::atomic<bool> down = true;
  scene.persister.first_persist = [&](embedjobs_call* call) -> std::int32_t {
    if (down) {
      const std::string words = "disk\nfull \xff";
      embedjobs_call_set_error(call, words.data(), words.size());
      return EMBEDJOBS_RETRY;
    }
    return -1;
  };
  scene.open();
  scene.put(spec_with(3, "users"));
  scene.start();
  scene.observer.wait_for(EMBEDJOBS_EVENT_JOB_RETRIED);
  CHECK(scene.job().last_error.find("the host's persister: disk full ?") != std::string::npos);
  down = false;
  scene.again_now();
  CHECK(scene.persister.rows_of("spec") == 3);
  CHECK(scene.job().status == EMBEDJOBS_JOB_SUCCEEDED);
}

TEST_CASE("a persister that throws is tried again, and nothing is lost") {
  HostScene scene;
  std::atomic<bool> down = true;
  scene.persister.first_persist = [&](embedjobs_call*) -> std::int32_t {
    if (down) {
      throw std::runtime_error("the host's database is away");
    }
    return -1;
  };
  scene.open();
  scene.put(spec_with(3, "users"));
  scene.start();
  scene.observer.wait_for(EMBEDJOBS_EVENT_JOB_RETRIED);
  CHECK(scene.job().last_error.find("the host's persister threw: the host's database is away") != std::string::npos);
  down = false;
  scene.again_now();
  CHECK(scene.persister.rows_of("spec") == 3);
}

TEST_CASE("one failed write is repeated in the same pass") {
  HostScene scene;
  std::atomic<int> failures = 1;
  scene.persister.first_persist = [&](embedjobs_call*) -> std::int32_t {
    return failures-- > 0 ? EMBEDJOBS_RETRY : -1;
  };
  scene.open();
  scene.put(spec_with(3, "users"));
  scene.start();
  scene.wait();
  CHECK(scene.job().attempts == 1);
  CHECK(scene.embedder.texts == 3);
  CHECK(scene.persister.rows_of("spec") == 3);
}

TEST_CASE("a persister for which trying again will not help fails the job") {
  HostScene scene;
  scene.persister.first_persist = [](embedjobs_call* call) -> std::int32_t {
    embedjobs_call_set_error(call, "there is no table", 17);
    return EMBEDJOBS_FAILED;
  };
  scene.open();
  scene.start();
  scene.observer.wait_for_first_round();
  scene.put(spec_with(3, "users"));
  scene.wait();
  CHECK(scene.job().status == EMBEDJOBS_JOB_FAILED);
  CHECK(scene.job().last_error.find("there is no table") != std::string::npos);
  CHECK(scene.persister.chunks == 1);
}

TEST_CASE("a persister that stalls is waited for; stop says that it is not stopped") {
  HostScene scene;
  Gate entered;
  Gate leave;
  scene.persister.first_persist = [&](embedjobs_call*) -> std::int32_t {
    entered.open();
    leave.wait();
    return -1;
  };
  scene.open();
  scene.put(spec_with(3, "users"));
  scene.start();
  entered.wait();
  CHECK(embedjobs_engine_stop(scene.engine, 10, scene.error.out()) == EMBEDJOBS_TIMEOUT);
  CHECK(scene.error.message().find("not stopped") != std::string::npos);
  leave.open();
  scene.ok(embedjobs_engine_stop(scene.engine, -1, scene.error.out()));
  CHECK(scene.persister.rows_of("spec") == 3);  // what came back was kept
}

TEST_CASE("a persister's refusal of a stale fence ends the pass") {
  HostScene scene;
  // What a paused process would do: an old fence arrives after a newer one was accepted.
  std::atomic<bool> overtaken = false;
  scene.persister.first_persist = [&](embedjobs_call*) -> std::int32_t {
    if (!overtaken.exchange(true)) {
      const std::lock_guard lock(scene.persister.mutex);
      ++scene.persister.specs["spec"].fence.counter;  // another holder was here
      scene.persister.specs["spec"].fence.nonce = 4711;
    }
    return -1;
  };
  scene.open();
  scene.put(spec_with(3, "users"));
  scene.start();
  scene.observer.wait_for(EMBEDJOBS_EVENT_LEASE_LOST);
  CHECK(scene.persister.stale == 1);
  CHECK(scene.persister.rows_of("spec") == 0);
}

TEST_CASE("a holder that was overtaken while it wrote is refused; the other one's rows stand") {
  HostScene scene;
  Gate entered;
  Gate leave;
  std::atomic<int> calls = 0;
  scene.persister.first_persist = [&](embedjobs_call*) -> std::int32_t {
    if (calls++ == 0) {
      entered.open();
      leave.wait();
    }
    return -1;
  };
  scene.options.slots = 2;
  scene.open();
  scene.put(spec_with(3, "users"));
  scene.start();
  entered.wait();
  scene.ok(embedjobs_engine_remove(scene.engine, "catalog", "spec", scene.error.out()));  // revokes the lease
  scene.put(spec_with(4, "orders"));
  scene.observer.wait_for(EMBEDJOBS_EVENT_JOB_SUCCEEDED);
  CHECK(scene.persister.rows_of("spec") == 4);
  CHECK(scene.job().fence == 2);
  leave.open();
  scene.ok(embedjobs_engine_stop(scene.engine, -1, scene.error.out()));
  CHECK(scene.persister.stale == 1);
  CHECK(scene.persister.rows_of("spec") == 4);
}

TEST_CASE("an incomplete finalize makes the pass compute what is missing") {
  HostScene scene;
  std::atomic<int> losses = 1;
  scene.persister.first_finalize = [&](embedjobs_call*) -> std::int32_t {
    if (losses-- > 0) {
      const std::lock_guard lock(scene.persister.mutex);
      scene.persister.specs["spec"].rows.erase("op-1");
    }
    return -1;
  };
  scene.open();
  scene.put(spec_with(3, "users"));
  scene.start();
  scene.observer.wait_for(EMBEDJOBS_EVENT_JOB_CLAIMED);
  scene.wait();
  CHECK(scene.persister.rows_of("spec") == 3);
  CHECK(scene.embedder.texts == 4);
}

TEST_CASE("a provider that asks for a pause costs no attempt") {
  HostScene scene;
  scene.embedder.first = [](embedjobs_call* call, const embedjobs_texts*, embedjobs_vectors*,
                            std::size_t*) -> std::int32_t {
    embedjobs_call_set_retry_after_ms(call, 3'600'000);
    embedjobs_call_set_error(call, "rate limit", 10);
    return EMBEDJOBS_PAUSED;
  };
  scene.open();
  scene.put(spec_with(3, "users"));
  scene.start();
  auto report = sized<embedjobs_idle_report>();
  scene.ok(embedjobs_engine_wait_idle(scene.engine, 0, -1, nullptr, &report, scene.error.out()));
  CHECK(report.provider_waiting == 1);
  CHECK(report.provider_left_ms > 0);
  CHECK(scene.job().attempts <= 1);
}
