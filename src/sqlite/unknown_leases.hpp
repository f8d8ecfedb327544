// Leases of a boot that can't be told: ours, or that of the holder.
//
// Their stamps can't be compared with our clock. A live lease must not be taken, and a dead one must not block for
// ever. So such a lease has ended when this process has seen it unchanged for the lease's whole length, by its own
// monotonic clock. A holder that lives renews it well before that.
#pragma once

#include <algorithm>
#include <map>
#include <mutex>
#include <string>
#include <tuple>

#include "embedjobs/sys/runtime.hpp"
#include "sqlite/records.hpp"

namespace embedjobs::sqlite {

/// What this process has seen of them. All methods from any thread.
class UnknownLeases {
 public:
  Duration remaining(const LeaseStamp& lease, MonoTime now) {
    const std::lock_guard lock(mutex_);
    const auto [entry, is_new] =
        seen_.try_emplace({lease.boot_id, lease.boot_time, lease.holder}, Seen{now, lease.length});
    if (is_new) {
      // A renewed lease has another stamp. What was seen so long ago is gone.
      std::erase_if(seen_, [&](const auto& old) { return now - old.second.since > 2 * old.second.length; });
      return lease.length;
    }
    return std::max(entry->second.since + lease.length - now, Duration(0));
  }

 private:
  struct Seen {
    MonoTime since;
    Duration length{0};
  };
  std::mutex mutex_;
  std::map<std::tuple<std::string, Duration, std::string>, Seen> seen_;
};

}  // namespace embedjobs::sqlite
