// What a store keeps of workers: the rules, the same in every backend.
#pragma once

#include <cstddef>

#include "embedjobs/fleet.hpp"

namespace embedjobs::core {

/// A list of workers has at most this many rows.
inline constexpr std::size_t kMostWorkersListed = 10'000;

/// The entry with its texts cut to one bounded line each. kInvalidArgument: an id that is none.
Result<WorkerInfo> checked_worker(WorkerInfo worker);

/// Sorts running jobs to those who hold them; workers that only a job names come last.
std::vector<WorkerStatus> fleet_of(std::vector<WorkerInfo> workers, std::vector<Job> running);

}  // namespace embedjobs::core
