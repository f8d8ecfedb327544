#include "conformance/database.hpp"
#include "embedjobs/backend.hpp"
#include "embedjobs/memory.hpp"
#include "embedjobs/sys/runtime.hpp"

namespace embedjobs::test {
namespace {

class MemoryDatabase final : public Database {
 public:
  Backend open(const StoreOptions& options, std::shared_ptr<Clock> clock) override {
    return make_memory_backend(options, std::move(clock));
  }
  [[nodiscard]] int race_rounds() const override { return 200; }
  [[nodiscard]] int model_sequences() const override { return 4000; }
};

}  // namespace

std::unique_ptr<Database> make_database() {
  return std::make_unique<MemoryDatabase>();
}

Offers offers() {
  return {.wake = true,
          .history = true,
          .failures = true,
          .providers = true,
          .fleet = true,
          .catalog = true,
          .persister = true,
          .rows = true,
          .vectors = true};
}

}  // namespace embedjobs::test
