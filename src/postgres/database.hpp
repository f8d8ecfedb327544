// One schema in one database: connections to it, and how a transaction ends.
//
// Locks are taken in this order: the sweep's lock, the catalog's row, the key's row, the job's row, the lease's row,
// rows of texts by hash. A transaction that can't keep to this order skips rows that are locked. If there is a deadlock
// all the same, the server finds it, and the loser runs again.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <type_traits>
#include <vector>

#include <sys/types.h>

#include "core/backend/wake.hpp"
#include "core/values/guard.hpp"
#include "embedjobs/postgres.hpp"
#include "embedjobs/sys/runtime.hpp"
#include "postgres/client/connection.hpp"

namespace embedjobs::postgres {

/// The sweep deletes vectors that nothing points to. It takes the lock exclusively. A transaction that makes a row
/// point to a vector takes it shared, so that the sweep can't run at the same time.
enum class SweepLock { kNone, kShared, kExclusive };

/// One at a time, within a deadline. (A std::timed_mutex would do, if the thread sanitizer knew it.)
class Turn {
 public:
  /// False: not within the deadline.
  bool enter(Deadline deadline);
  void leave();
  struct Leave {
    Turn& turn;
    ~Leave() { turn.leave(); }
  };

 private:
  std::mutex mutex_;
  std::condition_variable free_;
  bool busy_ = false;
};

class Listener;

class Database {
 public:
  static Result<std::shared_ptr<Database>> open(std::string_view dsn, const PostgresOptions& options,
                                                std::shared_ptr<Clock> clock);
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  /// Runs `body(Connection&)`, which answers Status or Result, in one transaction. Commits when it succeeds; any error
  /// rolls back. It runs again from its beginning when it lost against another transaction. An exception becomes
  /// kInternal.
  template <typename Body>
  std::invoke_result_t<Body, Connection&> write(Body&& body, SweepLock sweep_lock = SweepLock::kNone) {
    const Deadline deadline = deadline_in(options_.call_timeout);
    for (int tries = 1;; ++tries) {
      auto borrowed = borrow(deadline);
      if (!borrowed.ok()) {
        return borrowed.status();
      }
      std::unique_ptr<Connection> connection = std::move(borrowed).value();
      bool again = false;
      auto answer = transact(*connection, body, sweep_lock, again);
      give_back(std::move(connection));
      if (!again || tries == kMaxTries) {
        return answer;
      }
    }
  }
  /// The same on the heartbeat's own connection, within `limit`; tries a fresh connection once.
  template <typename Body>
  std::invoke_result_t<Body, Connection&> write_renewal(Duration limit, Body&& body) {
    const Deadline deadline = deadline_in(limit);
    if (!heartbeat_turn_.enter(deadline)) {
      return Status(Code::kRetry, "another renewal of this process did not end in time");
    }
    const Turn::Leave leave{heartbeat_turn_};
    for (int tries = 1;; ++tries) {
      if (Status status = make_ready(heartbeat_, deadline); !status.ok()) {
        return status;
      }
      bool again = false;
      auto answer = transact(*heartbeat_, body, SweepLock::kNone, again);
      const bool broken = heartbeat_->broken();
      if (broken) {
        heartbeat_.reset();
      }
      if (tries == 2 || !(again || broken)) {
        return answer;
      }
    }
  }
  /// Runs `body(Connection&)` in one read transaction, which sees one moment of the database. It too may run again from
  /// its beginning.
  template <typename Body>
  std::invoke_result_t<Body, Connection&> read(Body&& body) {
    const Deadline deadline = deadline_in(options_.call_timeout);
    for (int tries = 1;; ++tries) {
      auto borrowed = borrow(deadline);
      if (!borrowed.ok()) {
        return borrowed.status();
      }
      std::unique_ptr<Connection> connection = std::move(borrowed).value();
      begin(*connection, kBeginRead, SweepLock::kNone);
      auto answer = connection->ok() ? guarded(*connection, body)
                                     : std::invoke_result_t<Body, Connection&>(Status(Code::kRetry, ""));
      const bool again = connection->take_conflict() || (connection->broken() && tries == 1);
      Status error = connection->take_error();
      connection->rollback();
      give_back(std::move(connection));
      if (again && tries < kMaxTries) {
        continue;
      }
      if (!error.ok()) {
        return error;
      }
      return answer;
    }
  }

  [[nodiscard]] const PostgresOptions& options() const noexcept { return options_; }
  [[nodiscard]] const ConnectionParameters& parameters() const noexcept { return parameters_; }
  [[nodiscard]] const std::shared_ptr<Clock>& clock() const noexcept { return clock_; }
  core::WakeSignal& wake() noexcept { return wake_; }
  /// Replaces the wake function; with one, notifications are listened for.
  void set_wake(std::function<void()> wake);

 private:
  static constexpr int kMaxTries = 8;
  static constexpr const char* kBeginWrite = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE";
  static constexpr const char* kBeginRead = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

  Database(Dsn dsn, std::shared_ptr<Clock> clock);
  [[nodiscard]] Status check_process() const;
  Status make_ready(std::unique_ptr<Connection>& connection, Deadline deadline) const;
  Result<std::unique_ptr<Connection>> borrow(Deadline deadline);
  void give_back(std::unique_ptr<Connection> connection);
  /// The transaction and the sweep's lock. They go to the server with the first question.
  void begin(Connection& connection, const char* statement, SweepLock sweep_lock) const;
  /// Commits or rolls back; the error that the caller gets, if any.
  Status end(Connection& connection, bool commit) const;

  template <typename Body>
  static std::invoke_result_t<Body, Connection&> guarded(Connection& connection, Body& body) {
    return core::guarded("a database call", [&] { return body(connection); });
  }
  template <typename Body>
  std::invoke_result_t<Body, Connection&> transact(Connection& connection, Body& body, SweepLock sweep_lock,
                                                   bool& again) const {
    begin(connection, kBeginWrite, sweep_lock);
    auto answer = guarded(connection, body);
    if (Status status = end(connection, answer.ok()); !status.ok()) {
      // A connection that had died unnoticed is replaced, and the call goes on.
      again = connection.take_conflict() || connection.broke_unanswered();
      return status;
    }
    return answer;
  }

  const ConnectionParameters parameters_;
  const PostgresOptions options_;
  const std::shared_ptr<Clock> clock_;
  const pid_t pid_;
  VectorType vector_type_;        ///< Set at open.
  const std::int64_t sweep_key_;  ///< Of the advisory lock.

  std::mutex pool_mutex_;
  std::condition_variable given_back_;
  std::vector<std::unique_ptr<Connection>> idle_;
  std::size_t borrowed_ = 0;

  Turn heartbeat_turn_;  // guards the next
  std::unique_ptr<Connection> heartbeat_;

  core::WakeSignal wake_;
  std::mutex listener_mutex_;
  std::unique_ptr<Listener> listener_;
};

/// A number for pg_advisory locks that other schemas and other programs hardly have.
std::int64_t advisory_key(std::string_view schema, std::string_view purpose);

}  // namespace embedjobs::postgres
