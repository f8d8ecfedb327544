// How much of a database one transaction takes, so that none is long.
#pragma once

#include <cstddef>

namespace embedjobs::core {

/// No transaction writes more rows than this: renewals and other passes never wait long.
inline constexpr std::size_t kMaxRowsPerTransaction = 1000;
/// A read that is long takes pieces of this many rows, each in a transaction of its own: a reader keeps every writer of
/// SQLite's from committing, and the server's dead rows from being cleaned.
inline constexpr std::size_t kReadPieceRows = 2000;

}  // namespace embedjobs::core
