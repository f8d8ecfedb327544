// What is a gap, and one page of looking for them.
#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "embedjobs/maintenance.hpp"
#include "embedjobs/persister.hpp"
#include "embedjobs/resolver.hpp"
#include "embedjobs/sys/catalog.hpp"
#include "embedjobs/sys/store.hpp"
#include "embedjobs/types.hpp"

namespace embedjobs::core {

inline constexpr std::size_t kReconcilePage = 500;

/// How a spec's rows should be.
struct Desired {
  std::string content_version;
  std::string space_id;          ///< Empty: any.
  std::string splitter_version;  ///< Empty: any.
};

/// Why the reconciler must enqueue a spec, for people; none: it must not, since nothing is missing, or a job is open,
/// or the key is parked after failures. The whole rule, in the order in which it is tried.
std::optional<std::string> gap_reason(const Desired& desired, const SpecState& actual,
                                      const std::optional<Job>& last_job, const Failure& failure, WallTime now);

/// One round over all documents, a page at a time. Any thread, one call at a time.
class ReconcileRound {
 public:
  explicit ReconcileRound(const MaintenanceParts& parts) : parts_(parts) {}
  /// Enqueues the gaps of the next page. After an error the round is over: begin another one.
  Status next_page(WallTime now);
  [[nodiscard]] bool done() const noexcept { return done_; }
  [[nodiscard]] std::size_t enqueued() const noexcept { return enqueued_; }

 private:
  Status learn_targets();
  [[nodiscard]] Desired desired(const SpecVersion& document) const;
  Result<std::vector<SpecVersion>> list_page();
  Status enqueue_gaps(const std::vector<SpecVersion>& page, WallTime now);

  Status enqueue_all(const std::vector<SpecKey>& gaps, const std::vector<std::string>& reasons);
  void log(LogLevel level, std::string_view message) const;

  const MaintenanceParts& parts_;
  std::optional<std::map<std::string, std::string>> targets_;  ///< Space a catalog, where there is a built-in one.
  std::optional<SpecKey> cursor_;
  std::size_t seen_ = 0;
  std::size_t enqueued_ = 0;
  bool done_ = false;
};

}  // namespace embedjobs::core
