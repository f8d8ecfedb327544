// The backend that keeps everything in memory: for tests, and for hosts that index again at every start.
#pragma once

#include <memory>

#include "embedjobs/backend.hpp"
#include "embedjobs/options.hpp"

namespace embedjobs {

class Clock;

/// Store and Catalog over one state, thread-safe. Dies with its last user. `clock` null: the system's.
Backend make_memory_backend(const StoreOptions& options, std::shared_ptr<Clock> clock);

}  // namespace embedjobs
