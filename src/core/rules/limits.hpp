// How much of a database one transaction takes, so that none is long. The same for every backend.
#pragma once

#include <cstddef>

namespace embedjobs::core {

/// No transaction writes more rows than this: renewals and other passes never wait long.
inline constexpr std::size_t kMaxRowsPerTransaction = 1000;
/// A read that is long takes pieces of this many rows, each in a transaction of its own: a reader keeps every writer of
/// SQLite's from committing, and the server's dead rows from being cleaned.
inline constexpr std::size_t kReadPieceRows = 2000;
/// A spec costs a handful of rows, so a transaction that enqueues or removes takes this many specs.
inline constexpr std::size_t kSpecsPerTransaction = 100;
/// A claim puts back at most this many leases that have ended. The next claim takes the rest.
inline constexpr std::size_t kExpiredPerClaim = 100;
/// Of running jobs at most this many are looked at: by a claim, and for the list of workers.
inline constexpr std::size_t kMaxRunningSeen = 10'000;
/// Jobs of other spaces are counted up to this.
inline constexpr std::size_t kMaxOtherCounted = 1000;

}  // namespace embedjobs::core
