// Calls of a host's plug-in. An exception that leaves it ends here and becomes a Status.
#pragma once

#include <exception>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include <cxxabi.h>

#include "embedjobs/status.hpp"

namespace embedjobs::core {

/// What a plug-in said, fit for a message: one line, no control characters, bounded.
inline std::string one_line(std::string_view text) {
  static constexpr std::size_t kMaxBytes = 1000;
  std::string line(text.substr(0, kMaxBytes));
  for (char& c : line) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      c = ' ';
    }
  }
  return line;
}

/// Calls `f`, which returns a Status, a Result or nothing; answers what it answers (success for nothing). An exception
/// becomes kInternal and names `who` threw it. The unwinding of a cancelled thread is not an exception to swallow:
/// glibc ends the process if it is.
template <typename F>
auto guarded(std::string_view who, F&& f)
    -> std::conditional_t<std::is_void_v<std::invoke_result_t<F>>, Status, std::invoke_result_t<F>> {
  try {
    if constexpr (std::is_void_v<std::invoke_result_t<F>>) {
      std::forward<F>(f)();
      return Status();
    } else {
      return std::forward<F>(f)();
    }
  } catch (const abi::__forced_unwind&) {
    throw;
  } catch (const std::exception& error) {
    return Status(Code::kInternal, std::string(who) + " threw: " + one_line(error.what()));
  } catch (...) {
    return Status(Code::kInternal, std::string(who) + " threw an exception of an unknown type");
  }
}

}  // namespace embedjobs::core
