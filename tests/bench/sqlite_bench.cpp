// What the SQLite backend costs over the bare database, and how it grows. Usage: sqlite_bench [FOLDER]
#include <fmt/format.h>
#include <sqlite3.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <vector>

#include "embedjobs/backend.hpp"
#include "embedjobs/jobs.hpp"
#include "embedjobs/manifest.hpp"
#include "embedjobs/persister.hpp"
#include "embedjobs/sqlite.hpp"
#include "embedjobs/sys/catalog.hpp"
#include "embedjobs/sys/runtime.hpp"
#include "embedjobs/sys/store.hpp"
#include "support/temp_folder.hpp"

using namespace embedjobs;

namespace {

const Space kSpace{"bench", 512, "v1"};
constexpr int kRows = 20'480;

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

template <typename T>
T must(Result<T> result) {
  if (!result.ok()) {
    fmt::print(stderr, "{}\n", result.status().to_string());
    std::exit(1);
  }
  return std::move(result).value();
}

void must(const Status& status) {
  if (!status.ok()) {
    fmt::print(stderr, "{}\n", status.to_string());
    std::exit(1);
  }
}

void must_sqlite(sqlite3* db, int code) {
  if (code != SQLITE_OK && code != SQLITE_DONE) {
    fmt::print(stderr, "{}\n", sqlite3_errmsg(db));
    std::exit(1);
  }
}

void execute(const std::string& path, const std::string& sql) {
  sqlite3* db = nullptr;
  must_sqlite(db, sqlite3_open(path.c_str(), &db));
  must_sqlite(db, sqlite3_exec(db, sql.c_str(), nullptr, nullptr, nullptr));
  sqlite3_close(db);
}

long peak_memory_kib() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss;
}

struct Data {
  std::vector<std::string> ids;
  std::vector<TextHash> hashes;
  std::vector<float> floats;

  explicit Data(int rows, bool with_vectors) {
    for (int i = 0; i < rows; ++i) {
      ids.push_back(fmt::format("GET /v1/things/{:06}", i));
      hashes.push_back(hash_text(ids.back()));
    }
    if (with_vectors) {
      floats.resize(static_cast<std::size_t>(rows) * kSpace.dimension);
      for (std::size_t i = 0; i < floats.size(); ++i) {
        floats[i] = static_cast<float>(i % 997 + 1);
      }
    }
  }
  [[nodiscard]] std::span<const float> vector(std::size_t row) const {
    return std::span(floats).subspan(row * kSpace.dimension, kSpace.dimension);
  }
};

struct Pass {
  Backend backend;
  PassContext context;

  explicit Pass(const std::string& path) : backend(must(open_sqlite(path, {}, system_clock()))) {
    const SpecKey key{"bench", "spec"};
    (void)must(backend.catalog->put(key, "content", kSpace.id()));
    const auto claimed = must(backend.store->claim({.worker_id = "bench", .nonce = 1, .space_id = kSpace.id()}));
    const Job& job = claimed.leases.at(0).job;
    context = {.key = key,
               .job_id = job.id,
               .fence = job.fence,
               .generation = job.generation,
               .space = kSpace,
               .epoch = claimed.leases[0].state.epoch,
               .content_version = "1",
               .splitter_version = "1"};
  }
};

double persist(const std::string& path, const Data& data, std::size_t chunk) {
  const Pass pass(path);
  const auto begin = Clock::now();
  std::vector<VectorRow> rows;
  for (std::size_t i = 0; i < data.ids.size(); i += chunk) {
    rows.clear();
    for (std::size_t row = i; row < std::min(i + chunk, data.ids.size()); ++row) {
      rows.push_back({.operation_id = data.ids[row], .text_hash = data.hashes[row], .vector = data.vector(row)});
    }
    must(pass.backend.catalog->persist_batch(pass.context, rows));
  }
  return seconds_since(begin);
}

/// The same rows into the same tables with the same transactions and settings, and nothing else.
double persist_bare(const std::string& path, const Data& data, std::size_t chunk) {
  { const Pass pass(path); }
  sqlite3* db = nullptr;
  must_sqlite(db, sqlite3_open(path.c_str(), &db));
  const auto run = [&](const char* sql) { must_sqlite(db, sqlite3_exec(db, sql, nullptr, nullptr, nullptr)); };
  run("PRAGMA journal_mode = TRUNCATE; PRAGMA synchronous = EXTRA; PRAGMA cache_size = -8000; PRAGMA cell_size_check = "
      "ON;"
      "PRAGMA foreign_keys = ON");
  const auto prepare = [&](const char* sql) {
    sqlite3_stmt* statement = nullptr;
    must_sqlite(db, sqlite3_prepare_v2(db, sql, -1, &statement, nullptr));
    return statement;
  };
  sqlite3_stmt* address = prepare("INSERT INTO vectors VALUES (1, ?, 1, 0, 0, 0, ?)");
  sqlite3_stmt* vector = prepare("INSERT INTO vector_data VALUES (?, ?)");
  sqlite3_stmt* operation = prepare("INSERT INTO operations VALUES (1, ?, ?)");
  const auto step = [&](sqlite3_stmt* statement) {
    must_sqlite(db, sqlite3_step(statement));
    sqlite3_reset(statement);
  };
  const auto begin = Clock::now();
  for (std::size_t i = 0; i < data.ids.size(); i += chunk) {
    run("BEGIN IMMEDIATE");
    for (std::size_t row = i; row < std::min(i + chunk, data.ids.size()); ++row) {
      const auto id = static_cast<std::int64_t>(row) + 1;
      sqlite3_bind_blob(address, 1, data.hashes[row].data(), 32, SQLITE_STATIC);
      sqlite3_bind_int64(address, 2, id);
      step(address);
      sqlite3_bind_int64(vector, 1, id);
      sqlite3_bind_blob(vector, 2, data.vector(row).data(), static_cast<int>(data.vector(row).size_bytes()),
                        SQLITE_STATIC);
      step(vector);
      sqlite3_bind_text(operation, 1, data.ids[row].data(), static_cast<int>(data.ids[row].size()), SQLITE_STATIC);
      sqlite3_bind_blob(operation, 2, data.hashes[row].data(), 32, SQLITE_STATIC);
      step(operation);
    }
    run("COMMIT");
  }
  const double taken = seconds_since(begin);
  for (sqlite3_stmt* statement : {address, vector, operation}) {
    sqlite3_finalize(statement);
  }
  sqlite3_close(db);
  return taken;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

/// Alternates, so that a busy machine slows both. What others have left to write is written first: it would be waited
/// for here.
void bench_persist(const test::TempFolder& folder) {
  const Data data(kRows, true);
  for (const std::size_t chunk : {std::size_t{32}, std::size_t{512}}) {
    std::vector<double> ours;
    std::vector<double> bare;
    for (int round = 0; round < 5; ++round) {
      for (const bool is_bare : {false, true}) {
        const std::string path = folder.file("persist.db");
        ::sync();
        (is_bare ? bare : ours).push_back(is_bare ? persist_bare(path, data, chunk) : persist(path, data, chunk));
        std::filesystem::remove(path);
      }
    }
    fmt::print(
        "persist {} rows of 512 floats by {}: {:.2f} s, bare inserts {:.2f} s: {:.0f} % of the bare speed (goal >= "
        "70)\n",
        kRows, chunk, median(ours), median(bare), 100 * median(bare) / median(ours));
  }
}

std::string with_finished_jobs(const test::TempFolder& folder, int finished) {
  const std::string path = folder.file(fmt::format("finished-{}.db", finished));
  const Backend backend = must(open_sqlite(path, {}, system_clock()));
  for (int i = 0; i < 300; ++i) {
    (void)must(backend.catalog->put({"bench", fmt::format("spec {}", i)}, "content", kSpace.id()));
  }
  execute(path,
          fmt::format("PRAGMA synchronous = OFF; PRAGMA cache_size = -200000;"
                      "INSERT INTO jobs (id, key_id, catalog_id, kind, status, priority, attempts, last_error, "
                      "next_run_at, worker_id, "
                      "lease_expires_at,"
                      " created_at, updated_at, started_at, completed_at, embedded_so_far, reused_count, "
                      "embedded_count, operation_count, generation,"
                      " fence_counter, fence_nonce, settled, epoch, errors_in_row, crashes_in_row, releases_in_row, "
                      "crashes, fewest_missing,"
                      " progressed, paused_since, records_in_flight, lease_boot_id, lease_boot_time, lease_holder, "
                      "provider, prompt_tokens,"
                      " pass_prompt_tokens) "
                      "SELECT NULL, 1 + n.value % 300, 1, 0, 2, 0, 1, '', n.value, '', 0, n.value, n.value, n.value,"
                      " n.value, 10, 0, 10, 10, 1, 1, 7, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, '', 0, '', '', 0, 0 "
                      "FROM (WITH RECURSIVE c(value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM c WHERE value < {}) "
                      "SELECT value FROM c) AS n",
                      finished));
  return path;
}

double claim_p50_ms(const Backend& backend, std::uint64_t& nonce, int claims) {
  std::vector<double> times;
  for (int i = 0; i < claims; ++i) {
    const auto begin = Clock::now();
    const auto claimed = must(backend.store->claim({.worker_id = "bench", .nonce = ++nonce, .space_id = kSpace.id()}));
    times.push_back(1000 * seconds_since(begin));
    const Lease& lease = claimed.leases.at(0);
    (void)must(backend.store->settle({lease.job.id, lease.job.key, lease.job.fence}, {}));
  }
  return median(times);
}

void bench_claim(const test::TempFolder& folder) {
  const Backend few = must(open_sqlite(with_finished_jobs(folder, 1'000), {}, system_clock()));
  const Backend many = must(open_sqlite(with_finished_jobs(folder, 1'000'000), {}, system_clock()));
  ::sync();  // the million rows, which the first claims would wait for
  std::uint64_t nonce = 100;
  std::vector<double> few_ms;
  std::vector<double> many_ms;
  for (int round = 0; round < 10; ++round) {
    few_ms.push_back(claim_p50_ms(few, nonce, 25));
    many_ms.push_back(claim_p50_ms(many, nonce, 25));
  }
  fmt::print("claim p50: {:.2f} ms with 1,000 finished jobs, {:.2f} ms with 1,000,000: {:.2f} x (goal <= 1.5)\n",
             median(few_ms), median(many_ms), median(many_ms) / median(few_ms));
  const auto begin = Clock::now();
  (void)must(many.store->counts());
  fmt::print("counts of 1,000,000 jobs: {:.2f} ms\n", 1000 * seconds_since(begin));
}

void bench_finalize(const test::TempFolder& folder) {
  constexpr int kOperations = 200'000;
  const std::string path = folder.file("finalize.db");
  const Pass pass(path);
  const Data data(kOperations, false);
  const std::vector<float> vector(kSpace.dimension, 1.0F);
  Manifest manifest;
  for (std::size_t i = 0; i < data.ids.size(); i += 1000) {
    std::vector<VectorRow> rows;
    for (std::size_t row = i; row < i + 1000; ++row) {
      manifest.add(data.ids[row], data.hashes[row]);
      rows.push_back({.operation_id = data.ids[row], .text_hash = data.hashes[row], .vector = vector});
    }
    must(pass.backend.catalog->persist_batch(pass.context, rows));
  }
  const auto timed = [&](const char* what) {
    const long before = peak_memory_kib();
    const auto begin = Clock::now();
    must(pass.backend.catalog->finalize(pass.context, manifest));
    fmt::print("{} finalize of {} operations: {:.2f} s, peak memory +{} KiB\n", what, kOperations, seconds_since(begin),
               peak_memory_kib() - before);
  };
  timed("first");
  execute(path,
          "CREATE TABLE written (what TEXT);"
          "CREATE TRIGGER t1 AFTER INSERT ON operations BEGIN INSERT INTO written VALUES ('operation'); END;"
          "CREATE TRIGGER t2 AFTER UPDATE ON operations BEGIN INSERT INTO written VALUES ('operation'); END;"
          "CREATE TRIGGER t3 AFTER INSERT ON vector_data BEGIN INSERT INTO written VALUES ('vector'); END;"
          "CREATE TRIGGER t4 AFTER UPDATE ON vector_data BEGIN INSERT INTO written VALUES ('vector'); END;"
          "CREATE TRIGGER t5 AFTER UPDATE ON manifests BEGIN INSERT INTO written VALUES ('manifest'); END");
  timed("unchanged");
  sqlite3* db = nullptr;
  must_sqlite(db, sqlite3_open(path.c_str(), &db));
  sqlite3_stmt* count = nullptr;
  must_sqlite(db, sqlite3_prepare_v2(db, "SELECT COUNT(*) FROM written", -1, &count, nullptr));
  sqlite3_step(count);
  fmt::print("rows written by the unchanged finalize: {} (goal 0)\n", sqlite3_column_int64(count, 0));
  sqlite3_finalize(count);
  sqlite3_close(db);
  const auto begin = Clock::now();
  (void)must(pass.backend.catalog->list_existing(pass.context, manifest));
  fmt::print("list_existing of {} texts: {:.2f} s\n", kOperations, seconds_since(begin));
}

}  // namespace

int main(int argc, char** argv) {
  const test::TempFolder folder(argc > 1 ? std::filesystem::path(argv[1]) : std::filesystem::current_path());
  bench_persist(folder);
  bench_claim(folder);
  bench_finalize(folder);
}
