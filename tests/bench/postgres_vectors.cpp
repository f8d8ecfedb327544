// What it costs to persist chunks of vectors, against a bare binary COPY of the same rows, chunk by chunk in turns:
// into the table of vectors alone, and together with one into the table of operations, which a chunk writes as well.
// And the WAL of a pass in which nothing changed.
//
//   tests/support/pgvector_server.sh build/pgvector run build/bench/tests/bench/postgres_vectors_bench
//   [auto|real|vector|halfvec]
#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "embedjobs/backend.hpp"
#include "embedjobs/jobs.hpp"
#include "embedjobs/manifest.hpp"
#include "embedjobs/persister.hpp"
#include "embedjobs/postgres.hpp"
#include "embedjobs/sys/catalog.hpp"
#include "embedjobs/sys/runtime.hpp"
#include "embedjobs/sys/store.hpp"
#include "support/raw_postgres.hpp"

using namespace embedjobs;
using namespace embedjobs::test;

namespace {

const Space kSpace{"bench", 768, "v1"};
using Clock = std::chrono::steady_clock;

double millis_since(Clock::time_point begun) {
  return std::chrono::duration<double, std::milli>(Clock::now() - begun).count();
}

void must(const Status& status) {
  if (!status.ok()) {
    fmt::print(stderr, "{}\n", status.to_string());
    std::exit(1);
  }
}

template <typename T>
T must(Result<T> result) {
  must(result.status());
  return std::move(result).value();
}

/// What other work on the machine disturbs least.
double lower_quartile(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 4];
}

struct Chunk {
  std::vector<std::string> ids;
  std::vector<std::vector<float>> vectors;
  std::vector<VectorRow> rows;
};

Chunk chunk_of(std::size_t first, std::size_t size) {
  Chunk chunk;
  for (std::size_t i = 0; i < size; ++i) {
    chunk.ids.push_back(fmt::format("GET /v1/things/{:07}", first + i));
    std::vector<float> vector(kSpace.dimension);
    for (std::size_t j = 0; j < vector.size(); ++j) {
      vector[j] = static_cast<float>((first + i) * 31 % 1013 + j * 17 % 997) / 1024.0F + 0.01F;
    }
    chunk.vectors.push_back(std::move(vector));
  }
  for (std::size_t i = 0; i < size; ++i) {
    chunk.rows.push_back(
        {.operation_id = chunk.ids[i], .text_hash = hash_text(chunk.ids[i]), .vector = chunk.vectors[i]});
  }
  return chunk;
}

/// A claimed pass over a spec of its own.
struct Pass {
  Store& store;
  LeaseRef lease;
  PassContext context;

  Pass(Backend& backend, const std::string& spec, std::uint64_t nonce) : store(*backend.store) {
    const SpecKey key{"bench", spec};
    (void)must(backend.catalog->put(key, "content", kSpace.id()));
    begin(key, nonce);
  }
  void begin(const SpecKey& key, std::uint64_t nonce) {
    const auto claimed =
        must(store.claim({.worker_id = "bench", .max_jobs = 1, .nonce = nonce, .space_id = kSpace.id()}));
    const Job& job = claimed.leases.at(0).job;
    lease = {job.id, job.key, job.fence};
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

/// Binary COPY, as any program that has floats and hashes would write it at the least.
class BareCopy {
 public:
  BareCopy(const TempSchema& schema, std::string type) : schema_(schema.name()), type_(std::move(type)) {}

  void put_vectors(const Chunk& chunk, const std::string& table = "vectors") {
    begin_data();
    for (const VectorRow& row : chunk.rows) {
      put16(6);
      put_integer(-1);  // a space that is nobody's
      put_bytes({reinterpret_cast<const char*>(row.text_hash.data()), row.text_hash.size()});
      put_integer(1);
      put_integer(0);
      put_integer(0);
      put_vector(row.vector);
    }
    send(table.starts_with("pg_temp") ? table : schema_ + "." + table);
  }
  void put_both(const Chunk& chunk) {
    run("BEGIN");
    put_vectors(chunk);
    begin_data();
    for (const VectorRow& row : chunk.rows) {
      put16(3);
      put_integer(-1);  // a manifest that is nobody's
      put_bytes(row.operation_id);
      put_bytes({reinterpret_cast<const char*>(row.text_hash.data()), row.text_hash.size()});
    }
    send(schema_ + ".operations");
    run("COMMIT");
  }
  void put_merged(const Chunk& chunk) {
    run("CREATE TEMPORARY TABLE IF NOT EXISTS copied (LIKE " + schema_ + ".vectors) ON COMMIT DELETE ROWS");
    run("BEGIN");
    put_vectors(chunk, "pg_temp.copied");
    run("INSERT INTO " + schema_ + ".vectors SELECT * FROM copied ON CONFLICT DO NOTHING");
    run("INSERT INTO " + schema_ + ".operations SELECT -2, text_hash, text_hash FROM copied ON CONFLICT DO NOTHING");
    run("COMMIT");
  }

 private:
  void begin_data() { data_.assign("PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0", 19); }
  void put16(std::uint16_t value) {
    value = htons(value);
    data_.append(reinterpret_cast<const char*>(&value), sizeof value);
  }
  void put32(std::uint32_t value) {
    value = htonl(value);
    data_.append(reinterpret_cast<const char*>(&value), sizeof value);
  }
  void put_integer(std::int64_t value) {
    put32(8);
    put32(static_cast<std::uint32_t>(static_cast<std::uint64_t>(value) >> 32));
    put32(static_cast<std::uint32_t>(value));
  }
  void put_bytes(std::string_view bytes) {
    put32(static_cast<std::uint32_t>(bytes.size()));
    data_.append(bytes);
  }
  void put_vector(std::span<const float> vector) {
    const bool real = type_ == "ARRAY";
    put32(static_cast<std::uint32_t>(real ? 20 + vector.size() * 8 : 4 + vector.size() * 4));
    if (real) {
      for (const std::uint32_t value : {1U, 0U, 700U, static_cast<unsigned>(vector.size()), 1U}) {
        put32(value);
      }
    } else {
      put16(static_cast<std::uint16_t>(vector.size()));
      put16(0);
    }
    std::size_t at = data_.size();
    data_.resize(at + vector.size() * (real ? 8 : 4));
    for (const float element : vector) {
      if (real) {
        const std::uint32_t size = htonl(4);
        std::memcpy(&data_[at], &size, 4);
        at += 4;
      }
      const std::uint32_t bits = htonl(std::bit_cast<std::uint32_t>(element));
      std::memcpy(&data_[at], &bits, 4);
      at += 4;
    }
  }
  void run(const std::string& sql) {
    PGresult* result = PQexec(server_.handle(), sql.c_str());
    check(PQresultStatus(result) == PGRES_COMMAND_OK);
    PQclear(result);
  }
  void send(const std::string& table) {
    put16(0xffff);
    PGconn* connection = server_.handle();
    PQclear(PQexec(connection, ("COPY " + table + " FROM STDIN (FORMAT binary)").c_str()));
    check(PQputCopyData(connection, data_.data(), static_cast<int>(data_.size())) == 1 &&
          PQputCopyEnd(connection, nullptr) == 1);
    PGresult* result = PQgetResult(connection);
    check(PQresultStatus(result) == PGRES_COMMAND_OK);
    PQclear(result);
    PQclear(PQgetResult(connection));
  }
  void check(bool fine) {
    if (!fine) {
      fmt::print(stderr, "{}\n", PQerrorMessage(server_.handle()));
      std::exit(1);
    }
  }

  RawPostgres server_;
  std::string schema_;
  std::string type_;
  std::string data_;
};

std::string type_of(const TempSchema& schema) {
  return RawPostgres().ask(
      "SELECT CASE data_type WHEN 'ARRAY' THEN 'ARRAY' ELSE udt_name END FROM information_schema.columns WHERE "
      "table_schema = '" +
      schema.name() + "' AND table_name = 'vectors' AND column_name = 'vector'");
}

void measure_persist(const std::string& vectors, std::size_t size, std::size_t chunks) {
  TempSchema schema;
  Backend backend = must(open_postgres(schema.dsn("&poll_only=on&vectors=" + vectors), {}, nullptr));
  const std::string type = type_of(schema);
  if (type == "halfvec") {
    fmt::print("halfvec: no bare copy of its own\n");
    return;
  }
  Pass pass(backend, "spec", 1);
  BareCopy copy(schema, type);
  constexpr std::size_t kWarmUp = 3;
  std::array<std::vector<double>, 4> times;  // persist, the vectors' COPY, both COPYs, COPY and merge
  for (std::size_t i = 0; i < chunks + kWarmUp; ++i) {
    // Each goes first as often as the others.
    for (std::size_t turn = 0; turn < times.size(); ++turn) {
      const std::size_t which = (i + turn) % times.size();
      // Bare rows are of a space and a manifest of their own, and each chunk has texts of its own.
      const Chunk chunk = chunk_of((i * times.size() + which) * size, size);
      const auto begun = Clock::now();
      if (which == 0) {
        must(backend.catalog->persist_batch(pass.context, chunk.rows));
      } else if (which == 1) {
        copy.put_vectors(chunk);
      } else if (which == 2) {
        copy.put_both(chunk);
      } else {
        copy.put_merged(chunk);
      }
      if (i >= kWarmUp) {
        times[which].push_back(millis_since(begun));
      }
    }
  }
  const double persist = lower_quartile(times[0]);
  const double vectors_alone = lower_quartile(times[1]);
  const double both = lower_quartile(times[2]);
  const double merged = lower_quartile(times[3]);
  fmt::print(
      "{:<7} {:>3} rows x {}: persist {:.3f} ms a chunk; bare COPY of the vectors {:.3f} ms: {:.0f} %; of vectors and "
      "operations {:.3f} ms:"
      " {:.0f} %; COPY and merge {:.3f} ms: {:.0f} % (lower quartiles of {})\n",
      type == "ARRAY" ? "real[]" : type, size, kSpace.dimension, persist, vectors_alone, 100 * vectors_alone / persist,
      both, 100 * both / persist, merged, 100 * merged / persist, times[0].size());
}

void measure_unchanged(const std::string& vectors, std::size_t operations) {
  TempSchema schema;
  RawPostgres server;
  Backend backend = must(open_postgres(schema.dsn("&poll_only=on&vectors=" + vectors), {}, nullptr));
  Pass pass(backend, "spec", 1);
  Manifest manifest;
  for (std::size_t i = 0; i < operations; i += 500) {
    const Chunk chunk = chunk_of(i, std::min<std::size_t>(500, operations - i));
    must(backend.catalog->persist_batch(pass.context, chunk.rows));
    for (const VectorRow& row : chunk.rows) {
      manifest.add(row.operation_id, row.text_hash);
    }
  }
  must(backend.catalog->finalize(pass.context, manifest));
  (void)must(backend.store->settle(pass.lease, {}));
  const auto wal = [&] { return std::stoll(server.ask("SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint")); };
  const auto touched = [&] {
    return server.ask("SELECT string_agg(x, ',') FROM (SELECT max(xmin::text::bigint)::text AS x FROM " +
                      schema.name() + ".operations UNION ALL SELECT max(xmin::text::bigint)::text FROM " +
                      schema.name() + ".vectors) AS t");
  };
  const std::string before = touched();
  long long least = 1LL << 40;
  for (std::uint64_t i = 0; i < 5; ++i) {
    (void)must(backend.store->enqueue(pass.context.key, JobKind::kSpecWrite));
    const long long begun = wal();
    pass.begin(pass.context.key, 100 + i);
    (void)must(backend.catalog->list_existing(pass.context, manifest));
    must(backend.catalog->finalize(pass.context, manifest));
    (void)must(backend.store->settle(pass.lease, {}));
    least = std::min(least, wal() - begun);
  }
  fmt::print("unchanged pass over {} operations: {} WAL bytes, claim to outcome; rows {}\n", operations, least,
             touched() == before ? "untouched" : "TOUCHED");
}

}  // namespace

int main(int argc, char** argv) {
  const std::string vectors = argc > 1 ? argv[1] : "auto";
  measure_persist(vectors, 32, 200);
  measure_persist(vectors, 512, 24);
  if (vectors == "auto") {
    measure_persist("real", 32, 200);
    measure_persist("real", 512, 24);
  }
  measure_unchanged(vectors, 100);
  measure_unchanged(vectors, 20'000);
  return 0;
}
