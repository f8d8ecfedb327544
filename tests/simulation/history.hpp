// One seed: several processes, a host that edits, removes, retries and switches spaces, and faults everywhere; then
// calm, in which everything must come to its end.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace embedjobs::sim {

struct HistoryOptions {
  std::uint64_t seed = 0;
  bool sqlite = false;
  bool print_trace = false;
  std::string folder;  ///< For database files.
};

struct HistoryResult {
  std::vector<std::string> violations;
  std::uint64_t trace_hash = 0;
  double simulated_seconds = 0;
  std::uint64_t texts_sent = 0;
};

HistoryResult run_history(const HistoryOptions& options);

}  // namespace embedjobs::sim
