// The conformance kit over a persister alone: the queue is the library's own.
#include "conformance/database.hpp"
#include "host.hpp"

namespace embedjobs::test {

struct HostDatabase final : Database {
  std::shared_ptr<example::Vectors> vectors = std::make_shared<example::Vectors>();
  std::shared_ptr<Persister> persister() override { return vectors; }
  Seen rows(const SpecKey& key) override { return vectors->rows(key); }
  std::vector<float> vector(const SpecKey& key, const std::string& operation_id) override {
    return vectors->vector(key, operation_id);
  }
};

std::unique_ptr<Database> make_database() {
  return std::make_unique<HostDatabase>();
}
Offers offers() {
  return {.store = false, .persister = true, .rows = true, .vectors = true};
}

}  // namespace embedjobs::test
