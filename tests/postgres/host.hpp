// A host: a program with a session of its own, beside a schema of ours.
#pragma once

#include <string>

#include "conformance/scene.hpp"
#include "embedjobs/backend.hpp"
#include "embedjobs/postgres.hpp"
#include "embedjobs/sys/store.hpp"
#include "support/raw_postgres.hpp"

namespace embedjobs::test {

struct Host {
  TempSchema schema;
  Backend backend = get(open_postgres(schema.dsn(), {}, nullptr));
  RawPostgres sql;

  /// Of a function of the schema's, with its arguments: the first field, or the error.
  std::string call(const std::string& function) { return sql.ask("SELECT * FROM " + schema.name() + "." + function); }
  std::string error(const std::string& function) {
    return sql.error_of("SELECT * FROM " + schema.name() + "." + function);
  }
  std::size_t jobs() { return get(backend.store->list({})).size(); }
};

}  // namespace embedjobs::test
