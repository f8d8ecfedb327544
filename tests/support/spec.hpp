// Small OpenAPI documents.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace embedjobs::test {

/// One operation a summary: ids "op-0", "op-1", ...
inline std::string spec_of(const std::vector<std::string>& summaries) {
  std::string paths;
  for (std::size_t i = 0; i < summaries.size(); ++i) {
    const std::string number = std::to_string(i);
    paths += (i == 0 ? "" : ",");
    paths +=
        "\"/p" + number + "\":{\"get\":{\"operationId\":\"op-" + number + "\",\"summary\":\"" + summaries[i] + "\"}}";
  }
  return "{\"openapi\":\"3.0.3\",\"info\":{\"title\":\"t\",\"version\":\"1\"},\"paths\":{" + paths + "}}";
}

/// `count` operations whose texts begin with `word`.
inline std::string spec_with(std::size_t count, std::string_view word) {
  std::vector<std::string> summaries;
  for (std::size_t i = 0; i < count; ++i) {
    summaries.push_back(std::string(word) + " number " + std::to_string(i));
  }
  return spec_of(summaries);
}

}  // namespace embedjobs::test
