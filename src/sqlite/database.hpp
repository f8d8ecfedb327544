// One database file: its connections, who may write when, and how a transaction ends.
#pragma once

#include <condition_variable>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <type_traits>
#include <vector>

#include <sys/types.h>

#include "core/backend/wake.hpp"
#include "core/values/guard.hpp"
#include "embedjobs/sqlite.hpp"
#include "embedjobs/sys/runtime.hpp"
#include "sqlite/connection.hpp"
#include "sqlite/open_files.hpp"
#include "sqlite/unknown_leases.hpp"

namespace embedjobs::sqlite {

/// Who writes next within this process. Writers wait while a renewal waits; between processes SQLite's own lock
/// decides.
class WriterGate {
 public:
  void enter_writer();
  /// False: not within `limit`.
  bool enter_renewal(Duration limit);
  void leave();

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool busy_ = false;
  int renewals_waiting_ = 0;
};

class Database {
 public:
  static Result<std::shared_ptr<Database>> open(const std::string& path, const SqliteOptions& options,
                                                std::shared_ptr<Clock> clock);
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  /// Runs `body(Connection&)`, which answers Status or Result, in one BEGIN IMMEDIATE transaction. Commits when it
  /// succeeds; any error rolls back. An exception becomes kInternal.
  template <typename Body>
  std::invoke_result_t<Body, Connection&> write(Body&& body) {
    if (Status status = may_write(); !status.ok()) {
      return status;
    }
    gate_.enter_writer();
    const GateTurn turn{gate_};
    if (Status status = make_ready(writer_); !status.ok()) {
      return status;
    }
    return transact(*writer_, body);
  }
  /// The same on the heartbeat's own connection; waits for writers no longer than `limit`, and tries a fresh connection
  /// once.
  template <typename Body>
  std::invoke_result_t<Body, Connection&> write_renewal(Duration limit, Body&& body) {
    if (Status status = may_write(); !status.ok()) {
      return status;
    }
    const MonoTime deadline = steady_now() + limit;
    if (!gate_.enter_renewal(limit)) {
      return Status(Code::kRetry, "a writer of this process did not end in time");
    }
    const GateTurn turn{gate_};
    for (int tries = 1;; ++tries) {
      Status status = make_ready(heartbeat_);
      if (status.ok()) {
        heartbeat_->set_busy_timeout(deadline - steady_now());
        auto answer = transact(*heartbeat_, body);
        if (answer.ok() || tries == 2 || fault_answered_) {
          return answer;
        }
      } else if (tries == 2) {
        return status;
      }
      heartbeat_.reset();
    }
  }
  /// Runs `body(Connection&)` in one read transaction, on a connection of its own.
  template <typename Body>
  std::invoke_result_t<Body, Connection&> read(Body&& body) {
    auto borrowed = borrow_reader();
    if (!borrowed.ok()) {
      return borrowed.status();
    }
    std::unique_ptr<Connection> connection = std::move(borrowed).value();
    connection->begin_read();
    auto answer = guarded(*connection, body);
    Status error = connection->take_error();
    connection->rollback();
    give_back(std::move(connection));
    if (!error.ok()) {
      return error;
    }
    return answer;
  }

  [[nodiscard]] const SqliteOptions& options() const noexcept { return options_; }
  Clock& clock() noexcept { return *clock_; }
  core::WakeSignal& wake() noexcept { return wake_; }
  UnknownLeases& unknown_leases() noexcept { return unknown_leases_; }
  [[nodiscard]] const std::string& path() const noexcept { return path_; }

 private:
  struct GateTurn {
    WriterGate& gate;
    ~GateTurn() { gate.leave(); }
  };

  Database(std::string path, SqliteOptions options, std::shared_ptr<Clock> clock);
  [[nodiscard]] static MonoTime steady_now();
  [[nodiscard]] Status check_process() const;
  [[nodiscard]] Status may_write() const;
  Status make_ready(std::unique_ptr<Connection>& connection) const;
  Result<std::unique_ptr<Connection>> borrow_reader();
  void give_back(std::unique_ptr<Connection> connection);
  /// Commits or rolls back; the error that the caller gets, if any.
  Status end(Connection& connection, bool commit);

  template <typename Body>
  static std::invoke_result_t<Body, Connection&> guarded(Connection& connection, Body& body) {
    return core::guarded("a database call", [&] { return body(connection); });
  }
  template <typename Body>
  std::invoke_result_t<Body, Connection&> transact(Connection& connection, Body& body) {
    fault_answered_ = false;
    connection.begin_immediate();
    if (!connection.ok()) {
      return connection.take_error();
    }
    auto answer = guarded(connection, body);
    if (Status status = end(connection, answer.ok()); !status.ok()) {
      return status;
    }
    return answer;
  }

  const std::string path_;
  const SqliteOptions options_;
  const std::shared_ptr<Clock> clock_;
  const pid_t pid_;
  OpenFile open_file_;  // ends after the connections
  bool read_only_ = false;

  WriterGate gate_;  // guards the next three
  std::unique_ptr<Connection> writer_;
  std::unique_ptr<Connection> heartbeat_;
  bool fault_answered_ = false;  // by options_.commit_fault: it is the answer, not a reason to try again

  std::mutex readers_mutex_;
  std::vector<std::unique_ptr<Connection>> readers_;
  core::WakeSignal wake_;
  UnknownLeases unknown_leases_;
};

}  // namespace embedjobs::sqlite
