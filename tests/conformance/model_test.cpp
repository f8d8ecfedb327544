// Random sequences of calls against a backend and the model: every answer and, after each step, everything that can be
// seen must agree.
//
//   EMBEDJOBS_MODEL_SEQUENCES=N   how many sequences (default: what the backend asks for)
//   EMBEDJOBS_MODEL_SEED=S        only this one, and print its calls
#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>
#include <random>

#include "conformance/model_comparison.hpp"

using namespace embedjobs;
using namespace embedjobs::test;

namespace {

constexpr int kSteps = 80;
/// One sequence.
class Sequence : Comparison {
 public:
  Sequence(std::uint64_t seed, Extent extent)
      : Comparison(extent, {.lease_duration = kLease, .max_attempts = 3}, first_epoch()), random_(seed) {}

  void run() {
    for (int i = 0; i < kSteps; ++i) {
      step();
      compare();
    }
  }
  [[nodiscard]] const std::string& trace() const { return trace_; }

 private:
  /// Which number an epoch is says nothing; that manual retries raise it does.
  static std::uint64_t first_epoch() {
    static const std::uint64_t kEpoch = Scene().run().state.epoch;
    return kEpoch;
  }

  // Choices

  std::size_t below(std::size_t bound) { return static_cast<std::size_t>(random_() % bound); }
  bool chance(std::size_t percent) { return below(100) < percent; }
  template <typename T>
  const T& any(const std::vector<T>& of) {
    return of[below(of.size())];
  }
  /// Mostly the one that a catalog has as its target.
  Space any_space() {
    const auto catalog = model_.catalogs.find(any(kKeys).catalog_id);
    const bool chosen = catalog != model_.catalogs.end() && !catalog->second.target.empty();
    return chosen && chance(85) ? *parse_space(catalog->second.target) : any(kSpaces);
  }
  ModelOps any_ops(std::size_t least) {
    std::map<std::string, std::string> ops;
    const std::size_t count = least + below(4);
    while (ops.size() < count) {
      ops[std::string(1, static_cast<char>('a' + below(5)))] = any(kTexts);
    }
    return {ops.begin(), ops.end()};
  }
  std::set<std::string> any_texts() {
    std::set<std::string> texts;
    for (std::size_t i = below(3); i > 0; --i) {
      texts.insert(any(kTexts));
    }
    return texts;
  }
  template <typename... Args>
  void note(fmt::format_string<Args...> format, Args&&... args) {
    trace_ += fmt::format(format, std::forward<Args>(args)...) + "\n";
  }

  // Steps

  void step() {
    if (queue_only_) {
      step_of_queue();
      return;
    }
    const std::size_t choice = leases_.empty() ? below(45) : below(100);
    if (choice < 12) {
      enqueue();
    } else if (choice < 18) {
      put();
    } else if (choice < 22) {
      remove();
    } else if (choice < 34) {
      claim();
    } else if (choice < 42) {
      pass_time();
    } else if (choice < 44) {
      sweep_and_purge();
    } else if (choice < 45) {
      note_provider();
    } else if (choice < 50) {
      renew();
    } else if (choice < 56) {
      progress();
    } else if (choice < 62) {
      record_in_flight();
    } else if (choice < 72) {
      settle();
    } else if (choice < 84) {
      persist();
    } else if (choice < 97) {
      finalize();
    } else {
      switch_space();
    }
  }

  void step_of_queue() {
    const std::size_t choice = leases_.empty() ? below(50) : below(100);
    if (choice < 15) {
      enqueue();
    } else if (choice < 19) {
      remove();
    } else if (choice < 39) {
      claim();
    } else if (choice < 50) {
      pass_time();
    } else if (choice < 57) {
      renew();
    } else if (choice < 67) {
      progress();
    } else if (choice < 77) {
      record_in_flight();
    } else {
      settle();
    }
  }

  static void same(std::string_view what, const EnqueueResult& backend, const EnqueueResult& model) {
    test::same(fmt::format("{}: job", what), backend.job_id, model.job_id);
    test::same(fmt::format("{}: created", what), backend.created, model.created);
    test::same(fmt::format("{}: generation", what), backend.generation, model.generation);
  }

  void enqueue() {
    const SpecKey& key = any(kKeys);
    const auto kind = static_cast<JobKind>(below(3));
    note("enqueue {}/{} {}", key.catalog_id, key.spec_name, to_string(kind));
    same("enqueue", get(scene_.store.enqueue(key, kind)), model_.enqueue(key, kind));
  }

  void put() {
    const SpecKey& key = any(kKeys);
    const std::string& content = any(kContents);
    const std::string target = chance(50) ? any_space().id() : "";
    note("put {}/{} '{}' target '{}'", key.catalog_id, key.spec_name, content, target);
    same("put", get(scene_.catalog.put(key, content, target)), model_.put(key, content, target));
  }

  void remove() {
    const SpecKey& key = any(kKeys);
    const std::size_t how = queue_only_ ? 1 : below(8);
    note("remove {}/{} way {}", key.catalog_id, key.spec_name, how);
    if (how == 0) {
      test::same("remove_catalog", scene_.catalog.remove_catalog(key.catalog_id).code(),
                 model_.remove_catalog(key.catalog_id));
    } else if (how < 4) {
      test::same("remove_key", scene_.store.remove_key(key).code(), model_.remove_key(key));
    } else {
      test::same("remove", scene_.catalog.remove(key).code(), model_.remove(key));
    }
  }

  void claim() {
    if (!claim_.nonce || !chance(15)) {
      claim_ = {.worker_id = "w" + std::to_string(below(3)),
                .max_jobs = 1 + below(3),
                .nonce = random_() | 1,
                .space_id = any_space().id()};
      claim_.by_age = below(claim_.max_jobs + 1);
      claim_.provider = any(kProviders);
    }
    note("claim nonce {} max {} by age {} space {}", claim_.nonce, claim_.max_jobs, claim_.by_age, claim_.space_id);
    ClaimResult backend = get(scene_.store.claim(claim_));
    ClaimResult model = model_.claim(claim_);
    const auto by_id = [](const Lease& a, const Lease& b) { return a.job.id < b.job.id; };
    std::sort(backend.leases.begin(), backend.leases.end(), by_id);
    std::sort(model.leases.begin(), model.leases.end(), by_id);
    test::same("claim: expired", backend.expired, model.expired);
    test::same("claim: jobs", backend.leases.size(), model.leases.size());
    if (model.leases.empty() || backend.other_space != 0) {
      test::same("claim: other space", backend.other_space, model.other_space);
    }
    for (std::size_t i = 0; i < model.leases.size(); ++i) {
      same_job(backend.leases[i].job, backend.leases[i].state, model.leases[i].job, model.leases[i].state);
      test::same("claim: reuse floor", backend.leases[i].reuse_floor, model.leases[i].reuse_floor);
      same_suspects(backend.leases[i].suspects, model.leases[i].suspects);
      leases_.push_back(backend.leases[i]);
      note("  job {} fence {}", model.leases[i].job.id, model.leases[i].job.fence.counter);
    }
    if (leases_.size() > 6) {
      leases_.erase(leases_.begin(), leases_.end() - 6);
    }
  }

  /// Of the last claims: the newest more often, stale ones too.
  const Lease& any_lease() {
    const Lease& lease = leases_[std::max(below(leases_.size()), below(leases_.size()))];
    note("lease of job {} fence {} ({}/{})", lease.job.id, lease.job.fence.counter, lease.job.key.catalog_id,
         lease.job.key.spec_name);
    return lease;
  }

  void pass_time() {
    static const std::vector<Duration> kTimes{1ms, 1ms, 5s, 5s, 40s, 40s, 3min, 3min, kLease - 1ms, kLease, 11min, 1h};
    if (chance(10)) {
      const Duration by = any(std::vector<Duration>{-30h, -1h, 1h, 30h});
      note("set the wall clock by {} s", by.count() / 1'000'000'000);
      scene_.clock->set_wall_clock(by);
    } else {
      const Duration time = any(kTimes);
      note("{} ms pass", time.count() / 1'000'000);
      scene_.clock->advance(time);
    }
    if (chance(30)) {
      // Which jobs go first is a host's to choose: its limit is not reached.
      const std::size_t limit = queue_only_ ? 100 : 2;
      note("reap {}", limit);
      test::same("reap", get(scene_.store.reap(limit)), model_.reap(limit));
    }
  }

  void note_provider() {
    const std::string& provider = kProviders[1 + below(2)];
    ProviderNote news;
    if (chance(50)) {
      news.space_id = any(kSpaces).id();
    }
    if (chance(50)) {
      news.batch = ProviderNote::Batch{below(40), below(4000)};
    }
    if (chance(50)) {
      news.pause = ProviderNote::Pause{any(std::vector<Duration>{-1s, 0s, 5s, 1h}),
                                       "reason " + std::to_string(below(3)), chance(50)};
    }
    if (chance(50)) {
      news.input_bytes = below(4000);
    }
    note("note of {}", provider);
    test::same("note_provider", scene_.store.note_provider(provider, news).code(), Code::kOk);
    model_.note_provider(provider, news);
  }

  void sweep_and_purge() {
    const Duration age = any(std::vector<Duration>{0s, 10min, 2h});
    const std::size_t limit = 1000;  // not reached: which jobs go first is the backend's to choose
    note("purge older than {} s, {} jobs; sweep; resolve", age.count() / 1'000'000'000, limit);
    test::same("purge", get(scene_.store.purge(age, limit)), model_.purge(age, limit));
    (void)get(scene_.catalog.sweep(1'000'000h, 3));  // far within the grace period: nothing that can be seen may change
    const SpecKey& key = any(kKeys);
    test::same("resolve_failure", scene_.store.resolve_failure(key).code(), model_.resolve_failure(key));
  }

  void renew() {
    const LeaseRef lease = ref(any_lease());
    const Duration duration = any(std::vector<Duration>{0s, 1s, kLease * 2});
    note("  renew");
    const bool backend = get(scene_.store.renew(std::vector{lease}, duration, 1s)).at(0);
    test::same("renew", backend, model_.renew(lease, duration));
  }

  Progress any_progress() {
    const auto total = static_cast<std::int64_t>(below(6));
    const auto reused = static_cast<std::int64_t>(below(static_cast<std::size_t>(total) + 1));
    const auto embedded = static_cast<std::int64_t>(below(static_cast<std::size_t>(total - reused) + 1));
    return {total, reused, embedded, total - reused - embedded, below(50)};
  }

  void progress() {
    const LeaseRef lease = ref(any_lease());
    const Progress progress = any_progress();
    note("  progress {} = {} + {} + {}", progress.operation_count, progress.reused, progress.embedded,
         progress.missing);
    test::same("progress", scene_.store.progress(lease, progress).code(), model_.progress(lease, progress));
  }

  void record_in_flight() {
    const LeaseRef lease = ref(any_lease());
    const std::set<std::string> sent = any_texts();
    const std::set<std::string> answered = chance(50) ? any_texts() : std::set<std::string>();
    note("  in flight {} answered {}", sent, answered);
    const auto hashes = [](const std::set<std::string>& texts) {
      std::vector<TextHash> found;
      for (const std::string& text : texts) {
        found.push_back(hash_text(text));
      }
      return found;
    };
    test::same("record_in_flight", scene_.store.record_in_flight(lease, hashes(sent), hashes(answered)).code(),
               model_.record_in_flight(lease, sent, answered));
  }

  void settle() {
    const LeaseRef lease = ref(any_lease());
    Outcome outcome;
    outcome.kind = static_cast<OutcomeKind>(below(4));
    outcome.error = "error " + std::to_string(below(3));
    outcome.reason = static_cast<ReleaseReason>(below(3));
    outcome.delay = any(std::vector<Duration>{0s, 30s, 90min});
    outcome.jitter = static_cast<double>(below(4)) / 4;
    outcome.retry_at_once = chance(20);
    if (chance(30)) {
      outcome.progress = any_progress();
    }
    note("  settle kind {} reason {} at once {}", shown(outcome.kind), shown(outcome.reason), outcome.retry_at_once);
    for (int times = chance(20) ? 2 : 1; times > 0; --times) {
      const Result<JobStatus> backend = scene_.store.settle(lease, outcome);
      const auto [code, status] = model_.settle(lease, outcome);
      test::same("settle", backend.status().code(), code);
      if (backend.ok()) {
        test::same("settle: status", *backend, status);
      }
    }
  }

  PassContext any_context() {
    const Lease& lease = any_lease();
    const ModelCatalog& catalog = model_.catalogs.at(lease.job.key.catalog_id);
    PassContext context = scene_.context(lease, chance(10) ? any_space() : *parse_space(catalog.target));
    context.input_cap = any(std::vector<std::size_t>{0, 0, 100, 200});
    if (chance(10)) {
      context.content_version = "old";
    }
    context.prompt_tokens = below(50);
    note("  in {}, epoch {}, floor {}, cap {}", context.space.id(), context.epoch, context.reuse_floor,
         context.input_cap);
    return context;
  }

  static Ops ops_of(const ModelOps& ops) {
    Ops list;
    for (const auto& [id, text] : ops) {
      list.push_back({id, text});
    }
    return list;
  }

  void persist() {
    const PassContext context = any_context();
    const ModelOps ops = any_ops(1);
    ModelVector mark{.salt = static_cast<int>(below(100))};
    if (chance(20)) {
      mark.embedded_bytes = any(std::vector<std::size_t>{50, 100, 150});
      mark.input_cap = context.input_cap;
    }
    note("  persist {} salt {} cut {}", ops, mark.salt, mark.embedded_bytes);
    Rows rows(ops_of(ops), context.space, mark.salt);
    for (VectorRow& row : rows.edit()) {
      row.embedded_bytes = mark.embedded_bytes;
      row.input_cap = mark.input_cap;
    }
    test::same("persist_batch", scene_.catalog.persist_batch(context, rows.all()).code(),
               model_.persist_batch(context, ops, mark));
  }

  void finalize() {
    const PassContext context = any_context();
    ModelOps ops = any_ops(0);
    const auto [listed, existing] = model_.list_existing(context, ops);
    const auto backend = scene_.catalog.list_existing(context, manifest_of(ops_of(ops)));
    test::same("list_existing", backend.status().code(), listed);
    if (backend.ok()) {
      test::same("list_existing: answer", *backend, existing);
      for (std::size_t i = ops.size(); i-- > 0 && chance(80);) {  // mostly a manifest that can be finalized
        if (!existing[i]) {
          ops.erase(ops.begin() + static_cast<std::ptrdiff_t>(i));
        }
      }
    }
    note("  finalize {}", ops);
    test::same("finalize", scene_.catalog.finalize(context, manifest_of(ops_of(ops))).code(),
               model_.finalize(context, ops));
  }

  void switch_space() {
    const std::string catalog = any(kKeys).catalog_id;
    const Space& space = kSpaces[below(kSpaces.size())];
    note("switch {} to {}", catalog, space.id());
    const Result<std::size_t> backend = scene_.catalog.switch_space(catalog, space);
    if (!model_.catalogs.contains(catalog)) {
      test::same("switch_space", backend.status().code(), Code::kNotFound);
      return;
    }
    test::same("switch_space", get(backend), model_.switch_space(catalog, space.id()));
  }

  std::mt19937_64 random_;
  std::vector<Lease> leases_;
  ClaimRequest claim_;
  std::string trace_;
};

std::optional<std::uint64_t> number_from(const char* variable) {
  const char* text = std::getenv(variable);
  return text == nullptr ? std::nullopt : std::optional<std::uint64_t>(std::strtoull(text, nullptr, 10));
}

/// `name` is that of the case, for the replay.
void run_sequences(Extent extent, std::string_view name) {
  const auto only = number_from("EMBEDJOBS_MODEL_SEED");
  const std::uint64_t first = only.value_or(1);
  // Where there is a catalog, the sequences over everything call the queue too.
  const int share = extent == Extent::kQueue && offers().catalog ? 10 : 1;
  const auto asked_for = static_cast<std::uint64_t>(std::max(1, make_database()->model_sequences() / share));
  const std::uint64_t count = only ? 1 : number_from("EMBEDJOBS_MODEL_SEQUENCES").value_or(asked_for);
  for (std::uint64_t seed = first; seed < first + count; ++seed) {
    Sequence sequence(seed, extent);
    try {
      sequence.run();
    } catch (const Mismatch& mismatch) {
      FAIL("seed " << seed << ": " << mismatch.what() << "\nreplay: EMBEDJOBS_MODEL_SEED=" << seed
                   << " <this program> \"" << name << "\"\n"
                   << sequence.trace());
    }
    if (only) {
      std::puts(sequence.trace().c_str());
    }
  }
}

}  // namespace

TEST_CASE("random sequences of calls agree with the model", "[catalog][history][failures][providers][model]") {
  run_sequences(Extent::kEverything, "random sequences of calls agree with the model");
}

TEST_CASE("random sequences of calls of the queue agree with the model", "[store][model]") {
  run_sequences(Extent::kQueue, "random sequences of calls of the queue agree with the model");
}
