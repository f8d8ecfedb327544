// The two rules that a host's persister asks: may this holder write, may this vector be reused.
#include "capi/scene.hpp"

using namespace capi_test;

namespace {

bool accepts(embedjobs_fence stored, embedjobs_fence given) {
  return embedjobs_accepts(&stored, &given) == 1;
}

bool may_reuse(std::uint64_t reuse_floor, std::uint64_t input_cap, std::uint64_t epoch, std::uint64_t embedded_bytes,
               std::uint64_t row_cap) {
  auto pass = sized<embedjobs_pass>();
  pass.reuse_floor = reuse_floor;
  pass.input_cap = input_cap;
  auto row = sized<embedjobs_vector_mark>();
  row.epoch = epoch;
  row.embedded_bytes = embedded_bytes;
  row.input_cap = row_cap;
  return embedjobs_may_reuse(&pass, &row) == 1;
}

/// One row of "op" on its way to the persister.
struct OneRow {
  const std::uint64_t offsets[2] = {0, 2};
  std::uint8_t hash[EMBEDJOBS_HASH_SIZE] = {};
  const float vector[1] = {1};
  const std::uint64_t whole[1] = {0};
  embedjobs_rows rows = sized<embedjobs_rows>();
  explicit OneRow(std::uint8_t first_of_hash) {
    hash[0] = first_of_hash;
    rows.count = 1;
    rows.dimension = 1;
    rows.ids = "op";
    rows.id_offsets = offsets;
    rows.hashes = hash;
    rows.vectors = vector;
    rows.embedded_bytes = whole;
    rows.input_caps = whole;
  }
};

embedjobs_pass pass_of(embedjobs_fence fence) {
  auto pass = sized<embedjobs_pass>();
  pass.catalog_id = "catalog";
  pass.spec_name = "spec";
  pass.space_id = "1/m";
  pass.splitter_version = "1";
  pass.content_version = "1";
  pass.fence = fence;
  return pass;
}

}  // namespace

TEST_CASE("a higher counter is accepted, and the same holder again, and nobody else") {
  CHECK(accepts({0, 0}, {1, 7}));
  CHECK(accepts({1, 7}, {2, 3}));
  CHECK(accepts({2, 3}, {2, 3}));
  CHECK_FALSE(accepts({2, 3}, {1, 7}));  // stale
  CHECK_FALSE(accepts({2, 3}, {2, 4}));  // the same counter, given twice by a database that failed over
  CHECK_FALSE(accepts({0, 0}, {0, 0}));  // no fence at all
  CHECK_FALSE(accepts({1, 7}, {2, 0}));
  const embedjobs_fence fence{1, 7};
  CHECK(embedjobs_accepts(nullptr, &fence) == 0);
  CHECK(embedjobs_accepts(&fence, nullptr) == 0);
}

TEST_CASE("a stored vector is reused unless it is too old or its text may be longer now") {
  CHECK(may_reuse(0, 0, 0, 0, 0));
  CHECK(may_reuse(0, 100, 0, 0, 0));  // the whole text, whatever the cap is
  CHECK(may_reuse(3, 0, 3, 0, 0));
  CHECK_FALSE(may_reuse(3, 0, 2, 0, 0));       // somebody asked for fresh ones since
  CHECK(may_reuse(0, 100, 0, 99, 100));        // cut under today's cap, between two code points
  CHECK(may_reuse(0, 50, 0, 99, 100));         // today's cap allows no more
  CHECK_FALSE(may_reuse(0, 200, 0, 99, 100));  // raised
  CHECK_FALSE(may_reuse(0, 0, 0, 99, 100));    // lifted
  CHECK_FALSE(may_reuse(3, 100, 2, 99, 100));
}

TEST_CASE("what can't be read is not reused") {
  auto pass = sized<embedjobs_pass>();
  auto row = sized<embedjobs_vector_mark>();
  CHECK(embedjobs_may_reuse(&pass, &row) == 1);
  CHECK(embedjobs_may_reuse(nullptr, &row) == 0);
  CHECK(embedjobs_may_reuse(&pass, nullptr) == 0);
  row.struct_size = 0;
  CHECK(embedjobs_may_reuse(&pass, &row) == 0);
  row.struct_size = sizeof(row);
  pass.struct_size = 0;
  CHECK(embedjobs_may_reuse(&pass, &row) == 0);
}

TEST_CASE("a host's persister refuses a stale fence in every call, and changes nothing") {
  HostPersister persister;
  const embedjobs_pass current = pass_of({2, 5});
  const embedjobs_pass stale = GENERATE(pass_of({1, 9}), pass_of({2, 6}));
  const OneRow kept(1);
  const OneRow other(2);
  std::size_t done = 0;
  REQUIRE(HostPersister::persist_batch(&persister, nullptr, &current, &kept.rows, &done) == EMBEDJOBS_OK);
  const std::string before = persister.specs["spec"].rows["op"].hash;

  auto named = sized<embedjobs_operations>();
  std::uint8_t existing = 0;
  done = EMBEDJOBS_NOT_DONE;
  CHECK(HostPersister::list_existing(&persister, nullptr, &stale, &named, &existing, &done) == EMBEDJOBS_LEASE_LOST);
  CHECK(HostPersister::persist_batch(&persister, nullptr, &stale, &other.rows, &done) == EMBEDJOBS_LEASE_LOST);
  CHECK(HostPersister::finalize(&persister, nullptr, &stale, &named, &done) == EMBEDJOBS_LEASE_LOST);
  CHECK(done == EMBEDJOBS_NOT_DONE);
  CHECK(persister.stale == 3);
  CHECK(persister.specs["spec"].rows.size() == 1);
  CHECK(persister.specs["spec"].rows["op"].hash == before);
  CHECK(persister.specs["spec"].fence.counter == 2);
  CHECK(persister.specs["spec"].fence.nonce == 5);
}

TEST_CASE("a manual retry raises the epoch: a host that stores it embeds everything afresh, and once") {
  HostScene scene;
  std::atomic<int> failures = 1;
  scene.persister.first_finalize = [&](embedjobs_call* call) -> std::int32_t {
    if (scene.embedder.texts > 3 && failures-- > 0) {  // the retried pass ends, with its vectors stored
      embedjobs_call_set_error(call, "not now", 7);
      return EMBEDJOBS_FAILED;
    }
    return -1;
  };
  scene.open();
  scene.start();
  scene.observer.wait_for_first_round();
  scene.put(spec_with(3, "users"));
  scene.wait();
  const auto epoch = [&] {
    const std::lock_guard lock(scene.persister.mutex);
    return scene.persister.specs["spec"].rows.begin()->second.mark.epoch;
  };
  CHECK(epoch() == 0);
  scene.ok(embedjobs_engine_retry(scene.engine, "catalog", "spec", nullptr, scene.error.out()));
  scene.wait();
  CHECK(scene.job().status == EMBEDJOBS_JOB_FAILED);
  CHECK(scene.embedder.texts == 6);
  CHECK(epoch() == 1);
  // What the retry stored is reused: it is as new as the retry asked.
  scene.enqueue();
  scene.wait();
  CHECK(scene.job().status == EMBEDJOBS_JOB_SUCCEEDED);
  CHECK(scene.embedder.texts == 6);
}
