// The conformance kit over MapStore: all that a host writes to test its store.
#include "conformance/database.hpp"
#include "map_store.hpp"

namespace embedjobs::test {

struct MapDatabase final : Database {
  Backend open(const StoreOptions& options, std::shared_ptr<Clock> clock) override {
    return {std::make_shared<example::MapStore>(options, std::move(clock)), nullptr};
  }
};

std::unique_ptr<Database> make_database() {
  return std::make_unique<MapDatabase>();
}
Offers offers() {
  return {.store = true};
}

}  // namespace embedjobs::test
