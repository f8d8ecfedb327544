// One connection to the server, with its prepared statements and a deadline.
//
// Errors are sticky: after the first one every query of the connection answers "no row" and does nothing, until
// take_error(). A transaction is therefore written as straight code, and whoever ends it (Database) looks at the error
// once, before everything else: what the code concluded from missing rows is thrown away with the transaction.
//
// In SQL '@' stands for the schema: "@jobs" is "embedjobs".jobs. '#' stands for that of the extension that vectors are
// of: whoever uses it has asked for vector_type().
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "embedjobs/status.hpp"
#include "embedjobs/types.hpp"
#include "postgres/client/dsn.hpp"
#include "postgres/client/query.hpp"
#include "postgres/client/socket.hpp"
#include "postgres/client/values.hpp"
#include "postgres/client/vector_type.hpp"

// libpq's own name for what it does not show.
struct pg_conn;

namespace embedjobs::postgres {

/// What must not depend on the defaults of role and database: where names are looked up, limits of time, and how
/// statements are planned: by index, also where the table was empty a moment ago, since plans are kept. `scope` is ""
/// or "LOCAL ".
std::string session_settings(const PostgresOptions& options, std::string_view scope);

/// What is to be done with the answer of a queued statement.
struct Awaited {
  std::int64_t* affected = nullptr;  ///< Grows by the rows changed, or the number that is the answer.
  bool is_moment = false;
  std::shared_ptr<LaterAnswer> answer;  ///< Gets the rows.
};

/// What a transaction takes for now.
struct Moment {
  WallTime wall{};    ///< For stamps and due times.
  Duration lease{0};  ///< Of the clock that leases are stamped with.
};

/// Used by one thread at a time.
class Connection {
 public:
  /// What waits for the server, this call included, ends early once there is something to read from `stop_fd` (-1:
  /// none); the connection is of no use then.
  static Result<std::unique_ptr<Connection>> open(const ConnectionParameters& parameters,
                                                  const PostgresOptions& options, Deadline deadline, int stop_fd = -1);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  /// `sql` is a constant: its address is the key of the statement cache.
  template <typename... Args>
  Query query(const char* sql, const Args&... args) {
    return {*this, ok() ? run_statement(sql, Params(args...)) : nullptr};
  }
  /// The same for SQL that is put together for this one call.
  template <typename... Args>
  Query query_once(std::string_view sql, const Args&... args) {
    return {*this, ok() ? run_once(sql, Params(args...)) : nullptr};
  }
  /// The number of rows changed.
  template <typename... Args>
  std::int64_t run(const char* sql, const Args&... args) {
    return query(sql, args...).affected();
  }
  /// Sends it with the next question, or with the commit: a round trip less. Its errors are found then.
  template <typename... Args>
  void run_later(const char* sql, const Args&... args) {
    if (ok()) {
      queue_statement(sql, Params(args...));
    }
  }
  /// The same; `affected` grows by the rows changed, or by the number that a SELECT answers with, once that is there.
  /// It outlives the next question, and the transaction when none follows.
  template <typename... Args>
  void run_later_counted(std::int64_t& affected, const char* sql, const Args&... args) {
    if (ok()) {
      queue_statement(sql, Params(args...), {.affected = &affected});
    }
  }
  /// Sends it with the next question. Its rows are there when that one is answered: see rows_of().
  template <typename... Args>
  std::shared_ptr<LaterAnswer> query_later(const char* sql, const Args&... args) {
    auto answer = std::make_shared<LaterAnswer>();
    if (ok()) {
      queue_statement(sql, Params(args...), {.answer = answer});
    }
    return answer;
  }
  /// To be asked once.
  Query rows_of(const std::shared_ptr<LaterAnswer>& answer);
  /// Lets the server begin with what waits to be sent, while this side goes on.
  void push();
  /// The first column of the first row, or `otherwise`.
  template <typename... Args>
  std::int64_t value_or(std::int64_t otherwise, const char* sql, const Args&... args) {
    Query row = query(sql, args...);
    return row.next() ? row.integer(0) : otherwise;
  }
  /// Statements in one string and one round trip; the rows of the last one that has any, as text.
  Query execute(std::string_view sql);

  /// "jobs" is "embedjobs".jobs: for to_regclass().
  [[nodiscard]] std::string qualified(std::string_view name) const { return schema_ + std::string(name); }
  /// What the schema keeps vectors as; asked for once. An error of the connection when there is no such column.
  const VectorType& vector_type();
  /// What another connection to the schema was told, so that this one need not ask.
  void set_vector_type(const VectorType& type) { vector_type_ = type; }

  void set_deadline(Deadline deadline) { deadline_ = deadline; }
  [[nodiscard]] Deadline deadline() const { return deadline_; }
  /// False: an error, also when the server rolled back instead.
  bool commit();
  /// Ends a transaction, if there is one, without a trace; keeps the sticky error.
  void rollback();

  /// A transaction begins: its moment is that of the server's clock when it is first asked for, unless it is set.
  void forget_moment() {
    moment_.reset();
    answered_ = false;
  }
  void set_moment(const Moment& moment) { moment_ = moment; }
  const Moment& moment();
  /// It is wanted: it comes with the next question, a round trip less.
  void ask_moment();
  /// Zero where it is not known yet: the statement takes the server's.
  [[nodiscard]] WallTime known_now() const { return moment_ ? moment_->wall : WallTime{}; }
  [[nodiscard]] WallTime now() { return moment().wall; }
  /// The connection broke before the transaction's first answer, and no commit was sent: it did nothing.
  [[nodiscard]] bool broke_unanswered() const noexcept { return broken_ && !answered_; }

  [[nodiscard]] bool ok() const noexcept { return error_.ok(); }
  /// The sticky error, which is then forgotten.
  Status take_error();
  /// Records an error of the caller's own finding, for example a value that can't be.
  void fail(Status error);
  /// True: replace it. Its server is gone, or it did not answer in time.
  [[nodiscard]] bool broken() const noexcept { return broken_; }
  /// The last error was a conflict with another transaction: the same one may succeed now. Forgotten by asking.
  bool take_conflict();
  /// Whether an idle connection still stands, as far as this side knows. Does not wait.
  bool still_stands();
  /// Waits until a notification arrives, `stop_fd` of open() is readable, or the time has passed. False: the connection
  /// is broken.
  bool wait_for_notification(Duration at_most, bool& notified);
  /// Leaves the socket to the parent of a forked child.
  void abandon() { conn_ = nullptr; }

 private:
  Connection(pg_conn* conn, const PostgresOptions& options, int stop_fd);
  /// Connects until `connected`; the rest may take until `deadline`.
  static Result<std::unique_ptr<Connection>> open_one(const ConnectionParameters& parameters,
                                                      const PostgresOptions& options, Deadline connected,
                                                      Deadline deadline, int stop_fd);
  Status connect(Deadline deadline);
  [[nodiscard]] Status check_server() const;
  pg_result* run_statement(const char* sql, const Params& params);
  pg_result* run_once(std::string_view sql, const Params& params);
  void queue_statement(const char* sql, const Params& params, Awaited awaited = {});
  void take_answer(const Awaited& awaited, pg_result*& result);
  void set_server_moment(Duration since_epoch) {
    moment_ = Moment{.wall = WallTime(since_epoch), .lease = since_epoch};
  }
  /// Finds or makes the statement; null after an error.
  struct Statement;
  const Statement* find_statement(const char* sql, const Params& params);
  bool send(const Statement& statement, const Params& params);
  /// Waits for the answers of what is queued: the last one's result.
  pg_result* finish_queue(bool sent);
  bool prepare(const std::string& name, const std::string& text, const Params& params);
  /// Sends what is buffered and waits for the answer: the first error, or the last result that has rows, or the last.
  pg_result* finish(bool sent);
  bool flush_and_wait();
  bool wait_for_socket(bool to_write);
  void fail_connection();
  void fail_result(const pg_result* result);
  [[nodiscard]] std::string expand(std::string_view sql) const;

  struct Statement {
    std::string name;  ///< Empty: not prepared.
    std::string text;
  };

  pg_conn* conn_;
  int queued_ = 0;                // statements in libpq's pipeline
  std::vector<Awaited> awaited_;  // of the first of these
  std::string schema_;            // quoted, with the dot
  bool prepared_;
  int stop_fd_;
  Deadline deadline_{};
  std::optional<Moment> moment_;
  bool answered_ = false;  // since forget_moment(), or a commit was sent
  Status error_;
  bool broken_ = false;
  bool conflict_ = false;
  VectorType vector_type_;
  std::unordered_map<const char*, Statement> statements_;
  int names_ = 0;  // of prepared statements, given so far
};

}  // namespace embedjobs::postgres
