// Waiting for a socket, with a deadline.
#pragma once

#include <chrono>

#include "embedjobs/types.hpp"

namespace embedjobs::postgres {

/// When a call must have ended, by the steady clock of the machine: about sockets, never about leases.
using Deadline = std::chrono::steady_clock::time_point;
Deadline deadline_in(Duration limit);
/// Whole milliseconds, rounded up; 0 when it has passed.
int millis_until(Deadline deadline);
/// Waits for `events`, those of poll(). False: not within the deadline, or not before there is something to read from
/// `stop_fd` (-1: none).
bool poll_until(int fd, short events, Deadline deadline, int stop_fd);

}  // namespace embedjobs::postgres
