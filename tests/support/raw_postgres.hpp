// The tests' own view of a PostgreSQL server: the library's code is not asked about itself.
#pragma once

#include <libpq-fe.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <stdexcept>
#include <string>

namespace embedjobs::test {

/// The server that tests/support/postgres_cluster.sh runs.
inline std::string postgres_server() {
  const char* dsn = std::getenv("EMBEDJOBS_TEST_POSTGRES");
  if (dsn == nullptr) {
    throw std::runtime_error(
        "EMBEDJOBS_TEST_POSTGRES is not set: run this under tests/support/postgres_cluster.sh run");
  }
  return dsn;
}

/// A connection. Any error ends the test.
class RawPostgres {
 public:
  explicit RawPostgres(const std::string& dsn = postgres_server()) : connection_(PQconnectdb(dsn.c_str())) {
    if (PQstatus(connection_) != CONNECTION_OK) {
      const std::string message = PQerrorMessage(connection_);
      PQfinish(connection_);
      throw std::runtime_error(message);
    }
    PQsetNoticeProcessor(
        connection_, [](void*, const char*) {}, nullptr);
  }
  ~RawPostgres() { PQfinish(connection_); }
  RawPostgres(const RawPostgres&) = delete;
  RawPostgres& operator=(const RawPostgres&) = delete;

  /// The first field of the first row, or nothing.
  std::string ask(const std::string& sql) {
    PGresult* result = PQexec(connection_, sql.c_str());
    const ExecStatusType status = PQresultStatus(result);
    const bool ok = status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK;
    const std::string answer = PQntuples(result) > 0 ? PQgetvalue(result, 0, 0) : "";
    const std::string message = PQresultErrorMessage(result);
    PQclear(result);
    if (!ok) {
      throw std::runtime_error(message);
    }
    return answer;
  }
  /// The error that it ends with; empty when it succeeds.
  std::string error_of(const std::string& sql) {
    try {
      ask(sql);
      return {};
    } catch (const std::runtime_error& error) {
      return error.what();
    }
  }
  PGconn* handle() { return connection_; }

 private:
  PGconn* connection_;
};

/// The name of a schema that is gone with this object.
class TempSchema {
 public:
  TempSchema() : name_("test_" + std::to_string(::getpid()) + "_" + std::to_string(++count())) {}
  ~TempSchema() {
    try {
      RawPostgres().ask("DROP SCHEMA IF EXISTS " + name_ + " CASCADE");
    } catch (const std::exception&) {
      return;  // the server is gone, and the schema with it
    }
  }
  TempSchema(const TempSchema&) = delete;
  TempSchema& operator=(const TempSchema&) = delete;
  [[nodiscard]] const std::string& name() const { return name_; }
  /// A DSN that names it.
  [[nodiscard]] std::string dsn(const std::string& more = "") const {
    return postgres_server() + "&schema=" + name_ + more;
  }

 private:
  static std::atomic<int>& count() {
    static std::atomic<int> counter = 0;
    return counter;
  }
  std::string name_;
};

}  // namespace embedjobs::test
