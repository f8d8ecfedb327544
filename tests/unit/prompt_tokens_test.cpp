// Prompt tokens: how they are counted, and the day's budget of them.
#include "unit/worker_scene.hpp"

namespace embedjobs::test {
namespace {

TEST_CASE("prompt tokens are counted for the job, the provider and the metrics") {
  WorkerScene scene;
  scene.options.batch_size = 2;
  scene.embedder->name = "http://host model";
  scene.embedder->count_tokens = [](std::string_view) { return 5; };
  scene.put(lines(7));
  scene.start();
  CHECK(scene.job().prompt_tokens == 35);
  CHECK(scene.job().provider == "http://host model");
  CHECK(scene.provider().tokens_total == 35);
  CHECK(scene.worker->metrics().provider_tokens == 35);
  scene.put(lines(8));
  scene.runtime.settle();
  CHECK(scene.job().prompt_tokens == 5);
  CHECK(scene.provider().tokens_total == 40);
}

TEST_CASE("tokens are counted once though the answers of writes are lost, and those of a failed pass count too") {
  WorkerScene scene;
  scene.options.batch_size = 2;
  scene.embedder->count_tokens = [](std::string_view) { return 5; };
  scene.persister->lose_answers = 2;
  scene.embedder->on_call = [](Texts texts, const CallContext&) {
    return contains(std::string(texts[0]), "op4") ? Status(Code::kFailed, "no such model") : Status();
  };
  scene.put(lines(6));
  scene.start();
  scene.runtime.run_for(seconds(5));
  CHECK(scene.job().status == JobStatus::kFailed);
  CHECK(scene.job().prompt_tokens == 20);
  CHECK(scene.provider().tokens_total == 20);
}

TEST_CASE("a provider that counts no tokens leaves the ledger alone, and a budget says that it has no effect") {
  WorkerScene scene;
  scene.options.daily_token_budget = 100;
  scene.options.batch_size = 1;
  scene.put(lines(4));
  scene.start();
  CHECK(scene.job().status == JobStatus::kSucceeded);
  CHECK(scene.provider().tokens_total == 0);
  CHECK(std::count_if(scene.log.begin(), scene.log.end(),
                      [](const auto& line) { return contains(line, "has no effect"); }) == 1);
}

// --- the day's budget ---

TEST_CASE(
    "when the day's budget is used up work waits until midnight UTC, at no cost in attempts, and goes on by itself") {
  WorkerScene scene(minutes(10));
  scene.options.daily_token_budget = 20;
  scene.options.batch_size = 2;
  scene.embedder->count_tokens = [](std::string_view) { return 5; };
  scene.put(lines(10));
  scene.start();
  CHECK(scene.embedder->texts_sent() == 4);
  CHECK(scene.job().status == JobStatus::kPending);
  CHECK(scene.job().attempts == 0);
  CHECK(contains(scene.job().last_error, "the daily budget of 20 tokens is used up (20 today)"));
  ProviderState state = scene.provider();
  CHECK(is_paused(state, state.read_at));
  CHECK(state.paused_until.time_since_epoch() % hours(24) == Duration(0));
  CHECK(contains(state.pause_reason, "daily budget"));
  REQUIRE(scene.worker->provider_pause());

  scene.runtime.run_for(state.paused_until - state.read_at - milliseconds(1));
  CHECK(scene.embedder->texts_sent() == 4);
  scene.runtime.run_for(hours(1));
  CHECK(scene.embedder->texts_sent() == 8);
  scene.runtime.run_for(hours(24));
  CHECK(scene.job().status == JobStatus::kSucceeded);
  CHECK(scene.job().attempts == 1);
  CHECK(scene.provider().tokens_total == 50);
}

TEST_CASE("a budget counts what was spent before the worker started, and what other processes spend") {
  WorkerScene scene(minutes(10));
  scene.options.daily_token_budget = 1000;
  scene.embedder->count_tokens = [](std::string_view) { return 5; };
  scene.start();
  const auto spend = [&](std::uint64_t tokens) {  // as another process
    scene.enqueue(JobKind::kSpecWrite, {"elsewhere", std::to_string(tokens)});
    const auto claim = scene.backend.store->claim(
        {.worker_id = "other", .nonce = tokens, .space_id = "4/other", .provider = "test-model"});
    REQUIRE(claim->leases.size() == 1);
    const Lease& lease = claim->leases[0];
    REQUIRE(
        scene.backend.store
            ->settle({lease.job.id, lease.job.key, lease.job.fence}, {.progress = Progress{.prompt_tokens = tokens}})
            .ok());
  };
  spend(600);
  scene.put(lines(2));
  scene.runtime.run_for(seconds(11));
  CHECK(scene.job().status == JobStatus::kSucceeded);
  spend(500);
  scene.start_anew();
  scene.put(lines(3));
  scene.runtime.settle();
  CHECK(scene.job().status == JobStatus::kPending);
  CHECK(scene.provider().pause_reason == "the daily budget of 1000 tokens is used up (1110 today)");
}

}  // namespace
}  // namespace embedjobs::test
