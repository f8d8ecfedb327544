#include <cstdlib>
#include <sstream>
#include <stdexcept>
#include <string>

#include "conformance/database.hpp"
#include "embedjobs/backend.hpp"
#include "embedjobs/postgres.hpp"
#include "embedjobs/sys/runtime.hpp"
#include "support/catch.hpp"
#include "support/raw_postgres.hpp"

namespace embedjobs::test {
namespace {

/// A schema of its own on the server that the tests run under.
class PostgresDatabase final : public Database {
 public:
  Backend open(const StoreOptions& options, std::shared_ptr<Clock> clock) override {
    PostgresOptions postgres;
    postgres.store = options;
    postgres.use_clock = true;
    postgres.poll_only = true;  // the suite counts wake-ups; those that the server sends have tests of their own
    Result<Backend> backend = open_postgres(schema_.dsn(), postgres, std::move(clock));
    if (!backend.ok()) {
      throw std::runtime_error(backend.status().to_string());
    }
    return *backend;
  }
  [[nodiscard]] int race_rounds() const override { return 3; }
  [[nodiscard]] int model_sequences() const override { return 30; }

 private:
  TempSchema schema_;
};

}  // namespace

std::unique_ptr<Database> make_database() {
  return std::make_unique<PostgresDatabase>();
}

Offers offers() {
  return {.wake = true,
          .history = true,
          .failures = true,
          .providers = true,
          .fleet = true,
          .durable = true,
          .catalog = true,
          .persister = true,
          .rows = true,
          .vectors = true};
}

}  // namespace embedjobs::test

TEST_CASE("the server has the settings that this run is about", "[.settings]") {
  const char* settings = std::getenv("EMBEDJOBS_CLUSTER_SETTINGS");
  REQUIRE(settings != nullptr);
  embedjobs::test::RawPostgres sql;
  std::istringstream lines(settings);
  int count = 0;
  for (std::string name, equals, value; lines >> name >> equals >> value; ++count) {
    INFO(name);
    CHECK(sql.ask("SHOW " + name) == value);
  }
  CHECK(count == 2);
}
