// Any bytes may come as a document: the splitter answers with a list or a one-line error, the same each time, and never crashes or hangs.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "core/utf8.hpp"
#include "embedjobs/openapi.hpp"

namespace {

void require(bool condition) {
  if (!condition) {
    std::abort();
  }
}

void check_list(const embedjobs::OperationList& list) {
  const auto order = list.manifest().sorted_by_id();
  for (std::size_t i = 0; i < order.size(); ++i) {
    require(!list.operation_id(i).empty() && embedjobs::core::is_valid_utf8(list.operation_id(i)));
    require(!list.text(i).empty() && embedjobs::core::is_valid_utf8(list.text(i)));
    require(list.text_hash(i) == embedjobs::hash_text(list.text(i)));
    require(i == 0 || list.operation_id(order[i - 1]) < list.operation_id(order[i]));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const auto splitter = embedjobs::make_openapi_splitter();
  const std::string_view content(reinterpret_cast<const char*>(data), size);
  const auto list = splitter->split(content);
  if (list.ok()) {
    check_list(*list);
    return 0;
  }
  const auto& status = list.status();
  require(status.code() == embedjobs::Code::kInvalidDocument);
  require(!status.message().empty() && status.message().find('\n') == std::string::npos && status.message().size() < 2000);
  return 0;
}
