// What a store keeps of workers: the rules, the same in every backend.
#pragma once

#include <algorithm>
#include <cstddef>
#include <limits>

#include "embedjobs/fleet.hpp"

namespace embedjobs::core {

/// A list of workers has at most this many rows.
inline constexpr std::size_t kMostWorkersListed = 10'000;

/// The entry with its texts cut to one bounded line each. kInvalidArgument: an id that is none.
Result<WorkerInfo> checked_worker(WorkerInfo worker);

/// The columns of a worker's row, in the order that read_worker() takes.
#define EMBEDJOBS_WORKER_COLUMNS \
  "id, host, process_id, version, slots, provider, space, lease_duration, started_at, last_seen_at"

/// `row`: the query of a backend.
template <typename Row>
WorkerInfo read_worker(const Row& row, WallTime read_at) {
  constexpr std::int64_t kMostSlots = std::numeric_limits<int>::max();
  return {.worker_id = std::string(row.text(0)),
          .host = std::string(row.text(1)),
          .process_id = row.integer(2),
          .version = std::string(row.text(3)),
          .slots = static_cast<int>(std::clamp<std::int64_t>(row.integer(4), 0, kMostSlots)),
          .provider = std::string(row.text(5)),
          .space_id = std::string(row.text(6)),
          .lease_duration = Duration(row.integer(7)),
          .started_at = row.time(8),
          .last_seen_at = row.time(9),
          .read_at = read_at};
}

/// Sorts running jobs to those who hold them; workers that only a job names come last.
std::vector<WorkerStatus> fleet_of(std::vector<WorkerInfo> workers, std::vector<Job> running);

}  // namespace embedjobs::core
