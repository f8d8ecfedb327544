// What a backend brings to the suite: one file that defines make_database(), and one line in CMakeLists.txt.
#pragma once

#include <memory>

#include "embedjobs/backend.hpp"
#include "embedjobs/options.hpp"
#include "embedjobs/sys/catalog.hpp"
#include "embedjobs/sys/runtime.hpp"

namespace embedjobs::test {

/// One database, empty at first, gone with this object.
class Database {
 public:
  virtual ~Database() = default;
  /// Opens it; again, as another process would. The backend ends before the database does.
  virtual Backend open(const StoreOptions& options, std::shared_ptr<Clock> clock) = 0;
  /// What was written is seen by the next open(). False: each open() is a new, empty database.
  [[nodiscard]] virtual bool is_durable() const = 0;
  /// Leases are stamped with a clock that ends with a boot of the machine. False: with the server's time.
  [[nodiscard]] virtual bool leases_end_with_boot() const { return true; }
  /// Random sequences that the model test runs by default: about 20 s worth.
  [[nodiscard]] virtual int model_sequences() const = 0;
};

std::unique_ptr<Database> make_database();

}  // namespace embedjobs::test
