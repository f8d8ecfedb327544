// Any bytes may come as a document: the splitter answers with a list or a one-line error, the same each time, and never
// crashes or hangs.
#include "embedjobs/openapi.hpp"

#include "split_check.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const auto splitter = embedjobs::make_openapi_splitter();
  embedjobs::fuzz::check(splitter->split({reinterpret_cast<const char*>(data), size}));
  return 0;
}
