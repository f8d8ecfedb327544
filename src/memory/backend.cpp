#include "embedjobs/memory.hpp"
#include "embedjobs/sys/runtime.hpp"
#include "memory/state.hpp"

namespace embedjobs {

Backend make_memory_backend(const StoreOptions& options, std::shared_ptr<Clock> clock) {
  StoreOptions rules = options;
  apply_defaults(rules);
  const auto state = std::make_shared<memory::State>(rules, clock ? std::move(clock) : system_clock());
  return {memory::make_store(state), memory::make_catalog(state)};
}

}  // namespace embedjobs
