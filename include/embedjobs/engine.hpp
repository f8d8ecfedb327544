// The facade most hosts use: documents in, searchable vectors out, work in the background.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "embedjobs/backend.hpp"
#include "embedjobs/badge.hpp"
#include "embedjobs/events.hpp"
#include "embedjobs/fleet.hpp"
#include "embedjobs/jobs.hpp"
#include "embedjobs/metrics.hpp"
#include "embedjobs/options.hpp"
#include "embedjobs/provider.hpp"
#include "embedjobs/search.hpp"
#include "embedjobs/space.hpp"
#include "embedjobs/types.hpp"

namespace embedjobs {

class Clock;
class Embedder;
class EmbeddingComputer;
class Persister;
class Runtime;
class SpecResolver;
class Splitter;
class Store;

/// Opens a backend by DSN: "sqlite:PATH", "postgresql://..." or "memory:". `clock` null: the system's.
/// kInvalidArgument: not a DSN; kUnusable: the database can't be used, and the message says why and what to do.
Result<Backend> open_backend(std::string_view dsn, const StoreOptions& options, std::shared_ptr<Clock> clock);

/// Makes an embedder from a string: "hashing[:DIM][?delay=50ms][&log=FILE]", or one of those that parse_http_embedder()
/// reads. kInvalidArgument says what is allowed.
Result<std::shared_ptr<Embedder>> make_embedder(std::string_view spec);
/// The string that makes an embedder of this space, for example "hashing:512" for "512/hashing?v1". kNotFound when the
/// space does not say enough for that.
Result<std::string> embedder_spec_for(std::string_view space_id);
/// The embedder of the space `space_id` that a catalog remembers as `spec` (Catalog::remembered_embedder). An empty
/// `space_id` stands for a space that is not known yet. The key of the environment is sent to the provider's usual
/// address alone, never to one that was read from a database. kNotFound: nothing is remembered, and the name of the
/// space does not tell. kRefused: what is remembered makes another space.
Result<std::shared_ptr<Embedder>> make_remembered_embedder(std::string_view spec, std::string_view space_id);

struct EngineOptions {
  std::string dsn = "sqlite:embedjobs.db";
  /// What make_embedder() reads. Empty: put, status and lists work. start() and search then use the space that the
  /// catalogs record: kRefused when catalogs have different spaces, "hashing" when no space is recorded yet.
  std::string embedder;
  WorkerOptions worker;
  MaintenanceOptions maintenance;
  LogSink log;
  EventSink events;
};

/// Parts that a host brings. The library makes each part that is null from `options`. A part that is given wins over
/// the option that would make it. `store`, `resolver` and `persister` default to the backend of options.dsn, `splitter`
/// to make_document_splitter(), `runtime` to real threads.
struct EngineParts {
  std::shared_ptr<Store> store;
  std::shared_ptr<SpecResolver> resolver;
  std::shared_ptr<Persister> persister;
  std::shared_ptr<const Splitter> splitter;
  std::shared_ptr<Embedder> embedder;
  std::shared_ptr<EmbeddingComputer> computer;
  std::shared_ptr<Runtime> runtime;
};

/// How the queue stands after wait_idle.
struct IdleReport {
  bool idle = false;                 ///< Nothing is runnable, running anywhere, or due within max_wait.
  std::optional<Duration> next_due;  ///< A pending job that is due later than max_wait.
  bool other_space = false;          ///< Open jobs are left that belong to catalogs of another target space.
  /// Set when jobs are left that wait for the provider. It has not answered for max_wait, or may not be asked within
  /// it.
  std::optional<ProviderPause> provider;
};

/// When Engine::run returns.
struct RunOptions {
  bool until_idle = false;  ///< False: when the engine was stopped. True: also when wait_idle(max_wait) would return.
  Duration max_wait{0};     ///< As wait_idle's.
  std::optional<Duration> time_limit;  ///< kTimeout after this; none: no limit.
};

/// Rows of a spec against its document.
struct VerifyReport {
  SpecKey key;
  bool equal = false;
  std::string difference;  ///< The first one, for people; empty when equal.
};

/// Thread-safe. Open the engine after fork: a call in a forked child answers kRefused and touches nothing. The
/// destructor stops the engine. It waits without limit for provider calls that do not return. Do not destroy the engine
/// from its own callbacks.
class Engine {
 public:
  static Result<std::unique_ptr<Engine>> open(EngineOptions options);
  static Result<std::unique_ptr<Engine>> open(EngineOptions options, EngineParts parts);
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  /// What apply_defaults and warnings said of the options.
  [[nodiscard]] const std::vector<std::string>& warnings() const;

  // Documents. kRefused where the engine was opened with the host's own resolver.
  /// Checks that the document can be split (kInvalidDocument, and what was stored before stays), then stores it with
  /// its job.
  Result<EnqueueResult> put(const SpecKey& key, std::string_view content);
  /// The same for a document that the host cut itself. `items` are JSON Lines (docs/items.md): each line is one object
  /// {"id": ..., "text": ...}. They are the whole document: an item that is not among them is gone. kInvalidDocument
  /// names the line. kRefused also where the engine was opened with the host's own splitter or computer.
  Result<EnqueueResult> put_items(const SpecKey& key, std::string_view items);
  /// kNotFound when there is none.
  Status remove(const SpecKey& key);
  Status remove_catalog(std::string_view catalog_id);
  /// Makes `target` the catalog's target space. Returns how many specs were enqueued. start() works on the catalog only
  /// if the embedder of this engine is of the target space.
  Result<std::size_t> switch_space(std::string_view catalog_id, const Space& target);

  // Jobs
  /// "This document changed", for a host that keeps documents itself.
  Result<EnqueueResult> enqueue(const SpecKey& key, JobKind kind);
  /// Everything of the spec is embedded afresh. kNotFound: no such spec.
  Result<EnqueueResult> retry(const SpecKey& key);
  /// Retries every spec whose last job failed. Returns how many.
  Result<std::size_t> retry_failed();
  Result<std::size_t> reconcile();
  Result<std::vector<Job>> jobs(const JobFilter& filter);

  // Work
  /// Starts worker and maintenance. Acts once. kRefused: the embedder's space is not the target space of any catalog,
  /// or no embedder fits. kRefused also where run() was used before.
  Status start();
  /// Runs the worker on the calling thread, in place of start(). The embedder and the computer are called on this
  /// thread. If the host brought its own resolver or persister, then resolver, persister and store are called on it
  /// too. Heartbeats, events and log stay with threads of the library. Only one thread may be in run() (another gets
  /// kRefused). Between two calls work waits, but leases are kept. On success it returns when the options say so, and
  /// reports how the queue stands (an empty report after a stop). Errors as start() and wait_idle().
  Result<IdleReport> run(const RunOptions& options, std::stop_token stop = {});
  /// True: everything has ended, no call of a part is under way, and every lease is released. False: the deadline
  /// passed first (a provider call does not return, or this is an event callback). Leases are released all the same.
  /// Idempotent: call it again after false. If run() was used and no thread is in it, the calling thread does what is
  /// left to do.
  bool stop(Duration deadline);
  /// Only asks for an end. Allowed everywhere, callbacks included. kRefused in a forked child.
  Status request_stop();
  /// Waits until the queue is idle, or until this engine's worker could not reach its provider for `max_wait`. While a
  /// database is busy, it only waits longer. kCancelled when `stop` is requested. kRefused from an event callback: the
  /// work would wait for the callback. kUnusable when the worker can't claim or can't record outcomes. kTimeout after
  /// `time_limit`, if there is one.
  Result<IdleReport> wait_idle(Duration max_wait, std::stop_token stop = {}, std::optional<Duration> time_limit = {});

  // Reading
  Result<std::vector<SpecStatus>> status(std::optional<std::string> catalog_id);
  Result<CatalogHealth> health(std::optional<std::string> catalog_id);
  Result<std::vector<CatalogInfo>> catalogs();
  Result<Space> rows(const SpecKey& key, bool with_vectors, const std::function<bool(const StoredRow&)>& visit);
  /// Embeds the query and finds the `k` nearest operations. While a switch of the space is under way, the search reads
  /// the old space. It needs an embedder of the old space for that: kRefused when the library can't make one.
  Result<std::vector<SearchHit>> search(std::string_view catalog_id, std::string_view query, std::size_t k);
  /// Splits the stored documents again and compares: every operation has its row with the text's hash, and nothing else
  /// has one.
  Result<std::vector<VerifyReport>> verify(std::string_view catalog_id, std::optional<std::string> spec_name);
  Result<MetricsSnapshot> metrics();
  /// What the store remembers of providers: batch sizes, pauses, tokens.
  Result<std::vector<ProviderState>> providers();
  /// Who works, and which jobs each worker holds. Workers with an entry come first, by id. Then come those that only a
  /// running job names. At most 10,000 running jobs are looked at.
  Result<std::vector<WorkerStatus>> workers();

  /// The parts in use, for what the facade does not offer.
  [[nodiscard]] Store& store();
  [[nodiscard]] const Splitter* splitter() const;  ///< Null with a host's computer.

 private:
  class Impl;
  explicit Engine(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace embedjobs
