// What a test of the suite starts with: a fresh backend, a clock set by hand, and short words for the usual steps.
#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "conformance/database.hpp"
#include "embedjobs/backend.hpp"
#include "embedjobs/jobs.hpp"
#include "embedjobs/manifest.hpp"
#include "embedjobs/persister.hpp"
#include "embedjobs/search.hpp"
#include "embedjobs/sys/catalog.hpp"
#include "embedjobs/sys/store.hpp"
#include "support/catch.hpp"
#include "support/manual_clock.hpp"
#include "support/results.hpp"

namespace embedjobs::test {

using namespace std::chrono_literals;

inline const SpecKey kKey{"catalog", "spec"};
inline const SpecKey kOtherKey{"catalog", "another spec"};
inline const Space kSpace{"test", 4, "v1"};
inline const Space kNewSpace{"newer", 3, ""};
inline constexpr Duration kLease = 10min;

/// An operation as a document has it.
struct Op {
  std::string id;
  std::string text;
};
using Ops = std::vector<Op>;
Manifest manifest_of(const Ops& ops);

/// Rows with vectors that stand for the texts: the same text gives the same vector, another text another one. `salt`
/// makes a third.
class Rows {
 public:
  Rows(const Ops& ops, const Space& space, int salt = 0);
  [[nodiscard]] std::span<const VectorRow> all() const { return rows_; }
  std::vector<VectorRow>& edit() { return rows_; }

 private:
  Ops ops_;
  std::vector<std::vector<float>> vectors_;
  std::vector<VectorRow> rows_;
};
std::vector<float> vector_of(std::string_view text, const Space& space, int salt = 0);

Seen seen(const Ops& ops);

LeaseRef ref(const Lease& lease);

class Scene {
 public:
  explicit Scene(StoreOptions options = {.lease_duration = kLease});

  std::unique_ptr<Database> database = make_database();
  std::shared_ptr<ManualClock> clock = std::make_shared<ManualClock>();
  Backend backend;
  Store& store;
  Catalog& catalog;  ///< Where the host offers none, one that fails the test at each call.

  // Jobs
  EnqueueResult enqueue(const SpecKey& key = kKey, JobKind kind = JobKind::kSpecWrite) {
    return get(store.enqueue(key, kind));
  }
  ClaimResult claim(std::size_t max_jobs = 1, const Space& space = kSpace) {
    return get(store.claim(request(max_jobs, space)));
  }
  /// Claims exactly one job.
  Lease claim_one(const Space& space = kSpace);
  /// Enqueues and claims one job.
  Lease run(const SpecKey& key = kKey, JobKind kind = JobKind::kSpecWrite);
  ClaimRequest request(std::size_t max_jobs = 1, const Space& space = kSpace);
  JobStatus settle(const Lease& lease, const Outcome& outcome = {}) { return get(store.settle(ref(lease), outcome)); }
  Job job(JobId id) { return get(store.get(id)); }
  JobState state(JobId id) { return get(store.job_state(id)); }
  Job last_job(const SpecKey& key = kKey);
  JobState last_state(const SpecKey& key = kKey);

  // Documents and rows
  EnqueueResult put(const SpecKey& key, std::string_view content) {
    return get(catalog.put(key, content, kSpace.id()));
  }
  PassContext context(const Lease& lease, const Space& space = kSpace);
  Status persist(const Lease& lease, const Ops& ops, const Space& space = kSpace, int salt = 0);
  Status finalize(const Lease& lease, const Ops& ops, const Space& space = kSpace);
  std::vector<bool> existing(const Lease& lease, const Ops& ops, const Space& space = kSpace);
  std::vector<Reservation> reserve(const Lease& lease, const std::vector<std::string>& texts,
                                   const std::vector<std::string>& given_up = {});
  /// A whole pass over a new document: put, claim, persist, finalize, complete.
  void index(const SpecKey& key, const Ops& ops);
  /// The rest of a pass.
  void complete(const Lease& lease, const Ops& ops, const Space& space = kSpace);
  /// The visible rows.
  Seen rows(const SpecKey& key = kKey);
  std::vector<float> vector(const SpecKey& key, std::string_view operation_id);
  SpecInfo info(const SpecKey& key = kKey);
  CatalogInfo catalog_info(std::string_view catalog_id = "catalog");
  /// "spec:operation" of all hits, best first.
  std::vector<std::string> search(std::string_view text, const Space& space = kSpace, std::size_t k = 100);

  std::uint64_t nonce = 1000;
};

/// A call that a stale holder made: refused as such.
void lost(const Status& status);

}  // namespace embedjobs::test
