#include "core/rules/fleet.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "core/values/guard.hpp"
#include "core/values/utf8.hpp"
#include "embedjobs/limits.hpp"
#include "embedjobs/sys/store_rules.hpp"

namespace embedjobs {
namespace core {
namespace {

constexpr std::size_t kMostTextBytes = 255;

/// Any bytes as a line that every backend can store.
std::string bounded_line(std::string_view text) {
  std::string line = one_line(cut_utf8(text.substr(0, kMostTextBytes + 4), kMostTextBytes));
  if (!is_valid_utf8(line)) {
    std::replace_if(
        line.begin(), line.end(), [](char c) { return static_cast<unsigned char>(c) >= 0x80; }, '?');
  }
  return line;
}

}  // namespace

Result<WorkerInfo> checked_worker(WorkerInfo worker) {
  if (worker.worker_id.empty() || worker.worker_id.size() > kMaxNameBytes) {
    return {Code::kInvalidArgument, fmt::format("a worker's id is empty or longer than {} bytes", kMaxNameBytes)};
  }
  for (std::string* text : {&worker.host, &worker.version, &worker.provider, &worker.space_id}) {
    *text = bounded_line(*text);
  }
  worker.slots = std::max(worker.slots, 0);
  worker.process_id = std::max<std::int64_t>(worker.process_id, 0);
  worker.lease_duration = std::clamp(worker.lease_duration, Duration(0), kMaxLease);
  return worker;
}

std::vector<WorkerStatus> fleet_of(std::vector<WorkerInfo> workers, std::vector<Job> running) {
  std::vector<WorkerStatus> fleet;
  std::map<std::string, std::size_t, std::less<>> place;
  for (WorkerInfo& worker : workers) {
    place.emplace(worker.worker_id, fleet.size());
    fleet.push_back({.worker = std::move(worker), .jobs = {}});
  }
  std::sort(running.begin(), running.end(), [](const Job& a, const Job& b) { return a.id < b.id; });
  for (Job& job : running) {
    const auto [at, is_new] = place.emplace(job.worker_id, fleet.size());
    if (is_new) {
      fleet.emplace_back().worker.worker_id = job.worker_id;
    }
    fleet[at->second].jobs.push_back(std::move(job));
  }
  return fleet;
}

}  // namespace core

bool is_live(const WorkerInfo& worker) noexcept {
  return worker.last_seen_at != WallTime{} && worker.read_at - worker.last_seen_at <= worker.lease_duration;
}

}  // namespace embedjobs
