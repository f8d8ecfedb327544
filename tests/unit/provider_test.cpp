// What a provider does to a pass: timeouts, bad inputs, bad vectors, pauses. And the parts that deal with it.
#include "core/worker/batch_size.hpp"
#include "core/worker/plan.hpp"
#include "core/worker/provider_gate.hpp"
#include "unit/worker_scene.hpp"

namespace embedjobs::test {
namespace {

bool any_contains(Texts texts, std::string_view part) {
  return std::any_of(texts.begin(), texts.end(),
                     [part](std::string_view text) { return text.find(part) != std::string_view::npos; });
}

core::CallSize texts_of(std::size_t texts, std::size_t bytes = 10) {
  return {.texts = texts, .bytes = bytes};
}

TEST_CASE("a batch size halves, at least to 1, and grows back after eight full batches") {
  core::BatchSize size(9, 1000);
  CHECK_FALSE(size.worked(texts_of(9)));
  CHECK(size.too_much(texts_of(9)));
  CHECK(size.texts() == 4);
  CHECK_FALSE(size.too_much(texts_of(9)));  // sent before the cut
  for (int i = 0; i < 7; ++i) {
    CHECK_FALSE(size.worked(texts_of(4)));
    CHECK_FALSE(size.worked(texts_of(3)));  // not full: it shows nothing
  }
  CHECK(size.worked(texts_of(4)));
  CHECK(size.texts() == 5);
  CHECK(size.too_much(texts_of(5)));
  CHECK(size.too_much(texts_of(2)));
  CHECK(size.texts() == 1);
  CHECK(size.learned_texts() == 1);
  for (int i = 0; i < 1000; ++i) {
    (void)size.worked(texts_of(size.texts()));
  }
  CHECK(size.texts() == 9);
  CHECK(size.learned_texts() == 0);
  CHECK(size.bytes() == 1000);
}

TEST_CASE("a size that is too much each time that it is grown to is tried ever more rarely") {
  core::BatchSize size(32, 1000);
  size.start_at(1, 0);
  std::vector<int> calls_between;
  for (int calls = 0; calls_between.size() < 4;) {
    ++calls;
    if (size.texts() > 1) {
      CHECK(size.too_much(texts_of(2)));
      calls_between.push_back(calls);
      calls = 0;
    } else {
      (void)size.worked(texts_of(1));
    }
  }
  CHECK(calls_between == std::vector{9, 17, 33, 65});
}

TEST_CASE(
    "a provider that refuses every text is stopped until a call succeeds; whoever hears of it later is told to wait") {
  core::ProviderGate gate({.calls = 3});
  const MonoTime start{};
  CHECK_FALSE(gate.stopped());
  CHECK(gate.refused(start, 0.5, "the budget is spent"));
  CHECK(gate.stopped());
  CHECK(gate.reason() == "the budget is spent");
  CHECK_FALSE(gate.may_call(start, 0));
  CHECK_FALSE(gate.refused(start, 0.5, "the budget is spent"));  // a call that was sent before
  gate.answered(start);                                          // likewise
  CHECK(gate.stopped());
  const MonoTime probe = start + seconds(5);
  CHECK(gate.may_call(probe, 0));
  CHECK_FALSE(gate.refused(probe, 0.5, "the budget is spent"));
  CHECK(gate.paused_until() == probe + seconds(10));
  gate.answered(probe + seconds(10));
  CHECK_FALSE(gate.stopped());
  CHECK(gate.refused(probe + seconds(11), 0.5, "no key"));
}

TEST_CASE("of several jobs one fails when the provider refuses every text, and the others wait for it") {
  WorkerScene scene;
  scene.options.slots = 3;
  bool refuses = true;
  scene.embedder->on_call = [&](Texts, const CallContext&) {
    return refuses ? Status(Code::kFailed, "501 not implemented") : Status();
  };
  const auto failed = [&] {
    std::size_t count = 0;
    for (const char* const name : {"a", "b", "c", "d"}) {
      count += scene.job({"catalog", name}).status == JobStatus::kFailed ? 1U : 0U;
    }
    return count;
  };
  for (const char* const name : {"a", "b", "c", "d"}) {
    scene.put(lines(3, name), {"catalog", name});
  }
  scene.start();
  CHECK(failed() == 1);
  CHECK(scene.provider().stopped);
  CHECK(contains(scene.provider().pause_reason, "501 not implemented"));
  scene.runtime.run_for(hours(2));
  CHECK(failed() == 1);
  CHECK(scene.embedder->calls.size() < 20);
  scene.start_anew();  // another process
  scene.runtime.run_for(minutes(20));
  CHECK(failed() == 1);
  refuses = false;
  scene.runtime.run_for(hours(2));
  CHECK(failed() == 1);
  CHECK_FALSE(scene.provider().stopped);
  CHECK(scene.events_of(EventKind::kJobSucceeded).size() == 3);
}

TEST_CASE("a batch of few large texts that is too much halves the bytes, not the count") {
  core::BatchSize size(32, 1 << 20);
  CHECK(size.too_much(texts_of(10, 200'000)));
  CHECK(size.texts() == 32);
  CHECK(size.bytes() == 100'000);
  CHECK(size.learned_bytes() == 100'000);
  CHECK_FALSE(size.too_much(texts_of(10, 200'000)));  // sent before the cut
  for (int i = 0; i < 7; ++i) {
    CHECK_FALSE(size.worked({.texts = 5, .bytes = 90'000, .full_by_bytes = true}));
  }
  CHECK(size.worked({.texts = 5, .bytes = 90'000, .full_by_bytes = true}));
  CHECK(size.bytes() == 125'000);
}

TEST_CASE("a text that is too much alone says nothing of batches") {
  core::BatchSize size(32, 1 << 20);
  CHECK_FALSE(size.too_much(texts_of(1, 500'000)));
  CHECK(size.texts() == 32);
  CHECK(size.bytes() == 1 << 20);
}

TEST_CASE("a batch size starts where an earlier process left it, within today's options") {
  core::BatchSize size(8, 1000);
  size.start_at(4, 0);
  CHECK(size.texts() == 4);
  CHECK(size.bytes() == 1000);
  size.start_at(16, 5000);
  CHECK(size.texts() == 8);
  CHECK(size.bytes() == 1000);
}

TEST_CASE("after a pause one call probes; pauses in a row get longer; an answer sent before the pause ends nothing") {
  core::ProviderGate gate({.calls = 3});
  MonoTime now{hours(1)};
  gate.call_began();
  gate.call_began();
  gate.call_ended();
  gate.pause(now, seconds(20), 0, "429");
  CHECK_FALSE(gate.may_call(now, 0));
  gate.call_ended();
  gate.answered(now);  // it was sent before
  CHECK(gate.closed(now));
  now += seconds(20);
  CHECK(gate.may_call(now, 0));
  CHECK_FALSE(gate.may_call(now, 1));
  gate.call_began();
  CHECK_FALSE(gate.may_call(now, 0));
  gate.call_ended();
  gate.pause(now, Duration(0), 0.5, "429");
  const Duration first = gate.paused_until() - now;
  now = gate.paused_until();
  gate.pause(now, Duration(0), 0.5, "429");
  CHECK(gate.paused_until() - now > first);
  now = gate.paused_until();
  gate.answered(now);
  CHECK_FALSE(gate.closed(now));
  CHECK(gate.may_call(now, 2));
  CHECK_FALSE(gate.may_call(now, 3));
}

TEST_CASE("a pause is at most an hour, whatever the provider says") {
  core::ProviderGate gate({.calls = 1});
  const MonoTime now{hours(1)};
  gate.pause(now, hours(1000), 0, "429");
  CHECK(gate.paused_until() == now + hours(1));
}

TEST_CASE("a plan links operations with equal texts in operation order") {
  OperationList operations;
  for (const auto& [id, text] :
       {std::pair("z", "same"), std::pair("a", "other"), std::pair("m", "same"), std::pair("b", "same")}) {
    operations.add(id, text);
  }
  const core::Plan plan(std::move(operations));
  CHECK(plan.is_first_of_text(0));
  CHECK(plan.is_first_of_text(1));
  CHECK_FALSE(plan.is_first_of_text(2));
  CHECK(plan.next_of_text(0) == 2);
  CHECK(plan.next_of_text(2) == 3);
  CHECK(plan.next_of_text(3) == core::Plan::kNone);
  CHECK(plan.count_of_text(0) == 3);
  CHECK(plan.find(hash_text("same")) == 0U);
  CHECK_FALSE(plan.find(hash_text("nowhere")));
}

TEST_CASE("a timeout halves the batch for all that follows, and it grows back") {
  WorkerScene scene;
  scene.options.batch_size = 8;
  scene.answer_next({Status(Code::kTimeout, "timeout")});
  scene.put(lines(200));
  scene.start();
  std::vector<std::int64_t> sizes;
  for (const Event& event : scene.events_of(EventKind::kBatchResized)) {
    sizes.push_back(event.count);
  }
  CHECK(sizes == std::vector<std::int64_t>{4, 5, 6, 7, 8});
  CHECK(scene.embedder->calls[1].size() == 4);
  CHECK(scene.job().status == JobStatus::kSucceeded);
  CHECK(scene.job().attempts == 1);
  CHECK(scene.rows().size() == 200);
}

TEST_CASE("the batch that a provider takes is kept for the next job") {
  WorkerScene scene;
  scene.options.batch_size = 8;
  scene.embedder->on_call = [](Texts texts, const CallContext&) {
    return texts.size() > 2 ? Status(Code::kTimeout, "slow") : Status();
  };
  scene.put(lines(8, "a"), {"catalog", "a"});
  scene.start();
  const std::size_t calls = scene.embedder->calls.size();
  scene.put(lines(4, "b"), {"catalog", "b"});
  scene.runtime.settle();
  CHECK(scene.embedder->calls.size() == calls + 2);
  CHECK(scene.worker->metrics().batch_size == 2);
}

TEST_CASE("a timeout of a single text is an error like any other") {
  WorkerScene scene;
  scene.embedder->on_call = [](Texts, const CallContext&) { return Status(Code::kTimeout, "slow"); };
  scene.put(lines(4));
  scene.start();
  CHECK(scene.job().status == JobStatus::kPending);
  CHECK(contains(scene.job().last_error, "(op0): slow"));
}

TEST_CASE("a poisoned input is isolated and named; the rest is stored") {
  WorkerScene scene;
  scene.options.batch_size = 8;
  scene.embedder->on_call = [](Texts texts, const CallContext&) {
    return any_contains(texts, "op5") ? Status(Code::kInputRejected, "400 bad input") : Status();
  };
  scene.put(lines(10));
  scene.start();
  CHECK(scene.job().status == JobStatus::kFailed);
  CHECK(scene.job().last_error == "1 of 10 operations can't be embedded: op5 (400 bad input)");
  CHECK(scene.rows().size() == 9);
}

TEST_CASE("an input that is too large is cut on a code point, and marked; no other one is") {
  WorkerScene scene;
  scene.embedder->on_call = [](Texts texts, const CallContext&) {
    const bool large = std::any_of(texts.begin(), texts.end(), [](std::string_view text) { return text.size() > 300; });
    return large ? Status(Code::kInputTooLarge, "context length") : Status();
  };
  std::string text = "x";
  for (int i = 0; i < 500; ++i) {
    text += "\u00e9";
  }
  scene.put(lines(3) + "z\t" + text + "\n");
  scene.start();
  CHECK(scene.job().status == JobStatus::kSucceeded);
  const auto rows = scene.rows();
  REQUIRE(rows.size() == 4);
  CHECK(rows[0].embedded_bytes == 0);
  CHECK(rows[3].embedded_bytes == 255);  // 256 would cut a code point in two
  CHECK(rows[3].text_hash == hash_text(text));
  CHECK(scene.embedder->times_sent(text.substr(0, 255)) == 1);
}

TEST_CASE("a text over the embedder's own cap is cut before it is sent, and marked") {
  WorkerScene scene(minutes(10), {.input_bytes = 10});
  scene.put("a\t0123456789abc\nb\tshort\n");
  scene.start();
  CHECK(scene.embedder->times_sent("0123456789") == 1);
  CHECK(scene.rows()[0].embedded_bytes == 10);
  CHECK(scene.rows()[1].embedded_bytes == 0);
}

TEST_CASE("an input that the model refuses even at 256 bytes is set aside and named") {
  WorkerScene scene;
  scene.embedder->on_call = [](Texts texts, const CallContext&) {
    return any_contains(texts, "xxx") ? Status(Code::kInputTooLarge, "context length") : Status();
  };
  scene.put(lines(3) + "z\t" + std::string(3000, 'x') + "\n");
  scene.start();
  CHECK(scene.job().status == JobStatus::kFailed);
  CHECK(contains(scene.job().last_error, "z (context length)"));
  CHECK(scene.rows().size() == 3);
}

TEST_CASE("vectors that are zero or not finite are refused, and their operations named") {
  for (const float bad : {0.0F, std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    WorkerScene scene;
    scene.embedder->spoil = [bad](Texts texts, Matrix& vectors) {
      for (std::size_t i = 0; i < texts.size(); ++i) {
        if (texts[i] == "text of op2") {
          std::fill(vectors.row(i).begin(), vectors.row(i).end(), bad);
        }
      }
    };
    scene.put(lines(5));
    scene.start();
    CHECK(scene.job().status == JobStatus::kFailed);
    CHECK(contains(scene.job().last_error, "op2 (the provider answered a vector that can't be stored"));
    CHECK(scene.rows().size() == 4);
  }
}

TEST_CASE("a pause of the provider that is shorter than a lease keeps the slot") {
  WorkerScene scene(minutes(10));
  scene.answer_next({Status::paused(seconds(20), "429")});
  scene.put(lines(3));
  scene.start();
  CHECK(scene.job().status == JobStatus::kRunning);
  scene.runtime.run_for(seconds(19));
  CHECK(scene.embedder->calls.size() == 1);
  scene.runtime.run_for(seconds(1));
  CHECK(scene.job().status == JobStatus::kSucceeded);
  CHECK(scene.job().attempts == 1);
  CHECK(scene.events_of(EventKind::kProviderPaused).size() == 1);
  CHECK(scene.events_of(EventKind::kProviderResumed).size() == 1);
}

TEST_CASE("a longer pause releases the job without costing an attempt, however often") {
  WorkerScene scene(seconds(1));
  scene.answer_next(std::vector<Status>(20, Status::paused(seconds(20), "429 slow down")));
  scene.put(lines(3));
  scene.start();
  CHECK(scene.job().status == JobStatus::kPending);
  CHECK(scene.job().attempts == 0);
  CHECK(contains(scene.job().last_error, "429 slow down"));
  scene.runtime.run_for(minutes(30));
  CHECK(scene.job().status == JobStatus::kSucceeded);
  CHECK(scene.job().attempts == 1);
}

TEST_CASE("a paused provider gets one probing call, and the calls sent before the pause do not end it") {
  WorkerScene scene(minutes(10), {.concurrent_calls = 4});
  scene.options.batch_size = 1;
  std::vector<std::int64_t> in_flight;
  scene.embedder->on_call = [&](Texts, const CallContext&) {
    in_flight.push_back(scene.worker->metrics().calls_in_flight);
    return scene.embedder->calls.size() == 1 ? Status::paused(seconds(20), "429") : Status();
  };
  scene.put(lines(12));
  scene.start();
  REQUIRE(in_flight.size() == 4);
  CHECK(in_flight.front() == 4);
  CHECK(scene.events_of(EventKind::kProviderResumed).empty());
  scene.runtime.run_for(seconds(20));
  CHECK(in_flight.at(4) == 1);
  CHECK(*std::max_element(in_flight.begin() + 5, in_flight.end()) == 4);
  CHECK(scene.events_of(EventKind::kProviderResumed).size() == 1);
  CHECK(scene.job().status == JobStatus::kSucceeded);
}

}  // namespace
}  // namespace embedjobs::test
