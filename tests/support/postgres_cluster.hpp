// tests/support/postgres_cluster.sh, for the tests that it runs.
#pragma once

#include <cstdlib>
#include <stdexcept>
#include <string>

namespace embedjobs::test {

/// Says a word to the script, about the server that the test runs under.
inline void cluster(const std::string& words) {
  const std::string script = std::string(EMBEDJOBS_SOURCE_DIR) + "/tests/support/postgres_cluster.sh ";
  if (std::system((script + words).c_str()) != 0) {
    throw std::runtime_error("postgres_cluster.sh " + words);
  }
}

/// Where the server's sockets are.
inline std::string cluster_folder() {
  return std::getenv("EMBEDJOBS_TEST_CLUSTER");
}

}  // namespace embedjobs::test
