#include <catch2/catch.hpp>

#include "embedjobs/embedder.hpp"
#include "embedjobs/engine.hpp"

using namespace embedjobs;
using namespace std::chrono_literals;
using Catch::Matchers::Contains;

namespace {

std::string space_of(std::string_view spec) {
  const Result<std::shared_ptr<Embedder>> embedder = make_embedder(spec);
  return embedder.ok() ? (*embedder)->space({})->id() : embedder.status().to_string();
}

}  // namespace

TEST_CASE("hashing has 512 dimensions unless the spec says another number") {
  CHECK(space_of("hashing") == "512/hashing?v1");
  CHECK(space_of("hashing:64") == "64/hashing?v1");
  CHECK(space_of("hashing:65536") == "65536/hashing?v1");
}

TEST_CASE("parameters do not change the space") {
  CHECK(space_of("hashing?delay=50ms") == "512/hashing?v1");
  CHECK(space_of("hashing:8?delay=0s&log=/dev/null") == "8/hashing?v1");
}

TEST_CASE("a delay makes calls slow") {
  const std::vector<std::string_view> texts{"text"};
  CHECK((*make_embedder("hashing?delay=1h"))->embed(texts, {.time_limit = 1ms}).status().code() == Code::kTimeout);
}

TEST_CASE("a malformed spec is refused with a line that says what is allowed") {
  for (const char* spec : {"", ":8", "hashing:", "hashing:0", "hashing:-1", "hashing:65537", "hashing:8x",
                           "hashing:99999999999999999999999", "hashing?x", "hashing?delay",
                           "hashing?delay=", "hashing?delay=5", "hashing?log=", "hashing?delay=1s&delay=2s",
                           "hashing?speed=1", "hash", "Hashing", "open:text-embedding-3-small"}) {
    const Status status = make_embedder(spec).status();
    INFO(spec);
    CHECK(status.code() == Code::kInvalidArgument);
    CHECK_THAT(status.message(), Contains("hashing[:DIM]"));
    CHECK(status.message().find('\n') == std::string::npos);
  }
}

TEST_CASE("a provider that is off is refused when it is wired") {
  CHECK(make_embedder("none").status().code() == Code::kInvalidArgument);
  CHECK_THAT(make_embedder("noop").status().message(), Contains("is off"));
}

TEST_CASE("a hashing space tells its embedder") {
  CHECK(*embedder_spec_for("512/hashing?v1") == "hashing:512");
  CHECK(space_of(*embedder_spec_for("33/hashing?v1")) == "33/hashing?v1");
}

TEST_CASE("other spaces do not") {
  CHECK(embedder_spec_for("768/nomic-embed-text").status().code() == Code::kNotFound);
  CHECK(embedder_spec_for("512/hashing?v2").status().code() == Code::kNotFound);
  CHECK(embedder_spec_for("hashing").status().code() == Code::kInvalidArgument);
}
