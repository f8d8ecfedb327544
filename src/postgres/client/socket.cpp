#include "postgres/client/socket.hpp"

#include <poll.h>

#include <algorithm>
#include <array>
#include <climits>
#include <cstdint>

namespace embedjobs::postgres {

Deadline deadline_in(Duration limit) {
  const Duration longest = std::chrono::hours(24 * 365);
  return std::chrono::steady_clock::now() + std::clamp(limit, Duration(0), longest);
}

int millis_until(Deadline deadline) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now()).count();
  return static_cast<int>(std::clamp<std::int64_t>(left, 0, INT_MAX));
}

bool poll_until(int fd, short events, Deadline deadline, int stop_fd) {
  while (true) {
    std::array<pollfd, 2> entries{
        {{.fd = fd, .events = events, .revents = 0}, {.fd = stop_fd, .events = POLLIN, .revents = 0}}};
    const int left = millis_until(deadline);
    const int ready = ::poll(entries.data(), entries.size(), left);
    if (ready > 0) {
      return entries[1].revents == 0;
    }
    if (ready == 0 && left == 0) {
      return false;
    }
  }
}

}  // namespace embedjobs::postgres
