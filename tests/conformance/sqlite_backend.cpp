#include <stdlib.h>

#include <filesystem>
#include <stdexcept>

#include "conformance/database.hpp"
#include "embedjobs/backend.hpp"
#include "embedjobs/sqlite.hpp"
#include "embedjobs/sys/runtime.hpp"

namespace embedjobs::test {
namespace {

namespace fs = std::filesystem;

/// In memory where the system has such a folder: the suite tests meaning, not the disk.
fs::path make_folder() {
  const fs::path parent = fs::is_directory("/dev/shm") ? fs::path("/dev/shm") : fs::temp_directory_path();
  std::string name = (parent / "embedjobs-conformance-XXXXXX").string();
  if (mkdtemp(name.data()) == nullptr) {
    throw std::runtime_error("can't make a folder in " + parent.string());
  }
  return name;
}

class SqliteDatabase final : public Database {
 public:
  SqliteDatabase() : folder_(make_folder()) {}
  ~SqliteDatabase() override {
    std::error_code ignored;
    fs::remove_all(folder_, ignored);
  }
  SqliteDatabase(const SqliteDatabase&) = delete;
  SqliteDatabase& operator=(const SqliteDatabase&) = delete;

  Backend open(const StoreOptions& options, std::shared_ptr<Clock> clock) override {
    Result<Backend> backend = open_sqlite((folder_ / "test.db").string(), {.store = options}, std::move(clock));
    if (!backend.ok()) {
      throw std::runtime_error(backend.status().to_string());
    }
    return *backend;
  }
  [[nodiscard]] int race_rounds() const override { return 20; }
  [[nodiscard]] int model_sequences() const override { return 300; }

 private:
  fs::path folder_;
};

}  // namespace

std::unique_ptr<Database> make_database() {
  return std::make_unique<SqliteDatabase>();
}

Offers offers() {
  return {.wake = true,
          .history = true,
          .failures = true,
          .providers = true,
          .fleet = true,
          .durable = true,
          .boot = true,
          .catalog = true,
          .persister = true,
          .rows = true,
          .vectors = true};
}

}  // namespace embedjobs::test
