// Who works: the workers that a store has heard of lately, and what they hold. For people; nothing of the queue depends
// on it.
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
  std::string provider;         ///< Whom it asks for vectors; empty: not known yet, or a host's own computer.
  std::string space_id;         ///< What it writes; empty: not known yet.
  Duration lease_duration{0};   ///< Its store's. It is heard of again after a third of this.
  WallTime started_at{};  ///< When it was first heard of. This and the next are the store's time and set by the store.
  WallTime last_seen_at{};  ///< When it was last heard of.
  WallTime read_at{};       ///< The store's time of this answer.
};

/// It was heard of within one of its leases.
[[nodiscard]] bool is_live(const WorkerInfo& worker) noexcept;

/// A worker and what it holds.
struct WorkerStatus {
  WorkerInfo
      worker;  ///< Only the id, and no times, where the store has not heard of the worker itself but a job names it.
  std::vector<Job> jobs;  ///< Running; by id.
};

}  // namespace embedjobs
