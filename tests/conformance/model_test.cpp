// Random sequences of calls against a backend and the model: every answer and, after each step, everything that can be
// seen must agree.
//
//   EMBEDJOBS_MODEL_SEQUENCES=N   how many sequences (default: what the backend asks for)
//   EMBEDJOBS_MODEL_SEED=S        only this one, and print its calls
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cstdio>
#include <cstdlib>
#include <random>

#include "conformance/model.hpp"
#include "conformance/scene.hpp"

using namespace embedjobs;
using namespace embedjobs::test;

namespace {

constexpr int kSteps = 80;
const std::vector<SpecKey> kKeys{{"c", "1"}, {"c", "2"}, {"c", "3"}, {"d", "1"}};
const std::vector<Space> kSpaces{{"m", 2, ""}, {"n", 3, "v"}, {"o", 1, ""}};
const std::vector<std::string> kTexts{"t0", "t1", "t2", "t3", "t4"};
const std::vector<std::string> kProviders{"", "p", "q"};
const std::vector<std::string> kContents{"content 0", "content 1", "content 2"};

struct Mismatch : std::runtime_error {
  using std::runtime_error::runtime_error;
};

template <typename T>
std::string shown(const T& value) {
  if constexpr (std::is_enum_v<T>) {
    return std::to_string(static_cast<long long>(value));
  } else if constexpr (std::is_same_v<T, WallTime>) {
    return std::to_string(value.time_since_epoch().count());
  } else if constexpr (std::is_same_v<T, Duration>) {
    return std::to_string(value.count());
  } else if constexpr (std::is_same_v<T, std::optional<Duration>>) {
    return value ? std::to_string(value->count()) : "none";
  } else {
    return fmt::format("{}", value);
  }
}

template <typename T>
void same(std::string_view what, const T& backend, const T& model) {
  if (!(backend == model)) {
    throw Mismatch(fmt::format("{}: the backend says {}, the model {}", what, shown(backend), shown(model)));
  }
}

/// What a sequence calls and looks at.
enum class Extent { kQueue, kEverything };

/// One sequence.
class Sequence {
 public:
  Sequence(std::uint64_t seed, Extent extent)
      : random_(seed),
        queue_only_(extent == Extent::kQueue),
        model_({.lease_duration = kLease, .max_attempts = 3}, scene_.clock, first_epoch()) {}

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
      fly();
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
      fly();
    } else {
      settle();
    }
  }

  static void same(std::string_view what, const EnqueueResult& backend, const EnqueueResult& model) {
    ::same(fmt::format("{}: job", what), backend.job_id, model.job_id);
    ::same(fmt::format("{}: created", what), backend.created, model.created);
    ::same(fmt::format("{}: generation", what), backend.generation, model.generation);
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
      ::same("remove_catalog", scene_.catalog.remove_catalog(key.catalog_id).code(),
             model_.remove_catalog(key.catalog_id));
    } else if (how < 4) {
      ::same("remove_key", scene_.store.remove_key(key).code(), model_.remove_key(key));
    } else {
      ::same("remove", scene_.catalog.remove(key).code(), model_.remove(key));
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
    ::same("claim: expired", backend.expired, model.expired);
    ::same("claim: jobs", backend.leases.size(), model.leases.size());
    if (model.leases.empty() || backend.other_space != 0) {
      ::same("claim: other space", backend.other_space, model.other_space);
    }
    for (std::size_t i = 0; i < model.leases.size(); ++i) {
      same_job(backend.leases[i].job, backend.leases[i].state, model.leases[i].job, model.leases[i].state);
      ::same("claim: reuse floor", backend.leases[i].reuse_floor, model.leases[i].reuse_floor);
      same_suspects(backend.leases[i].suspects, model.leases[i].suspects);
      leases_.push_back(backend.leases[i]);
      note("  job {} fence {}", model.leases[i].job.id, model.leases[i].job.fence.counter);
    }
    if (leases_.size() > 6) {
      leases_.erase(leases_.begin(), leases_.end() - 6);
    }
  }

  static void same_suspects(const std::vector<Suspect>& backend, const std::vector<Suspect>& model) {
    ::same("suspects", backend.size(), model.size());
    for (std::size_t i = 0; i < model.size(); ++i) {
      ::same("suspect: text", to_hex(backend[i].text_hash), to_hex(model[i].text_hash));
      ::same("suspect: alone", backend[i].alone, model[i].alone);
      ::same("suspect: set aside", backend[i].set_aside, model[i].set_aside);
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
      ::same("reap", get(scene_.store.reap(limit)), model_.reap(limit));
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
      news.pause =
          ProviderNote::Pause{any(std::vector<Duration>{-1s, 0s, 5s, 1h}), "reason " + std::to_string(below(3))};
    }
    note("note of {}", provider);
    ::same("note_provider", scene_.store.note_provider(provider, news).code(), Code::kOk);
    model_.note_provider(provider, news);
  }

  void compare_providers() {
    const std::vector<ProviderState> states = get(scene_.store.providers());
    ::same("providers", states.size(), model_.providers.size());
    auto model = model_.providers.begin();
    for (const ProviderState& state : states) {
      const ProviderState& expected = (model++)->second;
      const auto field = [&](std::string_view name, const auto& a, const auto& b) {
        ::same(fmt::format("provider {}: {}", expected.provider, name), a, b);
      };
      field("name", state.provider, expected.provider);
      field("space", state.space_id, expected.space_id);
      field("batch_texts", state.batch_texts, expected.batch_texts);
      field("batch_bytes", state.batch_bytes, expected.batch_bytes);
      field("paused_until", state.paused_until, expected.paused_until);
      field("pause_reason", state.pause_reason, expected.pause_reason);
      field("tokens_total", state.tokens_total, expected.tokens_total);
    }
  }

  void sweep_and_purge() {
    const Duration age = any(std::vector<Duration>{0s, 10min, 2h});
    const std::size_t limit = 1000;  // not reached: which jobs go first is the backend's to choose
    note("purge older than {} s, {} jobs; sweep; resolve", age.count() / 1'000'000'000, limit);
    ::same("purge", get(scene_.store.purge(age, limit)), model_.purge(age, limit));
    (void)get(scene_.catalog.sweep(1'000'000h, 3));  // far within the grace period: nothing that can be seen may change
    const SpecKey& key = any(kKeys);
    ::same("resolve_failure", scene_.store.resolve_failure(key).code(), model_.resolve_failure(key));
  }

  void renew() {
    const LeaseRef lease = ref(any_lease());
    const Duration duration = any(std::vector<Duration>{0s, 1s, kLease * 2});
    note("  renew");
    const bool backend = get(scene_.store.renew(std::vector{lease}, duration, 1s)).at(0);
    ::same("renew", backend, model_.renew(lease, duration));
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
    ::same("progress", scene_.store.progress(lease, progress).code(), model_.progress(lease, progress));
  }

  void fly() {
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
    ::same("record_in_flight", scene_.store.record_in_flight(lease, hashes(sent), hashes(answered)).code(),
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
      ::same("settle", backend.status().code(), code);
      if (backend.ok()) {
        ::same("settle: status", *backend, status);
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
    ::same("persist_batch", scene_.catalog.persist_batch(context, rows.all()).code(),
           model_.persist_batch(context, ops, mark));
  }

  void finalize() {
    const PassContext context = any_context();
    ModelOps ops = any_ops(0);
    const auto [listed, existing] = model_.list_existing(context, ops);
    const auto backend = scene_.catalog.list_existing(context, manifest_of(ops_of(ops)));
    ::same("list_existing", backend.status().code(), listed);
    if (backend.ok()) {
      ::same("list_existing: answer", *backend, existing);
      for (std::size_t i = ops.size(); i-- > 0 && chance(80);) {  // mostly a manifest that can be finalized
        if (!existing[i]) {
          ops.erase(ops.begin() + static_cast<std::ptrdiff_t>(i));
        }
      }
    }
    note("  finalize {}", ops);
    ::same("finalize", scene_.catalog.finalize(context, manifest_of(ops_of(ops))).code(),
           model_.finalize(context, ops));
  }

  void switch_space() {
    const std::string catalog = any(kKeys).catalog_id;
    const Space& space = kSpaces[below(kSpaces.size())];
    note("switch {} to {}", catalog, space.id());
    const Result<std::size_t> backend = scene_.catalog.switch_space(catalog, space);
    if (!model_.catalogs.contains(catalog)) {
      ::same("switch_space", backend.status().code(), Code::kNotFound);
      return;
    }
    ::same("switch_space", get(backend), model_.switch_space(catalog, space.id()));
  }

  // Comparing everything that can be seen

  static void same_job(const Job& backend, const JobState& state, const Job& model, const JobState& model_state) {
    const auto field = [&](std::string_view name, const auto& a, const auto& b) {
      ::same(fmt::format("job {}: {}", model.id, name), a, b);
    };
    field("id", backend.id, model.id);
    field("spec", backend.key.catalog_id + "/" + backend.key.spec_name,
          model.key.catalog_id + "/" + model.key.spec_name);
    field("kind", backend.kind, model.kind);
    field("status", backend.status, model.status);
    field("priority", backend.priority, model.priority);
    field("attempts", backend.attempts, model.attempts);
    field("last_error", model.last_error == "*" && !backend.last_error.empty() ? "*" : backend.last_error,
          model.last_error);
    field("next_run_at", backend.next_run_at, model.next_run_at);
    field("worker_id", backend.worker_id, model.worker_id);
    field("lease_expires_at", backend.lease_expires_at, model.lease_expires_at);
    field("created_at", backend.created_at, model.created_at);
    field("started_at", backend.started_at, model.started_at);
    field("completed_at", backend.completed_at, model.completed_at);
    field("embedded_so_far", backend.embedded_so_far, model.embedded_so_far);
    field("reused_count", backend.reused_count, model.reused_count);
    field("embedded_count", backend.embedded_count, model.embedded_count);
    field("operation_count", backend.operation_count, model.operation_count);
    field("generation", backend.generation, model.generation);
    field("fence counter", backend.fence.counter, model.fence.counter);
    field("fence nonce", backend.fence.nonce, model.fence.nonce);
    field("settled", state.settled, model_state.settled);
    field("epoch", state.epoch, model_state.epoch);
    field("errors_in_row", backend.errors_in_row, model.errors_in_row);
    field("crashes_in_row", backend.crashes_in_row, model.crashes_in_row);
    field("releases_in_row", state.releases_in_row, model_state.releases_in_row);
    field("crashes", state.crashes, model_state.crashes);
    field("fewest_missing", state.fewest_missing, model_state.fewest_missing);
    field("progressed", state.progressed, model_state.progressed);
    field("records_in_flight", state.records_in_flight, model_state.records_in_flight);
    field("paused_since", backend.paused_since, model.paused_since);
    field("provider", backend.provider, model.provider);
    field("prompt_tokens", backend.prompt_tokens, model.prompt_tokens);
    field("pass_prompt_tokens", state.pass_prompt_tokens, model_state.pass_prompt_tokens);
  }

  void compare() {
    if (queue_only_) {
      compare_queue();
      return;
    }
    const std::vector<Job> jobs = get(scene_.store.list({.limit = 10'000}));
    ::same("jobs", jobs.size(), model_.jobs.size());
    auto expected = model_.jobs.rbegin();
    for (const Job& job : jobs) {
      const ModelJob& of_model = (expected++)->second;
      same_job(job, get(scene_.store.job_state(job.id)), of_model, of_model);
    }
    for (const Space& space : kSpaces) {
      compare_peek(space.id());
    }
    compare_specs();
    compare_catalogs();
    compare_failures();
    compare_providers();
  }

  void compare_queue() {
    for (const auto& [id, of_model] : model_.jobs) {
      same_job(get(scene_.store.get(id)), get(scene_.store.job_state(id)), of_model, of_model);
    }
    const auto last = get(scene_.store.last_jobs(kKeys));
    for (std::size_t i = 0; i < kKeys.size(); ++i) {
      const auto spec = model_.specs.find(kKeys[i]);
      ::same("last job", last.at(i) ? last[i]->id : JobId{0},
             spec == model_.specs.end() ? JobId{0} : spec->second.last);
    }
    for (const Space& space : kSpaces) {
      compare_peek(space.id());
    }
  }

  void compare_peek(const std::string& space) {
    const Peek backend = get(scene_.store.peek(space));
    const Peek model = model_.peek(space);
    const auto field = [&](std::string_view name, const auto& a, const auto& b) {
      ::same(fmt::format("peek {}: {}", space, name), a, b);
    };
    field("next_due", backend.next_due, model.next_due);
    field("next_pending_due", backend.next_pending_due, model.next_pending_due);
    field("running", backend.running, model.running);
    field("urgent_waiting", backend.urgent_waiting, model.urgent_waiting);
    field("other_space", backend.other_space, model.other_space);
    if (enqueues_ && *enqueues_ != std::pair(backend.enqueue_counter, model.enqueue_counter)) {
      field("enqueue_counter moved", enqueues_->first != backend.enqueue_counter,
            enqueues_->second != model.enqueue_counter);
    }
    enqueues_ = {backend.enqueue_counter, model.enqueue_counter};
  }

  void compare_specs() {
    std::map<SpecKey, SpecInfo> infos;
    for (SpecInfo& info : get(scene_.catalog.specs(std::nullopt, nullptr, 100))) {
      infos.emplace(info.key, std::move(info));
    }
    for (const SpecKey& key : kKeys) {
      const ModelSpec none;
      const ModelSpec& spec = model_.specs.contains(key) ? model_.specs.at(key) : none;
      const std::string name = key.catalog_id + "/" + key.spec_name;
      ::same(name + " exists", infos.contains(key), spec.exists);
      compare_document(name, key, spec);
      if (spec.exists) {
        compare_info(name, infos.at(key), spec);
        compare_rows(name, key, spec);
      }
    }
  }

  void compare_document(const std::string& name, const SpecKey& key, const ModelSpec& spec) {
    const Result<Document> document = scene_.catalog.resolve(key);
    ::same(name + " resolve", document.status().code(), spec.content ? Code::kOk : Code::kGone);
    if (spec.content) {
      ::same(name + " content", document->content, *spec.content);
    }
    const SpecState state = get(scene_.catalog.describe(std::vector{key})).at(0);
    ::same(name + " finalized", state.complete, spec.finalized.complete);
    ::same(name + " finalized space", state.space_id, spec.finalized.space_id);
    ::same(name + " finalized version", state.content_version, spec.finalized.content_version);
  }

  void compare_info(const std::string& name, const SpecInfo& info, const ModelSpec& spec) {
    ::same(name + " operation_count", info.operation_count, spec.operation_count);
    ::same(name + " visible space", info.visible_space_id, spec.visible);
    ::same(name + " generation", info.generation, spec.generation);
    ::same(name + " complete", info.complete, model_.complete(spec));
    if (spec.content) {
      ::same(name + " content_version", info.content_version, to_hex(hash_text(*spec.content)));
    }
    const auto rows = spec.rows.find(spec.visible);
    ::same(name + " embedding_count", info.embedding_count,
           rows == spec.rows.end() ? 0 : static_cast<std::int64_t>(rows->second.size()));
  }

  void compare_rows(const std::string& name, const SpecKey& key, const ModelSpec& spec) {
    std::vector<std::string> backend;
    get(scene_.catalog.rows(key, true, [&](const StoredRow& row) {
      backend.push_back(
          fmt::format("{} {} cut {} {}", row.operation_id, to_hex(row.text_hash), row.embedded_bytes, row.vector));
      return true;
    }));
    std::vector<std::string> model;
    const auto rows = spec.rows.find(spec.visible);
    for (const auto& [id, text] : rows == spec.rows.end() ? std::map<std::string, std::string>() : rows->second) {
      const ModelVector& vector = model_.vectors.at({key.catalog_id, spec.visible, text});
      model.push_back(fmt::format("{} {} cut {} {}", id, to_hex(hash_text(text)), vector.embedded_bytes,
                                  vector_of(text, *parse_space(spec.visible), vector.salt)));
    }
    ::same(name + " rows", backend, model);
  }

  void compare_catalogs() {
    const std::vector<CatalogInfo> infos = get(scene_.catalog.catalogs());
    ::same("catalogs", infos.size(), model_.catalogs.size());
    for (const CatalogInfo& info : infos) {
      const ModelCatalog& catalog = model_.catalogs.at(info.catalog_id);
      ::same(info.catalog_id + " target", info.target_space_id, catalog.target);
      ::same(info.catalog_id + " search space", info.search_space_id, catalog.search);
      if (catalog.search.empty()) {
        continue;
      }
      const Space space = *parse_space(catalog.search);
      std::vector<std::string> found;
      for (const SearchHit& hit : get(scene_.catalog.search(info.catalog_id, space, vector_of("query", space), 1000))) {
        found.push_back(hit.key.spec_name + ":" + hit.operation_id);
      }
      std::sort(found.begin(), found.end());
      ::same(info.catalog_id + " search", found, model_.searchable(info.catalog_id));
    }
  }

  void compare_failures() {
    const std::vector<Failure> failures = get(scene_.store.failures_of(kKeys));
    for (std::size_t i = 0; i < kKeys.size(); ++i) {
      const Failure none;
      const Failure& model = model_.specs.contains(kKeys[i]) ? model_.specs.at(kKeys[i]).failure : none;
      const auto field = [&](std::string_view name, const auto& a, const auto& b) {
        ::same(fmt::format("failure {}/{}: {}", kKeys[i].catalog_id, kKeys[i].spec_name, name), a, b);
      };
      field("occurrences", failures[i].occurrences, model.occurrences);
      field("last_success_at", failures[i].last_success_at, model.last_success_at);
      if (model.occurrences > 0) {
        field("first_failed_at", failures[i].first_failed_at, model.first_failed_at);
        field("last_failed_at", failures[i].last_failed_at, model.last_failed_at);
        field("resolved", failures[i].resolved, model.resolved);
      }
    }
  }

  std::mt19937_64 random_;
  const bool queue_only_;
  Scene scene_{StoreOptions{.lease_duration = kLease, .max_attempts = 3}};
  Model model_;
  std::vector<Lease> leases_;
  ClaimRequest claim_;
  std::optional<std::pair<std::uint64_t, std::uint64_t>> enqueues_;
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

TEST_CASE("random sequences of calls agree with the model", "[catalog][history][failures][providers]") {
  run_sequences(Extent::kEverything, "random sequences of calls agree with the model");
}

TEST_CASE("random sequences of calls of the queue agree with the model", "[store]") {
  run_sequences(Extent::kQueue, "random sequences of calls of the queue agree with the model");
}
