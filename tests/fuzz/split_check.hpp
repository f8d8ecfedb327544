// What every splitter promises of every answer.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "core/values/utf8.hpp"
#include "embedjobs/splitter.hpp"

namespace embedjobs::fuzz {

inline void require(bool condition) {
  if (!condition) {
    std::abort();
  }
}

inline void check(const Result<OperationList>& list) {
  if (!list.ok()) {
    const auto& status = list.status();
    require(status.code() == Code::kInvalidDocument);
    require(!status.message().empty() && status.message().find('\n') == std::string::npos &&
            status.message().size() < 2000);
    return;
  }
  const auto order = list->manifest().sorted_by_id();
  for (std::size_t i = 0; i < order.size(); ++i) {
    require(!list->operation_id(i).empty() && core::is_valid_utf8(list->operation_id(i)));
    require(!list->text(i).empty() && core::is_valid_utf8(list->text(i)));
    require(list->text_hash(i) == hash_text(list->text(i)));
    require(i == 0 || list->operation_id(order[i - 1]) < list->operation_id(order[i]));
  }
}

}  // namespace embedjobs::fuzz
