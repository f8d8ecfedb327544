// What is remembered of providers: batch sizes, pauses, tokens.
#include <limits>

#include "conformance/scene.hpp"

using namespace embedjobs;
using namespace embedjobs::test;

namespace {

const std::string kProvider = "http://localhost:11434 nomic";

ProviderState state_of(Scene& scene, const std::string& provider = kProvider) {
  return get(scene.store.provider_state(provider));
}

Lease run(Scene& scene, const SpecKey& key = kKey) {
  scene.enqueue(key);
  ClaimRequest request = scene.request();
  request.provider = kProvider;
  ClaimResult result = get(scene.store.claim(request));
  REQUIRE(result.leases.size() == 1);
  return result.leases[0];
}

void tell(Scene& scene, const Lease& lease, std::uint64_t tokens) {
  ok(scene.store.progress(ref(lease), {.operation_count = 9, .missing = 9, .prompt_tokens = tokens}));
}

}  // namespace

TEST_CASE("nothing is known of a provider at first, and it is in no list", "[providers]") {
  Scene scene;
  const ProviderState state = state_of(scene);
  CHECK(state.provider == kProvider);
  CHECK(state.batch_texts == 0);
  CHECK(state.tokens_total == 0);
  CHECK_FALSE(is_paused(state, state.read_at));
  CHECK(state.read_at == scene.clock->wall_now());
  CHECK(get(scene.store.providers()).empty());
}

TEST_CASE("a note changes what it names and leaves the rest", "[providers]") {
  Scene scene;
  ok(scene.store.note_provider(kProvider, {.space_id = kSpace.id(), .batch = ProviderNote::Batch{8, 4096}}));
  ok(scene.store.note_provider(kProvider, {.pause = ProviderNote::Pause{20s, "429 slow down"}}));
  ProviderState state = state_of(scene);
  CHECK(state.space_id == kSpace.id());
  CHECK(state.batch_texts == 8);
  CHECK(state.batch_bytes == 4096);
  CHECK(state.paused_until == scene.clock->wall_now() + 20s);
  CHECK(state.pause_reason == "429 slow down");
  ok(scene.store.note_provider(kProvider, {.batch = ProviderNote::Batch{0, 0}}));
  ok(scene.store.note_provider(kProvider, {.pause = ProviderNote::Pause{}}));
  state = state_of(scene);
  CHECK(state.space_id == kSpace.id());
  CHECK(state.batch_texts == 0);
  CHECK(state.batch_bytes == 0);
  CHECK(state.paused_until == WallTime{});
  CHECK(state.pause_reason.empty());
}

TEST_CASE("a length that passed, and that a provider refuses every text, are remembered until told otherwise",
          "[providers]") {
  Scene scene;
  CHECK(state_of(scene).input_bytes == 0);
  CHECK_FALSE(state_of(scene).stopped);
  ok(scene.store.note_provider(kProvider, {.input_bytes = 750}));
  ok(scene.store.note_provider(kProvider, {.pause = ProviderNote::Pause{20s, "no key", true}}));
  CHECK(state_of(scene).input_bytes == 750);
  CHECK(state_of(scene).stopped);
  CHECK(get(scene.store.providers()).front().stopped);
  scene.clock->advance(1min);
  CHECK(state_of(scene).stopped);  // the pause is over, and nobody has been answered
  ok(scene.store.note_provider(kProvider, {.batch = ProviderNote::Batch{4, 0}}));
  CHECK(state_of(scene).stopped);
  ok(scene.store.note_provider(kProvider, {.pause = ProviderNote::Pause{5s, "429"}}));
  CHECK_FALSE(state_of(scene).stopped);
  ok(scene.store.note_provider(kProvider, {.pause = ProviderNote::Pause{0s, "", true}}));
  CHECK_FALSE(state_of(scene).stopped);
  CHECK(state_of(scene).input_bytes == 750);
}

TEST_CASE("a pause ends by itself, and one from a clock that was set back is none", "[providers]") {
  Scene scene;
  ok(scene.store.note_provider(kProvider, {.pause = ProviderNote::Pause{20s, "429"}}));
  const auto paused = [&] {
    const ProviderState state = state_of(scene);
    return is_paused(state, state.read_at);
  };
  CHECK(paused());
  scene.clock->advance(20s);
  CHECK_FALSE(paused());
  scene.clock->set_wall_clock(-48h);
  CHECK_FALSE(paused());
}

TEST_CASE("a pause is a day at most, and its reason one bounded line", "[providers]") {
  Scene scene;
  ok(scene.store.note_provider(
      kProvider, {.pause = ProviderNote::Pause{100h, "two\nlines \x1b[31m" + std::string(100'000, 'x')}}));
  const ProviderState state = state_of(scene);
  CHECK(state.paused_until == scene.clock->wall_now() + 24h);
  CHECK(state.pause_reason.starts_with("two lines  [31m"));
  CHECK(state.pause_reason.size() <= 1000);
}

TEST_CASE("providers are listed by name; one does not touch another", "[providers]") {
  Scene scene;
  ok(scene.store.note_provider("b", {.batch = ProviderNote::Batch{2, 0}}));
  ok(scene.store.note_provider("a", {.batch = ProviderNote::Batch{1, 0}}));
  ok(scene.store.note_provider("b", {.batch = ProviderNote::Batch{3, 0}}));
  const std::vector<ProviderState> states = get(scene.store.providers());
  REQUIRE(states.size() == 2);
  CHECK(states[0].provider == "a");
  CHECK(states[0].batch_texts == 1);
  CHECK(states[1].provider == "b");
  CHECK(states[1].batch_texts == 3);
}

TEST_CASE("names that are none are refused", "[providers]") {
  Scene scene;
  for (const std::string& name :
       {std::string(), std::string(600, 'x'), std::string("line\nbreak"), std::string("\xff")}) {
    CHECK(scene.store.note_provider(name, {}).code() == Code::kInvalidArgument);
  }
  CHECK(scene.store.note_provider("p", {.space_id = "no space"}).code() == Code::kInvalidArgument);
  ClaimRequest request = scene.request();
  request.provider = "line\nbreak";
  CHECK(scene.store.claim(request).status().code() == Code::kInvalidArgument);
}

TEST_CASE("tokens of a pass are counted for its job and its provider, each once, whichever write tells them how often",
          "[providers][catalog]") {
  Scene scene;
  const Lease lease = run(scene);
  CHECK(lease.job.provider == kProvider);
  tell(scene, lease, 100);
  tell(scene, lease, 100);  // its answer was lost
  tell(scene, lease, 70);   // overtaken
  PassContext context = scene.context(lease);
  context.prompt_tokens = 130;
  const Rows rows({{"a", "1"}}, kSpace);
  ok(scene.catalog.persist_batch(context, rows.all()));
  ok(scene.catalog.persist_batch(context, rows.all()));
  CHECK(scene.job(lease.job.id).prompt_tokens == 130);
  CHECK(state_of(scene).tokens_total == 130);
  const Outcome outcome{.kind = OutcomeKind::kRelease,
                        .progress = Progress{.operation_count = 9, .missing = 9, .prompt_tokens = 150}};
  scene.settle(lease, outcome);
  scene.settle(lease, outcome);
  CHECK(scene.job(lease.job.id).prompt_tokens == 150);
  CHECK(state_of(scene).tokens_total == 150);
  CHECK(state_of(scene).tokens_today == 150);
}

TEST_CASE("the next pass counts from zero, and its tokens are added; so are those of other jobs", "[providers]") {
  Scene scene;
  Lease lease = run(scene);
  tell(scene, lease, 100);
  scene.settle(lease, {.kind = OutcomeKind::kRetry, .error = "boom"});
  scene.clock->advance(10min);
  lease = run(scene);  // an edit: fresh budgets, the same job
  tell(scene, lease, 30);
  const Job job = scene.job(lease.job.id);
  CHECK(job.prompt_tokens == 130);
  CHECK(scene.state(lease.job.id).pass_prompt_tokens == 30);
  const Lease other = run(scene, kOtherKey);
  tell(scene, other, 7);
  CHECK(scene.job(other.job.id).prompt_tokens == 7);
  CHECK(state_of(scene).tokens_total == 137);
}

TEST_CASE("a stale holder's tokens are not counted", "[providers][catalog]") {
  Scene scene;
  const Lease lease = run(scene);
  ok(scene.store.remove_key(kKey));
  lost(scene.store.progress(ref(lease), {.prompt_tokens = 100}));
  PassContext context = scene.context(lease);
  context.prompt_tokens = 100;
  lost(scene.catalog.persist_batch(context, Rows({{"a", "1"}}, kSpace).all()));
  CHECK(state_of(scene).tokens_total == 0);
}

TEST_CASE("a batch that is refused counts no tokens; a pass without a provider's name counts for its job alone",
          "[providers][catalog]") {
  Scene scene;
  const Lease lease = scene.run();
  PassContext context = scene.context(lease);
  context.prompt_tokens = 100;
  Rows rows({{"a", "1"}}, kSpace);
  const std::vector<float> zero(kSpace.dimension);
  rows.edit()[0].vector = zero;
  CHECK_FALSE(scene.catalog.persist_batch(context, rows.all()).ok());
  CHECK(scene.job(lease.job.id).prompt_tokens == 0);
  ok(scene.catalog.persist_batch(context, Rows({{"a", "1"}}, kSpace).all()));
  CHECK(scene.job(lease.job.id).prompt_tokens == 100);
  CHECK(get(scene.store.providers()).empty());
}

TEST_CASE("tokens of today are those of the UTC day", "[providers]") {
  Scene scene;
  const Lease lease = run(scene);
  tell(scene, lease, 100);
  scene.clock->advance(24h);
  CHECK(state_of(scene).tokens_today == 0);
  CHECK(state_of(scene).tokens_total == 100);
  const Lease next = run(scene, kOtherKey);
  tell(scene, next, 5);
  CHECK(state_of(scene).tokens_today == 5);
  CHECK(state_of(scene).tokens_total == 105);
}

TEST_CASE("a provider that claims absurd numbers of tokens overflows nothing", "[providers]") {
  Scene scene;
  const auto most = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  Lease lease = run(scene);
  tell(scene, lease, ~std::uint64_t{0});
  scene.settle(lease, {.kind = OutcomeKind::kRelease, .error = "stop"});
  lease = run(scene);
  tell(scene, lease, ~std::uint64_t{0});
  CHECK(scene.job(lease.job.id).prompt_tokens == most);
  CHECK(state_of(scene).tokens_total == most);
  CHECK(state_of(scene).tokens_today == most);
}

TEST_CASE("what is remembered of a provider outlives the process", "[providers][durable]") {
  Scene scene;
  const Lease lease = run(scene);
  tell(scene, lease, 100);
  ok(scene.store.note_provider(kProvider, {.batch = ProviderNote::Batch{4, 0}}));
  const Backend again = scene.database->open({.lease_duration = kLease}, scene.clock);
  const ProviderState state = get(again.store->provider_state(kProvider));
  CHECK(state.batch_texts == 4);
  CHECK(state.tokens_today == 100);
  CHECK(get(again.store->get(lease.job.id)).provider == kProvider);
}
