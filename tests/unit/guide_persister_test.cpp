// The persister of docs/embedding-guide.md, as it stands there, against holders that are stale.
#include <catch2/catch.hpp>

#include <array>

#define main guide_main
#include "../../examples/guide_host.cpp"
#undef main

using namespace embedjobs;

namespace {

PassContext pass_of(Fence fence) {
  PassContext context;
  context.key = {"shop", "api"};
  context.fence = fence;
  context.space.model = "m";
  context.space.dimension = 1;
  return context;
}

std::array<VectorRow, 1> one_row(std::string_view text, std::span<const float> vector) {
  return {VectorRow{.operation_id = "op", .text_hash = hash_text(text), .vector = vector}};
}

Manifest one_operation(std::string_view text) {
  Manifest manifest;
  manifest.add("op", hash_text(text));
  return manifest;
}

}  // namespace

TEST_CASE("the guide's persister refuses a stale fence in every call, and changes nothing") {
  const Fence stale = GENERATE(Fence{1, 9}, Fence{2, 6});
  const std::vector<float> vector{1};
  Tables tables;
  Vectors persister(tables);
  REQUIRE(persister.persist_batch(pass_of({2, 5}), one_row("kept", vector)).ok());

  CHECK(persister.list_existing(pass_of(stale), one_operation("kept")).status().code() == Code::kLeaseLost);
  CHECK(persister.persist_batch(pass_of(stale), one_row("other", vector)).code() == Code::kLeaseLost);
  CHECK(persister.finalize(pass_of(stale), Manifest()).code() == Code::kLeaseLost);

  const Tables::Spec& spec = tables.specs.at({"shop", "api"});
  CHECK(spec.fence == Fence{2, 5});
  REQUIRE(spec.rows.size() == 1);
  CHECK(spec.rows.at({pass_of({2, 5}).space.id(), "op"}).text_hash == hash_text("kept"));
  CHECK_FALSE(spec.state.complete);
}

TEST_CASE("the guide's persister accepts the next holder, and the same one again") {
  const std::vector<float> vector{1};
  Tables tables;
  Vectors persister(tables);
  for (const Fence fence : {Fence{1, 9}, Fence{1, 9}, Fence{2, 5}}) {
    CHECK(persister.persist_batch(pass_of(fence), one_row("text", vector)).ok());
  }
  CHECK(tables.specs.at({"shop", "api"}).fence == Fence{2, 5});
}

TEST_CASE(
    "the guide's persister reuses no vector that is older than a manual retry, nor a cut text under a higher cap") {
  const std::vector<float> vector{1};
  Tables tables;
  Vectors persister(tables);
  PassContext pass = pass_of({1, 9});
  pass.epoch = 3;
  pass.input_cap = 10;
  auto rows = one_row("text", vector);
  rows[0].embedded_bytes = 9;
  rows[0].input_cap = 10;
  REQUIRE(persister.persist_batch(pass, rows).ok());
  const auto reused = [&]() -> bool { return persister.list_existing(pass, one_operation("text"))->front(); };
  CHECK(reused());
  pass.input_cap = 20;
  CHECK_FALSE(reused());
  pass.input_cap = 10;
  pass.reuse_floor = 4;
  CHECK_FALSE(reused());
}
