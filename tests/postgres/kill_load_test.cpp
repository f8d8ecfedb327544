// Processes of the command on one queue, with a slow provider over HTTP. Random ones are killed all along; some
// documents are edited and one is removed meanwhile. Every row is right in the end, and nothing that was stored was
// embedded again.
#include <catch2/catch.hpp>

#include <cstdio>
#include <map>
#include <random>
#include <set>
#include <thread>

#include "embedjobs/engine.hpp"
#include "embedjobs/jobs.hpp"
#include "embedjobs/postgres.hpp"
#include "embedjobs/search.hpp"
#include "embedjobs/sys/store.hpp"
#include "embedjobs/worker.hpp"
#include "http/provider_server.hpp"
#include "postgres/command_process.hpp"
#include "support/raw_postgres.hpp"
#include "support/results.hpp"
#include "support/spec.hpp"
#include "support/wait_until.hpp"

using namespace embedjobs;
using namespace embedjobs::test;
using namespace std::chrono_literals;

namespace {

constexpr std::size_t kSpecs = 50;
constexpr std::size_t kShared = 3;  // operations that all documents but the last have in common

struct Load {
  int processes;
  std::size_t operations;  // a document
  std::chrono::milliseconds delay_per_text;
  std::chrono::milliseconds between_kills;
  std::size_t embedded_between_kills;  // so that each kill costs some work, and leaves some
};

std::string name_of(std::size_t spec) {
  return "spec-" + std::to_string(spec);
}

std::vector<std::string> split(const std::string& list) {
  std::vector<std::string> words;
  for (std::size_t begin = 0; begin < list.size();) {
    const std::size_t end = std::min(list.find(',', begin), list.size());
    words.push_back(list.substr(begin, end - begin));
    begin = end + 1;
  }
  return words;
}

/// What documents say, and what the stored rows must be.
class Documents {
 public:
  Documents(Engine& engine, std::size_t operations) : engine_(engine), versions_(kSpecs), operations_(operations) {
    for (std::size_t spec = 0; spec < kSpecs; ++spec) {
      put(spec);
    }
  }
  /// Every second operation gets another text.
  void edit(std::size_t spec) {
    ++versions_[spec];
    put(spec);
  }
  void remove(std::size_t spec) {
    ok(engine_.remove({"catalog", name_of(spec)}));
    removed_.insert(spec);
  }
  /// Each operation's vector is that of its current text, and there are no others.
  void check() {
    for (std::size_t spec = 0; spec < kSpecs; ++spec) {
      std::map<std::string, std::vector<float>> expected, stored;
      for (std::size_t i = 0; i < operations_ && removed_.count(spec) == 0; ++i) {
        expected["op-" + std::to_string(i)] = test::vector_of(summary(spec, i) + " /p" + std::to_string(i), 8);
      }
      const auto space = engine_.rows({"catalog", name_of(spec)}, true, [&](const StoredRow& row) {
        stored[row.operation_id].assign(row.vector.begin(), row.vector.end());
        return true;
      });
      INFO(name_of(spec));
      CHECK(space.ok() == (removed_.count(spec) == 0));
      CHECK((stored == expected));
    }
  }

 private:
  std::string summary(std::size_t spec, std::size_t i) const {
    if (i < kShared && spec + 1 < kSpecs) {
      return "shared number " + std::to_string(i);
    }
    const int version = i % 2 == 0 ? versions_[spec] : 0;
    return name_of(spec) + " version " + std::to_string(version) + " number " + std::to_string(i);
  }
  void put(std::size_t spec) {
    std::vector<std::string> summaries;
    for (std::size_t i = 0; i < operations_; ++i) {
      summaries.push_back(summary(spec, i));
    }
    test::get(engine_.put({"catalog", name_of(spec)}, spec_of(summaries)));
  }

  Engine& engine_;
  std::vector<int> versions_;
  std::size_t operations_;
  std::set<std::size_t> removed_;
};

/// The processes, and what was in the database when each of them began and after it died.
class Fleet {
 public:
  Fleet(std::string schema, std::string dsn, std::string embedder, int processes)
      : schema_(std::move(schema)), dsn_(std::move(dsn)), embedder_(std::move(embedder)) {
    for (int i = 0; i < processes; ++i) {
      workers_.emplace_back(start());
    }
  }
  /// Kills one and starts another. The leases of the dead are over at once: a test does not wait for the clock.
  void kill_one(std::size_t which) {
    Worker& victim = workers_[which % workers_.size()];
    const std::string pid = std::to_string(victim.process.pid());
    victim.process.kill();
    // What it had sent the server still does: a claim that commits later would keep its lease.
    wait_until([&] {
      return server_.ask("SELECT count(*) FROM pg_stat_activity WHERE application_name = '" + victim.name + "'") == "0";
    });
    ++moment_;
    for (const std::string& hash :
         split(server_.ask("SELECT string_agg(encode(text_hash, 'hex'), ',') FROM " + schema_ + ".vectors"))) {
      stored_at_.try_emplace(hash, moment_);
    }
    lives_[victim.name].died = moment_;
    server_.ask("UPDATE " + schema_ + ".leases SET lease_until = 0 WHERE job_id IN (SELECT id FROM " + schema_ +
                ".jobs WHERE worker_id LIKE '%-" + pid + "-%')");
    server_.ask("SELECT pg_notify('embedjobs_" + schema_ + "', '')");
    victim = start();
  }
  void end() { workers_.clear(); }

  /// Nothing is sent that was stored when its sender began; and a text is sent again only after a process that had sent
  /// it, and not stored it, was killed.
  void check(const Seen& seen) const {
    std::map<std::string, int> sent, lost;
    int stored_before = 0;
    for (const auto& [name, life] : lives_) {
      const auto texts = seen.texts_of_callers.find("Bearer " + name);
      for (const std::string& text :
           texts == seen.texts_of_callers.end() ? std::vector<std::string>() : texts->second) {
        const std::string hash = to_hex(hash_text(text));
        const auto stored = stored_at_.find(hash);
        const int at = stored == stored_at_.end() ? moment_ + 1 : stored->second;
        stored_before += at <= life.born ? 1 : 0;
        ++sent[hash];
        lost[hash] += life.died > 0 && at > life.died ? 1 : 0;
      }
    }
    int again = 0, unexplained = 0;
    for (const auto& [hash, times] : sent) {
      again += times - 1;
      unexplained += std::max(times - 1 - lost[hash], 0);
    }
    std::printf("%zu processes, %d kills: %zu texts embedded, %d of them again, which were in flight at a kill\n",
                lives_.size(), moment_, sent.size(), again);
    CHECK(stored_before == 0);
    CHECK(unexplained == 0);
  }

 private:
  struct Worker {
    std::string name;
    CommandProcess process;
  };
  struct Life {
    int born = 0;
    int died = 0;  // 0: it was not killed
  };

  Worker start() {
    const std::string name = "worker-" + std::to_string(lives_.size() + 1);
    lives_[name] = {.born = moment_};
    return {name, CommandProcess(work_words(dsn_ + "&application_name=" + name, embedder_,
                                            {"--batch-size", "8", "--provider-concurrency", "2", "--slots", "2"}),
                                 name)};
  }

  RawPostgres server_;
  std::string schema_, dsn_, embedder_;
  int moment_ = 0;  // counts kills
  std::map<std::string, Life> lives_;
  std::map<std::string, int> stored_at_;  // by hash: the first kill after which it was there
  std::vector<Worker> workers_;
};

/// Fences that were given, as the database itself saw them.
class FenceLog {
 public:
  explicit FenceLog(const std::string& schema) : schema_(schema) {
    server_.ask("CREATE TABLE " + schema + ".given_fences (key_id bigint, counter bigint)");
    server_.ask("CREATE FUNCTION " + schema +
                ".note_fence() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO " + schema +
                ".given_fences VALUES (NEW.id, NEW.fence_counter); RETURN NULL; END $$");
    server_.ask("CREATE TRIGGER note_fence AFTER UPDATE ON " + schema +
                ".keys FOR EACH ROW WHEN (NEW.fence_counter IS DISTINCT FROM OLD.fence_counter) EXECUTE FUNCTION " +
                schema + ".note_fence()");
  }
  void check() {
    CHECK(std::stoi(server_.ask("SELECT count(*) FROM " + schema_ + ".given_fences")) >= static_cast<int>(kSpecs));
    CHECK(server_.ask("SELECT count(*) - count(DISTINCT (key_id, counter)) FROM " + schema_ + ".given_fences") == "0");
  }

 private:
  RawPostgres server_;
  std::string schema_;
};

void run(const Load& load) {
  TempSchema schema;
  ProviderServer provider({.play = Play::kOpenAi, .delay_per_text = load.delay_per_text});
  const std::string embedder = "openai:test-model@" + provider.url() + "?dimension=8&concurrency=2";
  EngineOptions options;
  options.dsn = schema.dsn();
  options.embedder = embedder;
  const auto engine = test::get(Engine::open(options));
  FenceLog fences(schema.name());
  Documents documents(*engine, load.operations);
  Fleet fleet(schema.name(), schema.dsn(), embedder, load.processes);
  const std::uint64_t seed = std::random_device{}();
  std::mt19937_64 random(seed);
  INFO("seed " << seed);
  const auto open_jobs = [&] {
    const StoreCounts counts = test::get(engine->store().counts());
    return counts.pending + counts.running;
  };
  for (int round = 1; open_jobs() > 0; ++round) {
    const std::size_t before = provider.seen().texts;
    wait_until([&] { return open_jobs() == 0 || provider.seen().texts >= before + load.embedded_between_kills; });
    std::this_thread::sleep_for(load.between_kills / 2 +
                                load.between_kills * (random() % 100) / 100);  // any moment of a pass
    fleet.kill_one(random());
    if (round % 3 == 0 && round <= 15) {
      documents.edit(random() % (kSpecs - 1));
    }
    if (round == 2) {
      documents.remove(kSpecs - 1);
    }
  }
  fleet.end();
  documents.check();
  fleet.check(provider.seen());
  fences.check();
  const StoreCounts counts = test::get(engine->store().counts());
  CHECK(counts.failed == 0);
  CHECK(counts.cancelled <= 1);
  RawPostgres server;
  CHECK(server.ask("SELECT count(*) FROM " + schema.name() + ".leases") == "0");
  CHECK(server.ask("SELECT count(*) FROM " + schema.name() + ".in_flight") == "0");
  CHECK(server.ask("SELECT count(*) FROM " + schema.name() + ".reservations") == "0");
}

}  // namespace

TEST_CASE("two processes that are killed at random") {
  run({.processes = 2, .operations = 40, .delay_per_text = 8ms, .between_kills = 200ms, .embedded_between_kills = 100});
}

TEST_CASE("eight processes that are killed at random") {
  run({.processes = 8,
       .operations = 40,
       .delay_per_text = 25ms,
       .between_kills = 200ms,
       .embedded_between_kills = 100});
}

TEST_CASE("20,000 operations, two processes that are killed at random", "[.full]") {
  run({.processes = 2,
       .operations = 400,
       .delay_per_text = 10ms,
       .between_kills = 500ms,
       .embedded_between_kills = 150});
}

TEST_CASE("20,000 operations, eight processes that are killed at random", "[.full]") {
  run({.processes = 8,
       .operations = 400,
       .delay_per_text = 40ms,
       .between_kills = 300ms,
       .embedded_between_kills = 150});
}
