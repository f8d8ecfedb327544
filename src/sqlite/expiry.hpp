// Has a lease ended?
#pragma once

#include <algorithm>
#include <map>
#include <string>

#include "embedjobs/sys/runtime.hpp"
#include "sqlite/database.hpp"
#include "sqlite/records.hpp"

namespace embedjobs::sqlite {

/// Whether leases have ended, at one moment. Asks once a process whether it lives.
class Expiry {
 public:
  explicit Expiry(Database& database)
      : database_(database),
        options_(database.options()),
        boot_id_(database.clock().boot_id()),
        boot_time_(database.clock().boot_time()) {}

  bool ended(const LeaseStamp& lease) { return remaining(lease) <= Duration(0); }
  /// Never more than the length of the lease: a clock that began anew can't make it longer.
  Duration remaining(const LeaseStamp& lease) {
    if (lease.boot_id.empty() || boot_id_.empty()) {
      return database_.unknown_leases().remaining(lease, database_.clock().now());
    }
    if (lease.boot_id != boot_id_ || !alive(lease.holder)) {
      return Duration(0);
    }
    return std::clamp(lease.boot_time - boot_time_, Duration(0), std::max(lease.length, Duration(0)));
  }

 private:
  bool alive(const std::string& holder) {
    if (holder.empty()) {
      return true;
    }
    const auto [entry, is_new] = alive_.try_emplace(holder, true);
    if (is_new) {
      entry->second = options_.holder_alive(holder);
    }
    return entry->second;
  }

  Database& database_;
  const SqliteOptions& options_;
  std::string boot_id_;
  Duration boot_time_;
  std::map<std::string, bool> alive_;
};

}  // namespace embedjobs::sqlite
