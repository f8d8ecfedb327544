// What needs no engine: the version, names of codes, the hash of a text.
#include <algorithm>
#include <string_view>

#include "embedjobs.h"
#include "embedjobs/types.hpp"
#include "error.hpp"

extern "C" {

const char* embedjobs_version(void) {
  return EMBEDJOBS_VERSION;
}

const char* embedjobs_code_name(std::int32_t code) {
  return embedjobs::code_name(static_cast<embedjobs::Code>(code)).data();  // literals: they end with NUL
}

void embedjobs_hash_text(const char* text, std::size_t size, std::uint8_t* hash) {
  if (hash == nullptr || (text == nullptr && size > 0)) {
    return;
  }
  const auto write_hash = [&] {
    const embedjobs::TextHash value = embedjobs::hash_text(std::string_view(text == nullptr ? "" : text, size));
    std::copy(value.begin(), value.end(), hash);
  };
  embedjobs::capi::quiet_boundary(write_hash);
}

}  // extern "C"
