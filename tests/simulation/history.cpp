#include "simulation/history.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "embedjobs/maintenance.hpp"
#include "embedjobs/memory.hpp"
#include "embedjobs/sqlite.hpp"
#include "embedjobs/worker.hpp"
#include "simulation/checks.hpp"

namespace embedjobs::sim {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

const Space kSpaceA{"sim", 4, ""};
const Space kSpaceB{"sim", 6, ""};

/// A process from start to death or end.
struct Process {
  std::shared_ptr<ProcessRuntime> runtime;
  Backend backend;
  std::function<void()> wake;
  std::unique_ptr<Worker> worker;
  std::unique_ptr<Maintenance> maintenance;
  bool stopping = false;
};

class History {
 public:
  explicit History(const HistoryOptions& options)
      : options_(options),
        world_(options.seed),
        lease_(world_.between(milliseconds(300), seconds(3))),
        clock_(std::make_shared<WorldClock>(world_)),
        file_(fmt::format("{}/{}.db", options.folder, options.seed)),
        shared_(options.sqlite ? open_file(nullptr) : make_memory_backend({.lease_duration = lease_}, clock_)),
        provider_(world_),
        checker_(world_, shared_, lease_) {
    world_.print_trace = options.print_trace;
    provider_.on_text = [this](std::string_view text, const Space& space) { checker_.sent(text, space); };
  }

  ~History() {
    processes_.clear();
    shared_ = {};
    std::filesystem::remove(file_);
    std::filesystem::remove(file_ + "-journal");
  }
  History(const History&) = delete;
  History& operator=(const History&) = delete;

  HistoryResult run() {
    draw_world();
    for (std::size_t i = 0; i < processes_.size(); ++i) {
      start_process(i);
    }
    const Duration chaos =
        rare_host_ ? world_.between(minutes(10), minutes(60)) : world_.between(seconds(5), seconds(60));
    host_acts();
    step_until([&] { return world_.elapsed() >= chaos; });
    calm_ = true;
    world_.trace("calm");
    world_.odds = {};
    provider_.odds = {};
    enqueue_everything();
    const Duration limit = world_.elapsed() + hours(3);
    step_until([&] { return world_.elapsed() >= limit || (world_.elapsed() >= next_look_ && all_ended()); });
    check_end();
    return {world_.violations(), world_.trace_hash(), static_cast<double>(world_.elapsed().count()) / 1e9,
            provider_.texts_sent};
  }

 private:
  template <typename Done>
  void step_until(const Done& done) {
    while (world_.violations().empty() && !done() && world_.step()) {
    }
  }

  void draw_world() {
    processes_.resize(1 + world_.below(3));
    slots_ = 1 + static_cast<int>(world_.below(3));
    batch_size_ = 1 + static_cast<int>(world_.below(5));
    concurrency_ = 1 + static_cast<int>(world_.below(4));
    const double trouble = world_.chance(0.2) ? 0.0 : static_cast<double>(world_.below(100)) / 1000.0;
    world_.odds = {.error = trouble,
                   .lost_answer = trouble,
                   .crash_before = trouble / 10,
                   .crash_after = trouble / 10,
                   .slow = world_.chance(0.5) ? 0.03 : 0.0,
                   .slow_by = 3 * lease_};
    provider_.odds = provider_odds(trouble);
    const std::size_t catalogs = 1 + world_.below(2);
    const std::size_t specs = 1 + world_.below(3);
    for (std::size_t c = 0; c < catalogs; ++c) {
      for (std::size_t s = 0; s < specs; ++s) {
        keys_.push_back({fmt::format("c{}", c), fmt::format("s{}", s)});
      }
    }
    has_bad_texts_ = world_.chance(0.25);
    // Budgets are for documents that nobody touches while their provider fails for long.
    rare_host_ = world_.chance(0.1);
    if (rare_host_) {
      provider_.odds.error = 0.1 + static_cast<double>(world_.below(40)) / 100.0;
      provider_.odds.pause = world_.chance(0.5) ? 0.0 : provider_.odds.error / 2;
      world_.odds.crash_before = world_.odds.crash_after = 0;
    }
    requests_per_minute_ = world_.chance(0.2) ? 60 + static_cast<long long>(world_.below(2000)) : 0;
  }

  // --- processes ---

  /// A handle on the database file of this history: a process's own, whose commits fail as the seed says, or (null) the
  /// world's.
  Backend open_file(ProcessRuntime* process) {
    SqliteOptions options{.store = {.lease_duration = lease_}, .journal = SqliteJournal::kRollback};
    options.holder_identity = process != nullptr ? process->name() : "host";
    options.holder_alive = [this](const std::string& holder) { return is_alive(holder); };
    if (process != nullptr) {
      options.commit_fault = [this, process](bool committed) { return commit_fault(*process, committed); };
    }
    auto backend = open_sqlite(file_, options, clock_);
    if (!backend.ok()) {
      world_.violation("the database can't be opened: " + backend.status().to_string());
      return make_memory_backend({.lease_duration = lease_}, clock_);
    }
    return *backend;
  }

  /// Between the pieces of one call the same things go wrong as between calls. A dead process commits nothing more.
  Status commit_fault(ProcessRuntime& process, bool committed) {
    const Odds& odds = world_.odds;
    if (process.crashing() || world_.chance(committed ? odds.crash_after : odds.crash_before)) {
      process.crash_soon();
      return {Code::kRetry, "simulated death"};
    }
    if (world_.chance(committed ? odds.lost_answer : odds.error)) {
      return {Code::kRetry, committed ? "simulated lost commit answer" : "simulated commit error"};
    }
    return {};
  }

  bool is_alive(const std::string& holder) {
    return std::any_of(processes_.begin(), processes_.end(), [&](const auto& process) {
      return process && process->runtime->name() == holder && process->runtime->alive();
    });
  }

  void start_process(std::size_t index) {
    auto& process = processes_[index];
    const std::string name = fmt::format("p{}.{}", index, ++incarnations_);
    process = std::make_unique<Process>();
    process->runtime = std::make_shared<ProcessRuntime>(world_, name);
    process->backend = options_.sqlite ? open_file(process->runtime.get()) : shared_;
    Process* raw = process.get();
    auto store = std::make_shared<CheckedStore>(process->backend.store, checker_,
                                                [raw](std::function<void()> wake) { raw->wake = std::move(wake); });
    auto persister = std::make_shared<CheckedPersister>(process->backend.catalog, checker_);
    auto splitter = std::make_shared<LineSplitter>();
    WorkerParts parts{.store = store,
                      .resolver = process->backend.catalog,
                      .persister = persister,
                      .splitter = splitter,
                      .embedder = std::make_shared<SimEmbedder>(provider_, space_, process->runtime,
                                                                static_cast<std::size_t>(concurrency_))};
    process->worker = std::make_unique<Worker>(*process->runtime, parts,
                                               WorkerOptions{.slots = slots_,
                                                             .batch_size = batch_size_,
                                                             .lease_duration = lease_,
                                                             .provider_concurrency = concurrency_,
                                                             .requests_per_minute = requests_per_minute_,
                                                             .safety_bound = minutes(10),
                                                             .fallback_poll = seconds(1),
                                                             .worker_id = name});
    process->maintenance = std::make_unique<Maintenance>(
        *process->runtime,
        MaintenanceParts{.store = store,
                         .resolver = process->backend.catalog,
                         .persister = persister,
                         .catalog = process->backend.catalog,
                         .space_id = space_.id(),
                         .splitter_version = splitter->version()},
        MaintenanceOptions{
            .reaper_interval = seconds(1), .reconciler_interval = seconds(20), .retention_interval = minutes(1)});
    world_.trace(fmt::format("{} starts in space {}", name, space_.id()));
    process->runtime->on_lost_answer = [this, name](std::string_view task) {
      if (task == "claim") {
        checker_.claim_lost(name);
      }
    };
    process->runtime->on_crash = [this, index] { bury(index); };
    process->worker->start();
    process->maintenance->start();
  }

  /// The process is gone, and comes back after a while.
  void bury(std::size_t index) {
    world_.after(Duration(0), [this, index] {
      checker_.process_gone(processes_[index]->runtime->name(), options_.sqlite);
      processes_[index].reset();
      world_.after(world_.between(milliseconds(20), seconds(2)), [this, index] { start_process(index); });
    });
  }

  void stop_process(std::size_t index) {
    Process& process = *processes_[index];
    process.stopping = true;
    world_.trace(process.runtime->name() + " is asked to stop");
    const std::weak_ptr<ProcessRuntime> weak = process.runtime;
    process.worker->request_stop([this, index, weak] {
      const auto runtime = weak.lock();
      if (runtime && runtime->alive()) {
        check_released(runtime->name());
        world_.trace(runtime->name() + " stopped");
        runtime->end();
        bury(index);
      }
    });
  }

  void check_released(const std::string& worker) {
    const auto running = shared_.store->list({.status = JobStatus::kRunning, .limit = 1000});
    for (const Job& job : *running) {
      // With faults about the last try of a release may have gone wrong, or the lease ended while the process was
      // frozen.
      if (job.worker_id == worker && calm_ && checker_.leased(job.key) && checker_.knows_its_leases(worker)) {
        world_.violation("9 (stop): a stopped worker kept " + job.key.spec_name);
      }
    }
  }

  void wake_all() {
    for (const auto& process : processes_) {
      if (process && process->runtime->alive() && process->wake && world_.chance(0.8)) {
        process->wake();
      }
    }
  }

  // --- the host ---

  std::string make_document(const SpecKey& key) {
    if (world_.chance(0.04)) {
      return "!";
    }
    std::string content;
    const std::size_t operations = world_.below(14);
    for (std::size_t i = 0; i < operations; ++i) {
      std::string text = fmt::format("{} word{}", key.catalog_id, world_.below(30));
      if (has_bad_texts_ && world_.chance(0.04)) {
        text += world_.chance(0.5) ? " poison" : " killer";
      } else if (world_.chance(0.03)) {
        text += std::string(Provider::kLongest + world_.below(900), 'x');
      }
      content += fmt::format("op{}\t{}\n", i + (world_.chance(0.1) ? 100 : 0), text);
    }
    return content;
  }

  void host_acts() {
    if (calm_) {
      return;
    }
    act();
    const Duration pause =
        rare_host_ ? world_.between(seconds(1), minutes(20)) : world_.between(milliseconds(10), seconds(2));
    world_.after(pause, [this] { host_acts(); });
  }

  void act() {
    const SpecKey& key = keys_[world_.below(keys_.size())];
    const std::size_t index = world_.below(processes_.size());
    const bool has_process = processes_[index] && processes_[index]->runtime->alive();
    switch (world_.below(20)) {
      case 0:
      case 1:
      case 2:
      case 3:
      case 4:
      case 5: put(key); break;
      case 6:
      case 7:
      case 8: enqueue(key); break;
      case 9:
      case 10: retry(key); break;
      case 11: remove(key); break;
      case 12: switch_space(key.catalog_id); break;
      case 13:
      case 14: {
        if (has_process) {
          processes_[index]->runtime->crash("kill -9");
        }
        break;
      }
      case 15:
      case 16: {
        if (has_process) {
          const Duration time = world_.between(milliseconds(10), 3 * lease_);
          world_.trace(
              fmt::format("{} is frozen for {} ms", processes_[index]->runtime->name(), time.count() / 1'000'000));
          processes_[index]->runtime->freeze(time);
        }
        break;
      }
      case 17:
      case 18: {
        if (has_process && !processes_[index]->stopping) {
          stop_process(index);
        }
        break;
      }
      default: {
        world_.wall_offset += world_.between(-hours(24), hours(24));
        world_.trace("the wall clock is set");
        break;
      }
    }
    wake_all();
  }

  void enqueue(const SpecKey& key) {
    world_.trace(fmt::format("host enqueues {}/{}", key.catalog_id, key.spec_name));
    if (documents_.contains(key)) {
      (void)shared_.store->enqueue(key, JobKind::kSpecWrite);
    }
  }

  void retry(const SpecKey& key) {
    if (documents_.contains(key)) {
      world_.trace(fmt::format("host retries {}/{}", key.catalog_id, key.spec_name));
      checker_.manual_retry(key);
      (void)shared_.store->enqueue(key, JobKind::kManualRetry);
    }
  }

  void put(const SpecKey& key) {
    const std::string content = make_document(key);
    world_.trace(fmt::format("host writes {}/{}: {} bytes", key.catalog_id, key.spec_name, content.size()));
    checker_.put(key);
    const auto answer = shared_.catalog->put(key, content, space_.id());
    if (!answer.ok()) {
      world_.violation("put failed: " + answer.status().to_string());
    }
    documents_[key] = content;
  }

  void remove(const SpecKey& key) {
    if (documents_.erase(key) != 0) {
      world_.trace(fmt::format("host removes {}/{}", key.catalog_id, key.spec_name));
      const Status status = shared_.catalog->remove(key);
      if (!status.ok()) {
        world_.violation("remove failed: " + status.to_string());
      }
      checker_.removed(key);
    }
  }

  /// A deployment: every catalog moves, processes follow when they start anew.
  void switch_space(const std::string& /*why*/) {
    space_ = space_ == kSpaceA ? kSpaceB : kSpaceA;
    world_.trace("host switches to " + space_.id());
    const auto catalogs = shared_.catalog->catalogs();
    for (const CatalogInfo& catalog : *catalogs) {
      checker_.switched(catalog.catalog_id);
      const auto answer = shared_.catalog->switch_space(catalog.catalog_id, space_);
      if (!answer.ok()) {
        world_.violation("switch_space failed: " + answer.status().to_string());
      }
    }
    for (std::size_t i = 0; i < processes_.size(); ++i) {
      if (processes_[i] && processes_[i]->runtime->alive() && !processes_[i]->stopping) {
        stop_process(i);
      }
    }
  }

  // --- the end ---

  void enqueue_everything() {
    for (const auto& [key, content] : documents_) {
      (void)shared_.store->enqueue(key, JobKind::kSpecWrite);
    }
    wake_all();
  }

  static bool is_bad(const std::string& content) {
    return content.starts_with('!') || content.find("poison") != std::string::npos ||
           content.find("killer") != std::string::npos;
  }

  bool all_ended() {
    next_look_ = world_.elapsed() + seconds(1);
    for (const auto& [key, content] : documents_) {
      const SpecKey keys[] = {key};
      const auto jobs = shared_.store->last_jobs(keys);
      const auto& job = (*jobs)[0];
      const JobStatus wanted = is_bad(content) ? JobStatus::kFailed : JobStatus::kSucceeded;
      if (!job || job->status != wanted) {
        return false;
      }
    }
    return true;
  }

  void check_end() {
    if (!world_.violations().empty()) {
      return;
    }
    check_provider();
    for (const auto& [key, content] : documents_) {
      const SpecKey keys[] = {key};
      const auto jobs = shared_.store->last_jobs(keys);
      const auto& job = (*jobs)[0];
      const std::string status = job ? std::string(to_string(job->status)) : "none";
      if (content.starts_with('!')) {
        continue;
      }
      std::map<std::string, std::string> wanted;
      checker_.document_rows(key, wanted);
      const auto rows = checker_.rows(key);
      if (!is_bad(content)) {
        if (rows != wanted || status != "succeeded") {
          world_.violation(fmt::format("9 (liveness): {}/{} is {} with {} of {} rows after hours of calm: {}",
                                       key.catalog_id, key.spec_name, status, rows.size(), wanted.size(),
                                       job ? job->last_error : ""));
        }
        continue;
      }
      check_rest_stored(key, content, status, job ? job->last_error : "");
    }
  }

  void check_provider() {
    const auto state = shared_.store->provider_state(Provider::kName);
    if (!state.ok() || state->tokens_total != checker_.tokens_counted()) {
      world_.violation("tokens: the ledger of the provider is not the sum of what passes told");
    }
    if (state.ok() && state->batch_texts > static_cast<std::size_t>(batch_size_)) {
      world_.violation("the batch size that is remembered is larger than any batch");
    }
    if (state.ok() && state->input_bytes > Provider::kLongest) {
      world_.violation("a length is remembered that the provider can't have taken");
    }
  }

  /// The vectors of all operations but the bad ones are stored, and the job has failed.
  void check_rest_stored(const SpecKey& key, const std::string& content, const std::string& status,
                         const std::string& error) {
    const auto operations = LineSplitter().split(content);
    for (std::size_t i = 0; i < operations->size(); ++i) {
      if (!is_bad(std::string(operations->text(i))) &&
          !checker_.is_stored(key.catalog_id, space_, operations->text_hash(i))) {
        world_.violation(fmt::format("10 (set aside): {}/{} {}: {} is not stored: {}", key.catalog_id, key.spec_name,
                                     status, operations->operation_id(i), error));
        return;
      }
    }
    if (status != "failed") {
      world_.violation(
          fmt::format("10 (ends): {}/{} is {} after hours of calm: {}", key.catalog_id, key.spec_name, status, error));
    }
  }

  HistoryOptions options_;
  World world_;
  Duration lease_;
  std::shared_ptr<WorldClock> clock_;
  std::string file_;
  Backend shared_;  ///< The world's own, past all faults; over memory everybody's.
  Provider provider_;
  Checker checker_;
  Space space_ = kSpaceA;
  std::vector<std::unique_ptr<Process>> processes_;
  std::uint64_t incarnations_ = 0;
  int slots_ = 1, batch_size_ = 1, concurrency_ = 1;
  bool has_bad_texts_ = false;
  long long requests_per_minute_ = 0;
  std::vector<SpecKey> keys_;
  std::map<SpecKey, std::string> documents_;
  bool rare_host_ = false;
  bool calm_ = false;
  Duration next_look_{0};
};

}  // namespace

HistoryResult run_history(const HistoryOptions& options) {
  return History(options).run();
}

}  // namespace embedjobs::sim
