// A commit whose answer is lost, and one that fails: at every commit of a spec's life, the same call sent again finds
// its own effect.
#include "conformance/scene.hpp"
#include "embedjobs/sqlite.hpp"
#include "support/raw_sqlite.hpp"
#include "support/temp_folder.hpp"

using namespace embedjobs;
using namespace embedjobs::test;

namespace {

/// Answers an error at one moment of all: before or after one of the commits.
struct OneFault {
  int at = -1;
  int moments = 0;
  bool happened = false;

  Status operator()() {
    happened = happened || moments == at;
    return moments++ == at ? Status(Code::kRetry, "the answer is lost") : Status();
  }
};

template <typename Call>
auto sent_again(const Call& call) {
  auto answer = call();
  return answer.ok() ? answer : call();
}

/// A life in every call that writes. Returns what a reader sees at its end.
std::string live(const std::string& path, OneFault& fault) {
  SqliteOptions options;
  options.commit_fault = [&fault](bool) { return fault(); };
  const Backend backend = get(open_sqlite(path, options, std::make_shared<ManualClock>()));
  Store& store = *backend.store;
  Catalog& catalog = *backend.catalog;
  Ops ops;
  for (int i = 0; i < 1500; ++i) {
    ops.push_back({"operation " + std::to_string(i), "text " + std::to_string(i)});
  }
  get(sent_again([&] { return catalog.put(kKey, "content", kSpace.id()); }));
  const ClaimRequest request{.worker_id = "w", .max_jobs = 2, .nonce = 77, .space_id = kSpace.id()};
  const ClaimResult claimed = get(sent_again([&] { return store.claim(request); }));
  REQUIRE(claimed.leases.size() == 1);
  const Lease lease = claimed.leases[0];
  PassContext context{.key = kKey,
                      .job_id = lease.job.id,
                      .fence = lease.job.fence,
                      .generation = lease.job.generation,
                      .space = kSpace,
                      .epoch = lease.state.epoch,
                      .content_version = "v",
                      .splitter_version = "s"};
  const auto must = [](const auto& call) { ok(sent_again(call)); };
  must([&] { return store.progress(ref(lease), {.operation_count = 1500, .missing = 1500}); });
  must([&] { return store.record_in_flight(ref(lease), std::vector{hash_text("text 1")}, {}); });
  must([&] { return catalog.persist_batch(context, Rows(ops, kSpace).all()); });
  CHECK(get(sent_again([&] { return store.renew(std::vector{ref(lease)}, 0s, 1s); })) == std::vector{true});
  for (Op& op : ops) {
    op.id = "renamed " + op.id;  // a difference that is built beside and flipped to
  }
  must([&] { return catalog.finalize(context, manifest_of(ops)); });
  ops.pop_back();
  must([&] { return catalog.finalize(context, manifest_of(ops)); });
  CHECK(get(sent_again([&] { return store.settle(ref(lease), {}); })) == JobStatus::kSucceeded);
  while (get(sent_again([&] { return catalog.sweep(0s, 1000); })) > 0) {
  }
  std::string seen_rows;
  get(catalog.rows(kKey, false, [&](const StoredRow& row) {
    seen_rows += row.operation_id + "\n";
    return true;
  }));
  const StoreCounts counts = get(store.counts());
  return seen_rows + std::to_string(counts.pending) + std::to_string(counts.running) + std::to_string(counts.succeeded);
}

}  // namespace

TEST_CASE("an answer lost at any commit changes nothing in the end") {
  const TempFolder folder("/dev/shm");
  OneFault none;
  const std::string expected = live(folder.file("reference.db"), none);
  REQUIRE(none.moments > 20);
  for (int at = 0; at < none.moments; ++at) {
    CAPTURE(at);
    OneFault fault{.at = at};
    const std::string path = folder.file(std::to_string(at) + ".db");
    CHECK((live(path, fault) == expected));
    CHECK(fault.happened);
    check_consistent(path);
  }
}

TEST_CASE(
    "a switch of the space that dies half-way leaves specs that show another space than the target, for the reconciler "
    "to find") {
  const TempFolder folder("/dev/shm");
  const std::string path = folder.file("x.db");
  OneFault fault;
  SqliteOptions options;
  options.commit_fault = [&fault](bool) { return fault(); };
  const Backend backend = get(open_sqlite(path, options, std::make_shared<ManualClock>()));
  constexpr int kSpecs = 150;
  for (int i = 0; i < kSpecs; ++i) {
    get(backend.catalog->put({"catalog", "spec " + std::to_string(i)}, "content", kSpace.id()));
  }
  const std::uint64_t before = get(backend.store->peek(kSpace.id())).enqueue_counter;
  fault.at = fault.moments + 2;  // before the second commit
  CHECK_FALSE(backend.catalog->switch_space("catalog", kNewSpace).ok());
  CHECK(fault.happened);
  const CatalogInfo info = get(backend.catalog->catalogs()).at(0);
  CHECK(info.target_space_id == kNewSpace.id());
  CHECK(info.specs_in_target == 0);
  const std::uint64_t enqueued = get(backend.store->peek(kSpace.id())).enqueue_counter - before;
  CHECK(enqueued > 0);
  CHECK(enqueued < kSpecs);
  CHECK(get(backend.store->claim({.worker_id = "old", .max_jobs = 10, .nonce = 1, .space_id = kSpace.id()}))
            .leases.empty());
  CHECK(get(backend.store->claim({.worker_id = "new", .max_jobs = 10, .nonce = 2, .space_id = kNewSpace.id()}))
            .leases.size() == 10);
  check_consistent(path);
}
