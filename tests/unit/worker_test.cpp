// The worker: start and stop, claims, slots, yielding, provider calls over all jobs.
#include "unit/worker_scene.hpp"

namespace embedjobs::test {
namespace {

using Names = std::vector<std::string>;

TEST_CASE("the queue is drained at start") {
  WorkerScene scene;
  for (const char* name : {"a", "b", "c"}) {
    scene.put(lines(3, name), {"catalog", name});
  }
  scene.start();
  for (const char* name : {"a", "b", "c"}) {
    CHECK(scene.job({"catalog", name}).status == JobStatus::kSucceeded);
    CHECK(scene.rows({"catalog", name}).size() == 3);
  }
}

TEST_CASE("a notification wakes an idle worker at once") {
  WorkerScene scene;
  scene.start();
  scene.put(lines(2));
  scene.runtime.settle();  // no time passes
  CHECK(scene.job().status == JobStatus::kSucceeded);
}

TEST_CASE("jobs run in parallel up to the number of slots") {
  WorkerScene scene(minutes(10), {.concurrent_calls = 8});
  scene.options.slots = 3;
  for (int i = 0; i < 5; ++i) {
    scene.put(lines(1, std::to_string(i)), {"catalog", std::to_string(i)});
  }
  scene.runtime.hold("embed");
  scene.start();
  CHECK(scene.worker->metrics().running == 3);
  CHECK(scene.backend.store->counts()->running == 3);
  CHECK(scene.backend.store->counts()->pending == 2);
  scene.runtime.release();
  scene.runtime.settle();
  CHECK(scene.backend.store->counts()->succeeded == 5);
}

TEST_CASE("a worker is in the list of workers from its start to its end, idle or not") {
  WorkerScene scene(minutes(10));
  scene.embedder->name = "somebody";
  scene.start();
  WorkerInfo seen = scene.backend.store->workers().value().at(0);
  CHECK(seen.worker_id == "worker");
  CHECK(seen.slots == 1);
  CHECK_FALSE(seen.host.empty());
  CHECK_FALSE(seen.version.empty());
  CHECK(seen.provider == "somebody");
  CHECK(seen.space_id == "4/test-model");
  for (int i = 0; i < 20; ++i) {
    scene.runtime.run_for(minutes(5));
    CHECK(is_live(scene.backend.store->workers().value().at(0)));
  }
  CHECK(scene.backend.store->workers().value().at(0).started_at == seen.started_at);
  scene.stop();
  CHECK(scene.stopped == 1);
  CHECK(scene.backend.store->workers().value().empty());
}

TEST_CASE("a worker that waits for its provider is in the list") {
  WorkerScene scene;
  scene.embedder->down = Status(Code::kRetry, "no answer");
  scene.start();
  REQUIRE(scene.backend.store->workers().value().size() == 1);
  CHECK(scene.backend.store->workers().value()[0].space_id.empty());
  scene.stop();
  CHECK(scene.stopped == 1);
  CHECK(scene.backend.store->workers().value().empty());
}

TEST_CASE("a worker that the list refuses says so once, and works") {
  WorkerScene scene;
  scene.options.worker_id = std::string(1000, 'x');
  scene.put(lines(1));
  scene.start();
  scene.runtime.run_for(hours(1));
  CHECK(scene.job().status == JobStatus::kSucceeded);
  CHECK(scene.backend.store->workers().value().empty());
  CHECK(std::count_if(scene.log.begin(), scene.log.end(), [](const std::string& line) {
          return line.find("missing in the list of workers") != std::string::npos;
        }) == 1);
  scene.stop();
  CHECK(scene.stopped == 1);
}

TEST_CASE("start twice acts once") {
  WorkerScene scene;
  scene.put(lines(1));
  scene.start();
  scene.worker->start();
  scene.runtime.settle();
  CHECK(scene.runtime.submitted("space") == 1);
  CHECK(scene.events_of(EventKind::kJobClaimed).size() == 1);
}

TEST_CASE("stop before start is fine, and start after it does nothing") {
  WorkerScene scene;
  scene.put(lines(1));
  scene.make();
  scene.stop();
  CHECK(scene.stopped == 1);
  scene.worker->start();
  scene.runtime.run_for(hours(1));
  CHECK(scene.runtime.submitted("claim") == 0);
  CHECK(scene.job().status == JobStatus::kPending);
}

TEST_CASE("stop twice is fine: each caller is told once") {
  WorkerScene scene;
  scene.start();
  scene.stop();
  scene.stop();
  CHECK(scene.stopped == 2);
  scene.put(lines(1));
  scene.runtime.run_for(hours(1));
  CHECK(scene.job().status == JobStatus::kPending);
  CHECK(scene.runtime.timers() == 0);
}

TEST_CASE("a burst of notifications is one look") {
  WorkerScene scene;
  scene.start();
  const std::size_t before = scene.runtime.submitted("claim");
  for (int i = 0; i < 100; ++i) {
    scene.worker->wake();
  }
  scene.runtime.settle();
  CHECK(scene.runtime.submitted("claim") == before + 1);
}

TEST_CASE("a notification that was lost costs at most a fallback poll") {
  WorkerScene scene;
  scene.start();
  scene.backend.store->set_wake({});
  scene.put(lines(1));
  scene.runtime.settle();
  REQUIRE(scene.job().status == JobStatus::kPending);
  scene.runtime.run_for(scene.options.fallback_poll);
  CHECK(scene.job().status == JobStatus::kSucceeded);
}

TEST_CASE("a job wakes the worker when it is due, without a notification") {
  WorkerScene scene;
  scene.options.fallback_poll = hours(5);
  scene.answer_next({Status(Code::kRetry, "500")});
  scene.put(lines(1));
  scene.start();
  REQUIRE(scene.job().status == JobStatus::kPending);
  scene.runtime.run_for(scene.job().next_run_at - scene.runtime.wall_now());
  CHECK(scene.job().status == JobStatus::kSucceeded);
}

TEST_CASE("a claim that fails is sent again, and what it leased without an answer is found") {
  WorkerScene scene;
  scene.put(lines(2));
  scene.runtime.fail_next("claim", Status(Code::kRetry, "the database is away"));
  scene.start();
  CHECK(scene.job().status == JobStatus::kPending);
  scene.runtime.run_for(seconds(1));
  CHECK(scene.job().status == JobStatus::kSucceeded);
  CHECK(scene.job().attempts == 1);
}

TEST_CASE("a provider that is down at start is waited for") {
  WorkerScene scene;
  scene.put(lines(1));
  scene.runtime.fail_next("space", Status(Code::kRetry, "connection refused"));
  scene.start();
  CHECK(scene.job().status == JobStatus::kPending);
  REQUIRE(scene.log.size() == 1);
  CHECK(scene.log[0].find("connection refused") != std::string::npos);
  scene.runtime.run_for(minutes(1));
  CHECK(scene.job().status == JobStatus::kSucceeded);
}

TEST_CASE("stop releases jobs at once and at no cost, even when a provider call hangs") {
  WorkerScene scene;
  scene.options.batch_size = 2;
  scene.put(lines(6));
  scene.embedder->on_call = [&](Texts, const CallContext&) {
    if (scene.embedder->calls.size() == 2) {
      scene.runtime.hold("embed");  // the next call never comes back
    }
    return Status();
  };
  scene.start();
  REQUIRE(scene.runtime.waiting("embed") == 1);
  scene.stop();
  scene.runtime.run_for(seconds(1));
  CHECK(scene.stopped == 1);
  const Job job = scene.job();
  CHECK(job.status == JobStatus::kPending);
  CHECK(job.attempts == 0);
  CHECK(job.next_run_at <= scene.runtime.wall_now());
  CHECK(scene.rows().size() == 4);  // what had come back is kept
  CHECK(scene.worker->metrics().running == 0);
}

TEST_CASE("stop cancels the provider call that is under way") {
  WorkerScene scene;
  scene.put(lines(1));
  bool cancelled = false;
  scene.embedder->on_call = [&](Texts, const CallContext& context) {
    scene.stop();
    cancelled = context.stop.stop_requested();
    return Status(Code::kCancelled, "stopped");
  };
  scene.start();
  CHECK(cancelled);
  CHECK(scene.stopped == 1);
  CHECK(scene.job().status == JobStatus::kPending);
}

TEST_CASE("a claim whose answer comes after stop is released") {
  WorkerScene scene;
  scene.put(lines(1));
  scene.runtime.hold("claim");
  scene.start();
  scene.stop();
  CHECK(scene.stopped == 0);
  scene.runtime.release();
  scene.runtime.settle();
  CHECK(scene.stopped == 1);
  CHECK(scene.job().status == JobStatus::kPending);
  CHECK(scene.job().attempts == 0);
  CHECK(scene.embedder->calls.empty());
}

TEST_CASE("a backfill gives its slot to an urgent job when none is free, and goes on where it was") {
  WorkerScene scene;
  scene.options.batch_size = 2;
  const SpecKey big{"catalog", "big"};
  scene.put(lines(20, "big"), big);
  REQUIRE(scene.backend.store->claim({.worker_id = "other", .nonce = 1, .space_id = "4/test-model"}).ok());
  scene.runtime.run_for(minutes(11));
  REQUIRE(scene.backend.catalog->remove(big).ok());
  scene.put(lines(20, "big"), big);
  // As the reconciler would have found it.
  const auto leases = scene.backend.store->claim({.worker_id = "other", .nonce = 2, .space_id = "4/test-model"});
  REQUIRE(leases.ok());
  const Lease& lease = leases->leases.at(0);
  REQUIRE(scene.backend.store->settle({lease.job.id, big, lease.job.fence}, {.kind = OutcomeKind::kFail, .error = "x"})
              .ok());
  scene.enqueue(JobKind::kReconciler, big);

  const SpecKey small{"catalog", "small"};
  scene.embedder->on_call = [&](Texts, const CallContext&) {
    if (scene.embedder->calls.size() == 3) {
      scene.put(lines(1, "small"), small);
    }
    return Status();
  };
  scene.start();
  CHECK(scene.specs_of(EventKind::kJobSucceeded) == Names{"small", "big"});
  REQUIRE(scene.events_of(EventKind::kJobReleased).size() == 1);
  CHECK(scene.events_of(EventKind::kJobReleased)[0].message == "gave its slot to an urgent job");
  CHECK(scene.embedder->texts_sent() == 21);  // no text twice
  CHECK(scene.job(big).attempts == 1);
}

TEST_CASE("an urgent job never makes another urgent one yield") {
  WorkerScene scene;
  scene.options.batch_size = 1;
  scene.put(lines(5, "first"), {"catalog", "first"});
  scene.embedder->on_call = [&](Texts, const CallContext&) {
    if (scene.embedder->calls.size() == 2) {
      scene.put(lines(1, "second"), {"catalog", "second"});
    }
    return Status();
  };
  scene.start();
  CHECK(scene.specs_of(EventKind::kJobSucceeded) == Names{"first", "second"});
  CHECK(scene.events_of(EventKind::kJobReleased).empty());
}

TEST_CASE("every fourth claim goes by age, so that urgent jobs do not starve the others") {
  WorkerScene scene;
  const SpecKey old{"catalog", "old"};
  scene.enqueue(JobKind::kReconciler, old);
  scene.runtime.run_for(seconds(1));
  for (int i = 0; i < 6; ++i) {
    scene.put(lines(1, std::to_string(i)), {"catalog", std::to_string(i)});
  }
  scene.start();
  CHECK(scene.specs_of(EventKind::kJobClaimed) == Names{"0", "1", "2", "old", "3", "4", "5"});
}

TEST_CASE("provider calls in flight never exceed the limit, over all jobs, and reach it") {
  struct Case {
    std::size_t embedder;
    int option;
    std::size_t expected;
  };
  for (const Case& tried : {Case{2, 0, 2}, Case{2, 8, 2}, Case{8, 3, 3}, Case{0, 0, 1}}) {
    WorkerScene scene(minutes(10), {.concurrent_calls = tried.embedder});
    scene.options.slots = 3;
    scene.options.batch_size = 1;
    scene.options.provider_concurrency = tried.option;
    for (const char* name : {"a", "b", "c"}) {
      scene.put(lines(7, name), {"catalog", name});
    }
    std::size_t most = 0;
    scene.embedder->on_call = [&](Texts, const CallContext&) {
      most = std::max(most, scene.runtime.waiting("embed") + 1);
      return Status();
    };
    scene.start();
    INFO(tried.embedder << " " << tried.option);
    CHECK(most == tried.expected);
    CHECK(scene.backend.store->counts()->succeeded == 3);
    CHECK(scene.worker->metrics().calls_in_flight == 0);
  }
}

TEST_CASE("a worker without sinks works") {
  WorkerScene scene;
  scene.parts.events = {};
  scene.parts.log = {};
  scene.answer_next({Status(Code::kRetry, "500")});
  scene.put(lines(3));
  scene.start();
  scene.runtime.run_for(minutes(1));
  CHECK(scene.job().status == JobStatus::kSucceeded);
}

TEST_CASE("an event follows success, when the rows are there to be loaded") {
  WorkerScene scene;
  scene.put(lines(3));
  std::size_t seen = 0;
  scene.parts.events = [&](const Event& event) {
    if (event.kind == EventKind::kJobSucceeded) {
      seen = scene.rows().size();
      CHECK(scene.job().status == JobStatus::kSucceeded);
    }
  };
  scene.start();
  CHECK(seen == 3);
}

TEST_CASE("a sink that throws does not harm the job") {
  WorkerScene scene;
  scene.put(lines(3));
  scene.parts.events = [](const Event&) { throw std::runtime_error("sink"); };
  scene.start();
  CHECK(scene.job().status == JobStatus::kSucceeded);
}

TEST_CASE("a provider is asked for its space when there is a job, and not before") {
  WorkerScene scene;
  scene.embedder->asks_provider = true;
  scene.start();
  scene.runtime.run_for(minutes(5));
  CHECK(scene.embedder->space_calls == 0);
  scene.put(lines(2));
  scene.worker->wake();
  scene.runtime.settle();
  CHECK(scene.embedder->space_calls == 1);
  CHECK(scene.job().status == JobStatus::kSucceeded);
}

TEST_CASE("a job that is due later is found by a worker that has not asked for its space") {
  WorkerScene scene;
  scene.embedder->asks_provider = true;
  scene.put(lines(1));
  const auto claimed = scene.backend.store->claim({.worker_id = "other", .nonce = 1, .space_id = "4/test-model"});
  REQUIRE(claimed.ok());
  const Job& job = claimed->leases.at(0).job;
  const Outcome later{.kind = OutcomeKind::kRelease, .reason = ReleaseReason::kPause, .delay = seconds(20)};
  REQUIRE(scene.backend.store->settle({job.id, job.key, job.fence}, later).ok());
  scene.start();
  scene.runtime.run_for(seconds(19));
  CHECK(scene.embedder->space_calls == 0);
  scene.runtime.run_for(seconds(2));
  CHECK(scene.job().status == JobStatus::kSucceeded);
}

TEST_CASE("a stop ends a worker that has not asked for its space") {
  WorkerScene scene;
  scene.embedder->asks_provider = true;
  scene.start();
  scene.stop();
  CHECK(scene.stopped == 1);
  CHECK(scene.embedder->space_calls == 0);
}

TEST_CASE("a stop ends the call that asks for the space") {
  WorkerScene scene;
  scene.runtime.hold("space");
  scene.start();
  scene.stop();
  scene.runtime.release();
  scene.runtime.settle();
  CHECK(scene.embedder->space_calls == 1);
  CHECK(scene.embedder->space_was_stopped);
  CHECK(scene.stopped == 1);
}

}  // namespace
}  // namespace embedjobs::test
