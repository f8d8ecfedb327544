// Who works: the workers that a store has heard of lately, and the jobs that they hold. This is for people. The queue
// does not depend on it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "embedjobs/jobs.hpp"
#include "embedjobs/types.hpp"

namespace embedjobs {

/// A worker as it presents itself. Texts are what the worker says: a store keeps them as one bounded line each, and
/// trusts none.
struct WorkerInfo {
  std::string worker_id;        ///< As in Job::worker_id. 1 to 512 bytes.
  std::string host;             ///< The machine's name.
  std::int64_t process_id = 0;  ///< On that machine.
  std::string version;          ///< Of the library.
  int slots = 0;                ///< Jobs at a time.
  std::string provider;         ///< The provider that it calls. Empty: not known yet, or a host's own computer.
  std::string space_id;         ///< The space that it writes. Empty: not known yet.
  Duration lease_duration{0};   ///< That of its store. The worker writes its entry again after a third of this.
  WallTime started_at{};        ///< When it was first heard of. The store sets this and the next, by its own time.
  WallTime last_seen_at{};      ///< When it was last heard of.
  WallTime read_at{};           ///< The store's time of this answer.
};

/// It was heard of within one of its leases.
[[nodiscard]] bool is_live(const WorkerInfo& worker) noexcept;

/// A worker and what it holds.
struct WorkerStatus {
  WorkerInfo worker;      ///< Only the id, and no times, when a job names the worker but the worker has no entry.
  std::vector<Job> jobs;  ///< Running; by id.
};

}  // namespace embedjobs
