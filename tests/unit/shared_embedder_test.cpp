#include "core/engine/shared_embedder.hpp"

#include <catch2/catch.hpp>

#include <atomic>
#include <thread>

#include "embedjobs/embedder.hpp"
#include "support/provider.hpp"

using namespace embedjobs;
using namespace std::chrono_literals;

namespace {

const std::string_view kText = "text";

Code embed_one(Embedder& embedder, CallContext context = {}) {
  return embedder.embed(std::span(&kText, 1), context).status().code();
}

}  // namespace

TEST_CASE("callers together never exceed what the provider allows") {
  const auto provider = std::make_shared<test::Provider>(Space{"m", 4, ""}, EmbedderLimits{.concurrent_calls = 2});
  core::SharedEmbedder shared(provider);
  std::vector<std::jthread> threads;
  for (int i = 0; i < 6; ++i) {
    threads.emplace_back([&] {
      for (int j = 0; j < 50; ++j) {
        (void)embed_one(shared);
      }
    });
  }
  threads.clear();
  CHECK(provider->seen().calls == 300);
  CHECK(provider->seen().at_once <= 2);
}

TEST_CASE("a query gives up when its time is over, and its place is free again") {
  const auto provider = std::make_shared<test::Provider>();
  core::SharedEmbedder shared(provider);
  provider->hold();
  std::jthread document([&] { (void)embed_one(shared); });
  provider->wait_for_calls(1);
  CHECK(embed_one(shared, {.time_limit = 1ms, .purpose = Purpose::kQuery}) == Code::kTimeout);
  std::stop_source stop;
  stop.request_stop();
  CHECK(embed_one(shared, {.stop = stop.get_token()}) == Code::kCancelled);
  provider->release();
  CHECK(embed_one(shared) == Code::kOk);
}

TEST_CASE("a space is asked for until it is known, and then remembered") {
  const auto provider = std::make_shared<test::Provider>();
  core::SharedEmbedder shared(provider);
  provider->answer_with({Code::kRetry, "down"});
  CHECK(shared.space({}).status().code() == Code::kRetry);
  CHECK_FALSE(shared.known_space());
  provider->answer_with({});
  CHECK(shared.space({}).ok());
  provider->answer_with({Code::kRetry, "down"});
  CHECK(shared.space({})->id() == "4/test-model");
  CHECK(shared.known_space()->id() == "4/test-model");
}

TEST_CASE("a provider that is off, or has no valid space, is refused") {
  for (const Space& space : {Space{"noop", 4, ""}, Space{"none", 4, ""}, Space{"", 4, ""}, Space{"m", 0, ""}}) {
    core::SharedEmbedder shared(std::make_shared<test::Provider>(space));
    CHECK(shared.space({}).status().code() == Code::kInvalidArgument);
  }
}

namespace {

struct Throwing final : Embedder {
  Result<Space> space(const CallContext&) override { throw std::runtime_error("no space"); }
  Result<Embeddings> embed(std::span<const std::string_view>, const CallContext&) override {
    throw std::runtime_error("no vectors");
  }
  EmbedderLimits limits() const override { throw std::runtime_error("no limits"); }
};

}  // namespace

TEST_CASE("exceptions of the embedder become errors, and its place is free again") {
  core::SharedEmbedder shared(std::make_shared<Throwing>());
  CHECK(shared.limits().concurrent_calls == 1);
  CHECK(shared.space({}).status().message() == "the embedder threw: no space");
  CHECK(embed_one(shared) == Code::kInternal);
  CHECK(embed_one(shared) == Code::kInternal);
}
