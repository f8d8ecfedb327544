// What a worker learns of its provider, shares and remembers: batch sizes, limits, the circuit breaker, pauses.
#include "core/worker/provider_gate.hpp"
#include "unit/worker_scene.hpp"

namespace embedjobs::test {
namespace {

bool is_paused_now(const ProviderState& state) {
  return is_paused(state, state.read_at);
}

std::uint64_t byte_is_token(std::string_view text) {
  return text.size();
}

/// Operations with texts of `bytes` bytes each, all different.
std::string lines_of(std::size_t count, std::size_t bytes) {
  std::string content;
  for (std::size_t i = 0; i < count; ++i) {
    const std::string id = "op" + std::to_string(i);
    content += id + "\t" + id + std::string(bytes - id.size(), 'x') + "\n";
  }
  return content;
}

/// Notes when each call began.
void log_times(WorkerScene& scene, std::vector<MonoTime>& times) {
  scene.embedder->on_call = [&](Texts, const CallContext&) {
    times.push_back(scene.runtime.now());
    return Status();
  };
}

// --- batch sizes ---

TEST_CASE("the next worker starts at the batch size that the provider was found to take") {
  WorkerScene scene;
  scene.options.batch_size = 8;
  scene.embedder->on_call = [](Texts texts, const CallContext&) {
    return texts.size() > 2 ? Status(Code::kTimeout, "slow") : Status();
  };
  scene.put(lines(8, "a"), {"catalog", "a"});
  scene.start();
  CHECK(scene.provider().batch_texts == 2);
  scene.embedder->calls.clear();
  scene.put(lines(4, "b"), {"catalog", "b"});
  scene.start_anew();
  CHECK(scene.embedder->calls.size() == 2);
  CHECK(scene.worker->metrics().batch_size == 2);
}

TEST_CASE("the batch size is noted when it changes, not at each call, and forgotten when it is back at the options'") {
  WorkerScene scene;
  scene.options.batch_size = 4;
  scene.answer_next({Status(Code::kTimeout, "slow")});
  scene.put(lines(12));
  scene.start();
  CHECK(scene.runtime.submitted("note") == 1);
  CHECK(scene.provider().batch_texts == 2);
  scene.put(lines(200, "more"));
  scene.runtime.settle();
  CHECK(scene.runtime.submitted("note") == 3);
  CHECK(scene.provider().batch_texts == 0);
  CHECK(scene.worker->metrics().batch_size == 4);
}

TEST_CASE("a note that fails is sent again") {
  WorkerScene scene;
  scene.options.batch_size = 4;
  scene.answer_next({Status(Code::kTimeout, "slow")});
  scene.runtime.fail_next("note", Status(Code::kRetry, "busy"));
  scene.put(lines(8));
  scene.start();
  CHECK(scene.provider().batch_texts == 0);
  scene.runtime.run_for(seconds(6));
  CHECK(scene.provider().batch_texts == 2);
}

TEST_CASE("a worker that can't read what is known of the provider works all the same") {
  WorkerScene scene;
  scene.runtime.fail_next("provider", Status(Code::kRetry, "busy"));
  scene.put(lines(8));
  scene.start();
  CHECK(scene.job().status == JobStatus::kSucceeded);
}

TEST_CASE("few large texts are learned to be too much in bytes; small ones still go by count") {
  WorkerScene scene;
  scene.options.batch_size = 32;
  const auto bytes = [](Texts texts) {
    std::size_t sum = 0;
    for (const std::string_view text : texts) {
      sum += text.size();
    }
    return sum;
  };
  scene.embedder->on_call = [&](Texts texts, const CallContext&) {
    return bytes(texts) > 50'000 ? Status(Code::kBatchTooLarge, "413") : Status();
  };
  scene.put(lines_of(20, 8000), {"catalog", "large"});
  scene.start();
  CHECK(scene.job({"catalog", "large"}).status == JobStatus::kSucceeded);
  CHECK(scene.provider().batch_texts == 0);
  CHECK(scene.provider().batch_bytes > 0);
  scene.embedder->calls.clear();
  scene.put(lines(32, "small"), {"catalog", "small"});
  scene.runtime.settle();
  CHECK(scene.embedder->calls.size() == 1);
}

TEST_CASE("a limit in tokens is kept by what the provider's answers show") {
  WorkerScene scene(minutes(10), {.batch_tokens = 1000});
  scene.options.batch_size = 100;
  scene.embedder->count_tokens = byte_is_token;
  scene.put(lines_of(100, 100));
  scene.start();
  CHECK(scene.job().status == JobStatus::kSucceeded);
  for (std::size_t call = 1; call < scene.embedder->calls.size(); ++call) {  // the first had only a guess
    CHECK(scene.embedder->calls[call].size() <= 10);
  }
  CHECK(scene.embedder->calls[1].size() == 10);
}

// --- limits a minute ---

TEST_CASE("no minute sees more than its limit, and a tenth may go at once") {
  for (const int limit : {1, 2, 60, 600}) {
    core::RateLimit rate(limit);
    MonoTime now{hours(1)};
    std::vector<MonoTime> spent;
    while (now < MonoTime{hours(1)} + minutes(5)) {
      if (now >= rate.ready_at()) {
        rate.spend(1, now);
        spent.push_back(now);
      } else {
        now = rate.ready_at();
      }
    }
    CHECK(std::count(spent.begin(), spent.end(), spent[0]) == std::max(1, limit / 10));
    std::ptrdiff_t most = 0;
    for (auto first = spent.begin(); first != spent.end(); ++first) {
      most = std::max(most, std::lower_bound(first, spent.end(), *first + minutes(1)) - first);
    }
    CHECK(most <= limit);
    CHECK(spent.size() >= static_cast<std::size_t>(limit) * 4);
  }
}

TEST_CASE("calls keep to the requests a minute, over all jobs") {
  WorkerScene scene(hours(1), {.concurrent_calls = 4});
  scene.options.slots = 2;
  scene.options.batch_size = 1;
  scene.options.requests_per_minute = 10;
  std::vector<MonoTime> times;
  log_times(scene, times);
  scene.put(lines(15, "a"), {"catalog", "a"});
  scene.put(lines(15, "b"), {"catalog", "b"});
  scene.start();
  CHECK(times.size() == 1);
  scene.runtime.run_for(minutes(1) - milliseconds(1));
  CHECK(times.size() == 10);
  scene.runtime.run_for(minutes(3));
  CHECK(scene.job({"catalog", "a"}).status == JobStatus::kSucceeded);
  CHECK(scene.job({"catalog", "b"}).status == JobStatus::kSucceeded);
  CHECK(scene.events_of(EventKind::kProviderPaused).empty());  // it is our own pace
}

TEST_CASE("calls keep to the tokens a minute, as the provider counts them") {
  WorkerScene scene(hours(1), {.concurrent_calls = 1});
  scene.options.batch_size = 1;
  scene.options.tokens_per_minute = 1000;
  scene.embedder->count_tokens = byte_is_token;
  std::vector<MonoTime> times;
  log_times(scene, times);
  scene.put(lines_of(40, 100));
  scene.start();
  scene.runtime.run_for(minutes(4));
  CHECK(scene.job().status == JobStatus::kRunning);
  scene.runtime.run_for(minutes(1));
  CHECK(scene.job().status == JobStatus::kSucceeded);
  for (std::size_t i = 0; i + 11 < times.size(); ++i) {
    CHECK(times[i + 11] - times[i] >= minutes(1));
  }
}

// --- the circuit breaker ---

TEST_CASE("calls in a row without an answer open the breaker: one call probes after a pause, and an answer closes it") {
  WorkerScene scene(minutes(10), {.concurrent_calls = 8});
  scene.options.slots = 8;
  bool broken = true;
  scene.embedder->on_call = [&](Texts, const CallContext&) {
    return broken ? Status(Code::kRetry, "connection reset") : Status();
  };
  for (int i = 0; i < 20; ++i) {
    scene.put(lines(1, "job" + std::to_string(i)), {"catalog", std::to_string(i)});
  }
  scene.start();
  const std::size_t before = scene.embedder->calls.size();
  CHECK(before == 8);  // what was in flight when the fifth failed
  CHECK(contains(scene.provider().pause_reason, "5 calls in a row failed: connection reset"));
  CHECK(is_paused_now(scene.provider()));
  REQUIRE(scene.worker->provider_pause());

  scene.runtime.run_for(scene.worker->provider_pause()->left);
  CHECK(scene.embedder->calls.size() == before + 1);  // the probe
  CHECK(scene.worker->provider_pause()->left > seconds(6));
  broken = false;
  scene.runtime.run_for(minutes(10));
  for (int i = 0; i < 20; ++i) {
    CHECK(scene.job({"catalog", std::to_string(i)}).status == JobStatus::kSucceeded);
  }
  CHECK(scene.events_of(EventKind::kProviderPaused).size() == 1);
  CHECK(scene.events_of(EventKind::kProviderResumed).size() == 1);
  CHECK(scene.provider().pause_reason.empty());
}

TEST_CASE(
    "an answer between failures keeps the breaker closed, an error about an input is one too; timeouts of batches "
    "count for nothing") {
  core::ProviderGate gate({.calls = 1});
  const MonoTime now{hours(1)};
  for (int i = 0; i < 20; ++i) {
    CHECK_FALSE(gate.unanswered(now, 0.5, "500"));
    if (i % 4 == 3) {
      gate.answered(now);
    }
  }
  WorkerScene scene;
  scene.options.batch_size = 32;
  scene.answer_next(std::vector<Status>(5, Status(Code::kTimeout, "slow")));
  scene.put(lines(64));
  scene.start();
  CHECK(scene.events_of(EventKind::kProviderPaused).empty());
  CHECK(scene.job().status == JobStatus::kSucceeded);
}

// --- pauses ---

TEST_CASE("a pause is noted for other processes to show, and forgotten when the provider answers again") {
  WorkerScene scene(minutes(10));
  scene.answer_next({Status::paused(seconds(20), "429 slow down")});
  scene.put(lines(3));
  scene.start();
  ProviderState state = scene.provider();
  CHECK(state.paused_until == state.read_at + seconds(20));
  CHECK(state.pause_reason == "429 slow down");
  CHECK(state.space_id == "4/test-model");
  scene.runtime.run_for(seconds(20));
  CHECK(scene.job().status == JobStatus::kSucceeded);
  CHECK(scene.provider().pause_reason.empty());
}

TEST_CASE("a worker that finds a pause of another one probes with one call first") {
  WorkerScene scene(minutes(10), {.concurrent_calls = 4});
  scene.options.batch_size = 1;
  REQUIRE(scene.backend.store->note_provider("test-model", {.pause = ProviderNote::Pause{seconds(20), "429"}}).ok());
  std::vector<std::int64_t> in_flight;
  scene.embedder->on_call = [&](Texts, const CallContext&) {
    in_flight.push_back(scene.worker->metrics().calls_in_flight);
    return Status();
  };
  scene.put(lines(12));
  scene.start();
  CHECK(in_flight.at(0) == 1);
  CHECK(*std::max_element(in_flight.begin(), in_flight.end()) == 4);
  CHECK(scene.provider().pause_reason.empty());
}

TEST_CASE(
    "a provider that is down from the start: one line in the log, the pause in the store, and the job completes when "
    "it is up") {
  WorkerScene scene(minutes(10));
  scene.embedder->name = "http://localhost:11434 nomic";
  scene.embedder->down =
      Status::paused(Duration(0), "can't reach http://localhost:11434: start it with 'ollama serve'");
  scene.put(lines(3));
  scene.start();
  scene.runtime.run_for(hours(1));
  CHECK(scene.embedder->space_calls > 20);
  REQUIRE(scene.log.size() == 1);
  CHECK(scene.log[0] ==
        "jobs wait until the embedder is ready: can't reach http://localhost:11434: start it with 'ollama serve'");
  CHECK(is_paused_now(scene.provider()));
  CHECK(scene.provider().pause_reason == "can't reach http://localhost:11434: start it with 'ollama serve'");
  CHECK(scene.job().status == JobStatus::kPending);
  REQUIRE(scene.worker->provider_pause());
  CHECK(scene.worker->provider_pause()->lasted >= minutes(59));
  scene.embedder->down = Status();
  scene.runtime.run_for(minutes(3));
  CHECK(scene.job().status == JobStatus::kSucceeded);
  CHECK(scene.job().attempts == 1);
  CHECK(scene.provider().pause_reason.empty());
  CHECK_FALSE(scene.worker->provider_pause());
}

// --- cut texts ---

/// Indexes a long and a short text with a model that takes at most `model` bytes under a cap of `cap`. Answers how many
/// texts were sent.
std::size_t index_long(WorkerScene& scene, std::size_t cap, std::size_t model) {
  scene.embedder = std::make_shared<ScriptedEmbedder>(EmbedderLimits{.input_bytes = cap});
  scene.embedder->on_call = [model](Texts texts, const CallContext&) {
    const bool long_one =
        std::any_of(texts.begin(), texts.end(), [model](std::string_view text) { return text.size() > model; });
    return long_one ? Status(Code::kInputTooLarge, "context length") : Status();
  };
  scene.parts.embedder = scene.embedder;
  scene.put("long\t" + std::string(5000, 'x') + "\nshort\ttext\n");
  if (scene.worker) {
    scene.start_anew();
  } else {
    scene.start();
  }
  CHECK(scene.job().status == JobStatus::kSucceeded);
  CHECK(scene.embedder->times_sent("text") <= 3);  // with the long one, until that stands alone
  return scene.embedder->texts_sent();
}

TEST_CASE(
    "a cut that the model asked for is not tried again at each pass; a cap that is given or raised embeds just the cut "
    "texts again") {
  WorkerScene scene;
  CHECK(index_long(scene, 0, 3000) > 0);
  CHECK(scene.rows()[0].embedded_bytes == 2500);
  CHECK(scene.rows()[0].text_hash == hash_text(std::string(5000, 'x')));
  CHECK(index_long(scene, 0, 3000) == 0);
  CHECK(index_long(scene, 2500, 3000) == 0);
  CHECK(index_long(scene, 3000, 3000) == 1);
  CHECK(scene.rows()[0].embedded_bytes == 3000);
  CHECK(scene.rows()[1].embedded_bytes == 0);
  CHECK(index_long(scene, 3000, 3000) == 0);
  CHECK(index_long(scene, 4000, 3000) == 2);      // refused, then cut
  CHECK(scene.rows()[0].embedded_bytes == 2500);  // the length that passed before is the first try
  CHECK(index_long(scene, 4000, 3000) == 0);
  CHECK(index_long(scene, 9000, 9000) == 1);
  CHECK(scene.rows()[0].embedded_bytes == 0);
  CHECK(index_long(scene, 100, 9000) == 0);
}

// --- calls that are not wanted any more ---

TEST_CASE("whatever ends a pass early asks its provider calls to stop: removal, an expired lease, a stop") {
  const auto asked_to_stop = [](Duration lease, const std::function<void(WorkerScene&)>& act) {
    WorkerScene scene(lease);
    bool asked = false;
    scene.embedder->on_call = [&](Texts, const CallContext& context) {
      act(scene);
      asked = context.stop.stop_requested();
      return Status(Code::kCancelled, "cancelled");
    };
    scene.put(lines(3));
    scene.start();
    return asked;
  };
  CHECK(asked_to_stop(seconds(3), [](WorkerScene& scene) {  // noticed by the next renewal
    REQUIRE(scene.backend.catalog->remove(WorkerScene::kKey).ok());
    scene.runtime.run_for(seconds(1));
  }));
  CHECK(asked_to_stop(seconds(3), [](WorkerScene& scene) {  // taken by somebody else after a sleep of the machine
    scene.clock->slept = seconds(4);
    REQUIRE(scene.backend.store->claim({.worker_id = "other", .nonce = 7, .space_id = "4/test-model"})->leases.size() ==
            1);
    scene.runtime.run_for(seconds(1));
  }));
  CHECK(asked_to_stop(seconds(3), [](WorkerScene& scene) {  // renewals fail until our own clock says that it is over
    for (int i = 0; i < 10; ++i) {
      scene.runtime.fail_next("renew", Status(Code::kRetry, "busy"));
    }
    scene.runtime.run_for(seconds(3));
  }));
  CHECK(asked_to_stop(minutes(10), [](WorkerScene& scene) { scene.stop(); }));
  CHECK(asked_to_stop(hours(100), [](WorkerScene& scene) { scene.runtime.run_for(hours(1)); }));  // the safety bound
  CHECK_FALSE(asked_to_stop(seconds(3), [](WorkerScene& scene) { scene.runtime.run_for(seconds(30)); }));
}

TEST_CASE("with a limit of tokens a minute the first call goes alone, until an answer shows what a text costs") {
  WorkerScene scene(minutes(10), {.concurrent_calls = 8});
  scene.options.tokens_per_minute = 100'000;
  scene.options.batch_size = 2;
  scene.embedder->count_tokens = [](std::string_view text) { return text.size(); };
  scene.runtime.hold("embed");
  scene.put(lines(40));
  scene.start();
  CHECK(scene.runtime.waiting("embed") == 1);
  scene.runtime.release();
  scene.runtime.run_for(minutes(10));
  CHECK(scene.job().status == JobStatus::kSucceeded);
}

}  // namespace
}  // namespace embedjobs::test
