// The handle of an engine, and how a call on it begins.
#pragma once

#include <unistd.h>

#include <memory>
#include <string_view>

#include "call.hpp"
#include "embedjobs.h"
#include "embedjobs/engine.hpp"
#include "error.hpp"
#include "layout.hpp"

namespace embedjobs::capi {

/// An open engine with what its callbacks share. Every call keeps it, so that a destroy in mid-call ends it after the
/// call.
struct OpenEngine {
  std::shared_ptr<HostState> state;
  std::unique_ptr<Engine> engine;
  const pid_t pid = ::getpid();
};

/// Whether a function may be called from inside a callback of its engine.
enum class FromCallback { kAllowed, kRefused };

Status check_call(const embedjobs_engine* handle, FromCallback rule, const char* function);

/// A name that was passed: NULL is none.
inline Status check_name(const char* name, std::string_view what) {
  return name != nullptr ? Status() : Status(Code::kInvalidArgument, std::string(what) + " is NULL");
}
/// A block that was passed.
Result<std::string_view> read_block(const char* data, std::size_t size, std::string_view what);
Result<SpecKey> read_key(const char* catalog_id, const char* spec_name);

}  // namespace embedjobs::capi

struct embedjobs_engine {
  std::shared_ptr<embedjobs::capi::OpenEngine> open;
};

namespace embedjobs::capi {

/// A call on an engine: `f(Engine&)` answers a Status.
template <typename F>
std::int32_t engine_call(embedjobs_engine* handle, FromCallback rule, const char* function, embedjobs_error** error,
                         F&& f) {
  const auto checked = [&]() -> Status {
    if (Status status = check_call(handle, rule, function); !status.ok()) {
      return status;
    }
    const std::shared_ptr<OpenEngine> open = handle->open;
    return f(*open->engine);
  };
  return boundary(error, checked);
}

}  // namespace embedjobs::capi
