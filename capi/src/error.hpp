// Where C++ ends: a Status becomes a code and an embedjobs_error, an exception becomes a Status.
#pragma once

#include <exception>
#include <new>
#include <string>
#include <string_view>
#include <utility>

#include <cxxabi.h>

#include "embedjobs.h"
#include "embedjobs/status.hpp"

namespace embedjobs::capi {

/// One line of valid UTF-8, of which the first 1,000 bytes are kept.
std::string clean_line(std::string_view message);

/// The code of `status`; with `error`, also the error that says why. Never throws: without memory the error is NULL.
std::int32_t report(const Status& status, embedjobs_error** error) noexcept;
/// The same for EMBEDJOBS_INTERNAL and the words of an exception.
std::int32_t report_defect(const char* message, embedjobs_error** error) noexcept;

/// Calls `f`, which answers a Status, and reports it. Every function of the interface that can fail is one call of
/// this. The unwinding of a thread that is being ended goes on; no exception gets out.
template <typename F>
std::int32_t boundary(embedjobs_error** error, F&& f) {
  try {
    return report(std::forward<F>(f)(), error);
  } catch (const abi::__forced_unwind&) {
    throw;
  } catch (const std::bad_alloc&) {
    return report_defect("out of memory", error);
  } catch (const std::exception& failure) {
    return report_defect(failure.what(), error);
  } catch (...) {
    return report_defect("an exception of an unknown type", error);
  }
}

/// For what can't fail, or has nobody to tell.
template <typename F>
void quiet_boundary(F&& f) {
  const auto succeed = [&] {
    std::forward<F>(f)();
    return Status();
  };
  (void)boundary(nullptr, succeed);
}

}  // namespace embedjobs::capi
