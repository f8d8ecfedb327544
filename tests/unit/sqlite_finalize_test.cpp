// What a finalize reads and writes, as the database sees it.
#include "conformance/scene.hpp"
#include "embedjobs/sqlite.hpp"
#include "support/raw_sqlite.hpp"
#include "support/temp_folder.hpp"

using namespace embedjobs;
using namespace embedjobs::test;

namespace {

/// A spec with 3,000 operations, and a log of every row that is written from then on.
struct Watched {
  TempFolder folder{"/dev/shm"};
  std::string path = folder.file("x.db");
  Backend backend = get(open_sqlite(path, {}, std::make_shared<ManualClock>()));
  Ops ops;
  PassContext context;

  Watched() {
    get(backend.catalog->put(kKey, "content", kSpace.id()));
    const Lease lease = get(backend.store->claim({.worker_id = "w", .nonce = 1, .space_id = kSpace.id()})).leases.at(0);
    context = {
        .key = kKey, .job_id = lease.job.id, .fence = lease.job.fence, .space = kSpace, .epoch = lease.state.epoch};
    context.content_version = "1";
    context.splitter_version = "1";
    for (int i = 0; i < 3000; ++i) {
      ops.push_back({"operation " + std::to_string(i), "text " + std::to_string(i)});
    }
    ok(backend.catalog->persist_batch(context, Rows(ops, kSpace).all()));
    finalize();
    raw_sql(path, "CREATE TABLE written (what TEXT)");
    for (const std::string table : {"operations", "vectors", "vector_data", "manifests"}) {
      for (const std::string event : {"INSERT", "UPDATE", "DELETE"}) {
        raw_sql(path, "CREATE TRIGGER on_" + table + event + " AFTER " + event + " ON " + table +
                          " BEGIN INSERT INTO written VALUES ('" + event + " " + table + "'); END");
      }
    }
  }
  void finalize() { ok(backend.catalog->finalize(context, manifest_of(ops))); }
  /// "COUNT EVENT TABLE" lines since the last call.
  std::vector<std::string> written() {
    return raw_sql(path,
                   "SELECT COUNT(*) || ' ' || what FROM written GROUP BY what ORDER BY what; DELETE FROM written");
  }
  Seen rows() {
    Seen seen_rows;
    get(backend.catalog->rows(kKey, false, [&](const StoredRow& row) {
      seen_rows.emplace_back(row.operation_id, to_hex(row.text_hash));
      return true;
    }));
    return seen_rows;
  }
};

}  // namespace

TEST_CASE("an unchanged manifest writes nothing") {
  Watched watched;
  watched.finalize();
  CHECK(watched.written().empty());
}

TEST_CASE("a small difference is written in place, and nothing else") {
  Watched watched;
  watched.ops[10].text = "text 11";
  watched.ops[20].id = "renamed";
  watched.ops.pop_back();
  watched.finalize();
  CHECK(watched.written() == std::vector<std::string>{"2 DELETE operations", "1 INSERT operations",
                                                      "1 UPDATE manifests", "1 UPDATE operations"});
  CHECK((watched.rows() == seen(watched.ops)));
}

TEST_CASE("a large difference becomes a new manifest, and writes no vector") {
  Watched watched;
  for (std::size_t i = 0; i < 1500; ++i) {
    watched.ops[i].id = "renamed " + std::to_string(i);
  }
  watched.finalize();
  CHECK(watched.written() ==
        std::vector<std::string>{"1 INSERT manifests", "3000 INSERT operations", "2 UPDATE manifests"});
  CHECK((watched.rows() == seen(watched.ops)));
  check_consistent(watched.path);
  while (get(watched.backend.catalog->sweep(1h, 1000)) > 0) {
  }
  CHECK(watched.written() == std::vector<std::string>{"1 DELETE manifests", "3000 DELETE operations"});
  CHECK((watched.rows() == seen(watched.ops)));
  check_consistent(watched.path);
}

TEST_CASE("asking what is stored, and finalizing, read no vector") {
  Watched watched;
  raw_sql(watched.path, "DELETE FROM vector_data");
  const auto existing = get(watched.backend.catalog->list_existing(watched.context, manifest_of(watched.ops)));
  CHECK(std::count(existing.begin(), existing.end(), true) == 3000);
  watched.ops.pop_back();
  watched.finalize();
  CHECK(watched.backend.catalog->describe(std::vector{kKey})->at(0).complete);
}
