// Everything the memory backend knows, and the steps that store and catalog share.
//
// One mutex guards it all. A public call locks, works, unlocks, and only then wakes workers or calls a host's visitor.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <vector>

#include "core/backend/wake.hpp"
#include "core/rules/fleet.hpp"
#include "core/rules/provider_notes.hpp"
#include "embedjobs/sys/catalog.hpp"
#include "embedjobs/sys/runtime.hpp"
#include "embedjobs/sys/store_rules.hpp"

namespace embedjobs::memory {

struct StoredVector {
  VectorMark mark;
  std::vector<float> values;
  std::size_t references = 0;     ///< Operation rows that point here.
  WallTime unreferenced_since{};  ///< Since when there is none.
};

struct HashOfHash {
  std::size_t operator()(const TextHash& hash) const noexcept;
};
using VectorTable = std::unordered_map<TextHash, StoredVector, HashOfHash>;
/// The pass that is about to embed a text.
struct Holder {
  SpecKey key;
  Fence fence;
};
using ReservationTable = std::unordered_map<TextHash, Holder, HashOfHash>;
using OperationRows = std::map<std::string, TextHash, std::less<>>;
using SpaceId = std::string;

/// A document, its rows, or both. A host that keeps documents itself has rows alone.
struct Spec {
  std::optional<Document> document;
  WallTime updated_at{};
  std::map<SpaceId, OperationRows> rows;
  SpaceId visible_space;  ///< Empty: nothing is visible yet.
  SpecState finalized;
  std::int64_t operation_count = 0;

  [[nodiscard]] const OperationRows& rows_in(const SpaceId& space) const;
  [[nodiscard]] const OperationRows& visible_rows() const { return rows_in(visible_space); }
  /// The visible rows are those of the current document.
  [[nodiscard]] bool complete() const;
};

/// All that one key has. It outlives its jobs and its removal.
struct KeyRow {
  rules::KeyState state;
  JobId open_job = 0;
  JobId last_job = 0;
  Duration lease_until{0};  ///< Of the running job, by the boot-time clock.
  std::vector<rules::InFlight> in_flight;
  Failure failure;
  std::optional<Spec> spec;
};
using KeyMap = std::map<SpecKey, KeyRow>;
using KeyEntry = KeyMap::value_type;

struct CatalogRow {
  SpaceId target_space;
  SpaceId search_space;
  std::map<SpaceId, VectorTable> vectors;
  std::map<SpaceId, ReservationTable> reservations;
  std::map<SpaceId, std::string> embedders;  ///< How vectors of a space are made; "" is one that nobody knew.
};
using CatalogMap = std::map<std::string, CatalogRow, std::less<>>;
using CatalogEntry = CatalogMap::value_type;

/// The address of a vector.
using VectorKey = std::tuple<std::string, SpaceId, TextHash>;

class State {
 public:
  /// `options` after apply_defaults.
  State(const StoreOptions& options, std::shared_ptr<Clock> clock_in) : rules(options), clock(std::move(clock_in)) {}

  const StoreOptions rules;
  const std::shared_ptr<Clock> clock;
  core::WakeSignal wake;

  std::mutex mutex;  // guards what follows
  KeyMap keys;
  CatalogMap catalogs;
  std::map<JobId, rules::StoredJob> jobs;
  std::set<JobId> open_jobs;
  JobId last_job_id = 0;
  std::uint64_t epoch = 0;
  std::uint64_t enqueue_counter = 0;
  std::map<std::string, core::ProviderRow, std::less<>> providers;
  std::map<std::string, WorkerInfo, std::less<>> workers;
  std::set<VectorKey> unreferenced;
  std::optional<VectorKey> swept_to;  ///< Where the round of sweeps under way goes on.

  // Keys and jobs
  KeyEntry& key_row(const SpecKey& key);  ///< Made if absent, with its catalog.
  [[nodiscard]] KeyEntry* find_key(const SpecKey& key);
  /// The catalog's keys, in order.
  [[nodiscard]] std::pair<KeyMap::iterator, KeyMap::iterator> keys_of(std::string_view catalog_id);
  [[nodiscard]] CatalogEntry& catalog_of(const SpecKey& key) { return *catalogs.find(key.catalog_id); }
  [[nodiscard]] rules::StoredJob* open_job(const KeyRow& row);
  /// The running job that this lease is the right to run, with its row; null when the lease is lost.
  std::pair<rules::StoredJob*, KeyRow*> find_held(JobId job_id, const SpecKey& key, const Fence& fence);
  /// Its fence is current and its lease has not ended.
  [[nodiscard]] bool lives(const Holder& holder);
  EnqueueResult enqueue(KeyEntry& entry, JobKind kind, WallTime now);
  /// A generation because the target space changed: a running job is taken from its holder.
  void enqueue_for_switch(KeyEntry& entry, WallTime now);
  void cancel(KeyEntry& entry, WallTime now);
  /// Stores what a transition that ended a pass left beside job and key.
  void note_settled(KeyRow& row, const rules::StoredJob& job, const rules::Settled& settled, WallTime now);
  std::size_t expire_ended(std::size_t limit);
  core::ProviderRow& provider(std::string_view name);  ///< Made if absent.
  /// Tokens that a fenced write reported for the first time.
  void add_tokens(const rules::StoredJob& job, std::uint64_t tokens);

  // Rows and vectors
  void put_row(CatalogEntry& catalog, Spec& spec, const SpaceId& space, std::string_view operation_id,
               const TextHash& hash);
  void replace_rows(CatalogEntry& catalog, Spec& spec, const SpaceId& space, OperationRows rows);
  void drop_spec(KeyEntry& entry);
  /// Searches follow the target once no spec has visible rows elsewhere; what only the old space needed goes.
  void flip_search_space(CatalogEntry& catalog);

 private:
  EnqueueResult open_new_job(KeyEntry& entry, JobKind kind, WallTime now);
  void refer(CatalogEntry& catalog, const SpaceId& space, const TextHash& hash);
  void release(CatalogEntry& catalog, const SpaceId& space, const TextHash& hash);
};

/// Runs `work` under the lock. An exception (out of memory) becomes a Status.
template <typename Work>
auto locked(State& state, Work&& work) -> decltype(work()) {
  try {
    const std::lock_guard lock(state.mutex);
    return work();
  } catch (const std::exception& error) {
    return Status(Code::kInternal, error.what());
  }
}

std::shared_ptr<Store> make_store(std::shared_ptr<State> state);
std::shared_ptr<Catalog> make_catalog(std::shared_ptr<State> state);

}  // namespace embedjobs::memory
