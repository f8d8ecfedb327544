#include "postgres/client/connection.hpp"

#include <fmt/format.h>
#include <libpq-fe.h>
#include <poll.h>

#include <utility>

#include "postgres/client/errors.hpp"

namespace embedjobs::postgres {
namespace {

constexpr std::string_view kNotSupported = "0A000", kReadOnly = "25006";

// now() is the start of the transaction, and may be long ago in a function; clock_timestamp() is the time.
constexpr const char* kServerTime = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint";

/// What a statement counted: rows that it changed, or the number that it answers with.
std::int64_t count_of(pg_result* result) {
  if (PQntuples(result) == 0 || PQnfields(result) == 0) {
    return rows_changed(result);
  }
  return read_integer({PQgetvalue(result, 0, 0), static_cast<std::size_t>(PQgetlength(result, 0, 0))});
}

}  // namespace

Connection::Connection(pg_conn* conn, const PostgresOptions& options, int stop_fd)
    : conn_(conn),
      schema_(fmt::format("\"{}\".", options.schema)),
      prepared_(options.prepared_statements),
      stop_fd_(stop_fd) {}

Connection::~Connection() {
  if (conn_ != nullptr) {
    PQfinish(conn_);
  }
}

// --- statements

std::string Connection::expand(std::string_view sql) const {
  std::string text;
  text.reserve(sql.size() + 64);
  for (const char c : sql) {
    if (c == '@') {
      text += schema_;
    } else if (c == '#') {
      text += vector_type_.home;
    } else {
      text += c;
    }
  }
  return text;
}

const Connection::Statement* Connection::find_statement(const char* sql, const Params& params) {
  const auto [entry, is_new] = statements_.try_emplace(sql);
  Statement& statement = entry->second;
  if (is_new) {
    statement.text = expand(sql);
  }
  if (prepared_ && statement.name.empty()) {
    const std::string name =
        fmt::format("embedjobs_{}", ++names_);  // one that an error kept from being prepared gets another
    if (!prepare(name, statement.text, params)) {
      return nullptr;
    }
    statement.name = name;
  }
  return &statement;
}

bool Connection::send(const Statement& statement, const Params& params) {
  const auto pointers = params.pointers();
  const auto formats = params.formats();
  const int sent = prepared_ && !statement.name.empty()
                       ? PQsendQueryPrepared(conn_, statement.name.c_str(), params.size(), pointers.data(),
                                             params.lengths(), formats.data(), 1)
                       : PQsendQueryParams(conn_, statement.text.c_str(), params.size(), params.types(),
                                           pointers.data(), params.lengths(), formats.data(), 1);
  return sent == 1;
}

pg_result* Connection::run_once(std::string_view sql, const Params& params) {
  if (queued_ > 0) {
    PQclear(finish_queue(true));
  }
  return ok() ? finish(send({.name = {}, .text = expand(sql)}, params)) : nullptr;
}

pg_result* Connection::run_statement(const char* sql, const Params& params) {
  const Statement* statement = find_statement(sql, params);
  if (statement == nullptr) {
    return nullptr;
  }
  const bool sent = send(*statement, params);
  if (queued_ == 0) {
    return finish(sent);
  }
  ++queued_;
  return finish_queue(sent);
}

void Connection::queue_statement(const char* sql, const Params& params, Awaited awaited) {
  if (!prepared_) {  // a pooler may not allow a pipeline
    pg_result* result = run_statement(sql, params);
    if (result != nullptr) {
      take_answer(awaited, result);
    }
    PQclear(result);
    return;
  }
  const Statement* statement = find_statement(sql, params);
  if (statement == nullptr) {
    return;
  }
  if (queued_ == 0 && PQenterPipelineMode(conn_) != 1) {
    fail_connection();
    return;
  }
  ++queued_;
  awaited_.resize(static_cast<std::size_t>(queued_));
  awaited_.back() = std::move(awaited);
  if (!send(*statement, params)) {
    fail_connection();
  }
}

const Moment& Connection::moment() {
  if (!moment_) {
    set_server_moment(std::chrono::microseconds(value_or(0, kServerTime)));
  }
  return *moment_;
}

void Connection::ask_moment() {
  if (moment_ || !ok()) {
    return;
  }
  queue_statement(kServerTime, Params(), {.is_moment = true});
}

void Connection::take_answer(const Awaited& awaited, pg_result*& result) {
  if (awaited.affected != nullptr) {
    *awaited.affected += count_of(result);
  }
  if (awaited.is_moment && PQntuples(result) == 1) {
    const std::string_view field(PQgetvalue(result, 0, 0), static_cast<std::size_t>(PQgetlength(result, 0, 0)));
    set_server_moment(std::chrono::microseconds(read_integer(field)));
  }
  if (awaited.answer) {
    awaited.answer->result = std::exchange(result, nullptr);
  }
}

Query Connection::rows_of(const std::shared_ptr<LaterAnswer>& answer) {
  return {*this, std::exchange(answer->result, nullptr)};
}

void Connection::push() {
  if (ok() && queued_ > 0 && PQflush(conn_) < 0) {
    fail_connection();
  }
}

pg_result* Connection::finish_queue(bool sent) {
  queued_ = 0;
  const std::vector<Awaited> awaited = std::exchange(awaited_, {});
  std::size_t answered = 0;
  if (!sent || PQpipelineSync(conn_) != 1) {
    fail_connection();
    return nullptr;
  }
  // The answers come one by one, each closed by a null, and at last that of the sync.
  PGresult* last = nullptr;
  bool synced = false;
  while (!synced && flush_and_wait()) {
    PGresult* result = PQgetResult(conn_);
    if (result == nullptr) {
      if (PQstatus(conn_) == CONNECTION_BAD) {
        fail_connection();
        break;
      }
      continue;
    }
    const ExecStatusType status = PQresultStatus(result);
    synced = status == PGRES_PIPELINE_SYNC;
    if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK) {
      if (answered < awaited.size()) {
        take_answer(awaited[answered], result);
      }
      ++answered;
      std::swap(last, result);
    } else if (!synced && status != PGRES_PIPELINE_ABORTED) {
      fail_result(result);
    }
    PQclear(result);
  }
  if (synced && PQexitPipelineMode(conn_) != 1) {
    fail_connection();
  }
  answered_ = answered_ || answered > 0;
  if (!ok()) {
    PQclear(last);
    return nullptr;
  }
  return last;
}

bool Connection::prepare(const std::string& name, const std::string& text, const Params& params) {
  if (queued_ > 0) {
    ++queued_;
    PQclear(finish_queue(PQsendPrepare(conn_, name.c_str(), text.c_str(), params.size(), params.types()) == 1));
    return ok();
  }
  PQclear(finish(PQsendPrepare(conn_, name.c_str(), text.c_str(), params.size(), params.types()) == 1));
  return ok();
}

Query Connection::execute(std::string_view sql) {
  if (!ok()) {
    return {*this, nullptr};
  }
  if (queued_ > 0) {
    PQclear(finish_queue(true));
  }
  if (!ok()) {
    return {*this, nullptr};
  }
  const std::string text = expand(sql);
  return {*this, finish(PQsendQuery(conn_, text.c_str()) == 1)};
}

bool Connection::wait_for_socket(bool to_write) {
  const short events = static_cast<short>(to_write ? POLLIN | POLLOUT : POLLIN);
  if (poll_until(PQsocket(conn_), events, deadline_, stop_fd_)) {
    return true;
  }
  broken_ = true;  // an answer that comes later would be taken for that of another question
  fail({Code::kRetry, "PostgreSQL: no answer in time"});
  return false;
}

bool Connection::flush_and_wait() {
  for (int unsent = PQflush(conn_); unsent != 0; unsent = PQflush(conn_)) {
    if (unsent < 0 || !wait_for_socket(true) || PQconsumeInput(conn_) == 0) {
      fail_connection();
      return false;
    }
  }
  while (PQisBusy(conn_) != 0) {
    if (!wait_for_socket(false)) {
      return false;
    }
    if (PQconsumeInput(conn_) == 0) {
      fail_connection();
      return false;
    }
  }
  return true;
}

pg_result* Connection::finish(bool sent) {
  if (!sent) {
    fail_connection();
    return nullptr;
  }
  PGresult* kept = nullptr;
  while (flush_and_wait()) {
    PGresult* result = PQgetResult(conn_);
    if (result == nullptr) {
      break;
    }
    const ExecStatusType status = PQresultStatus(result);
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK && status != PGRES_EMPTY_QUERY) {
      fail_result(result);
    }
    const bool keep = kept == nullptr || status == PGRES_TUPLES_OK || PQresultStatus(kept) != PGRES_TUPLES_OK;
    if (keep) {
      std::swap(kept, result);
    }
    PQclear(result);
  }
  answered_ = answered_ || kept != nullptr;
  if (!ok()) {
    PQclear(kept);
    return nullptr;
  }
  return kept;
}

// --- errors and ends

void Connection::fail(Status error) {
  if (ok()) {
    error_ = std::move(error);
  }
}

void Connection::fail_connection() {
  broken_ = true;
  const std::string message = one_line(PQerrorMessage(conn_));
  fail({Code::kRetry, fmt::format("PostgreSQL: {}", message.empty() ? "the connection was lost" : message)});
}

void Connection::fail_result(const pg_result* result) {
  const char* field = PQresultErrorField(result, PG_DIAG_SQLSTATE);
  if (field == nullptr) {  // libpq's own: the connection went away
    fail_connection();
    return;
  }
  // A standby calls a transaction that would write "not supported", as it does many a thing.
  const char* standby = PQparameterStatus(conn_, "in_hot_standby");  // 14 and newer
  const bool on_standby = standby != nullptr && std::string_view(standby) == "on";
  const std::string_view sqlstate = on_standby && std::string_view(field) == kNotSupported ? kReadOnly : field;
  const char* message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
  if (ok()) {
    conflict_ = is_conflict(sqlstate);
    if (is_lost_statement(sqlstate)) {
      prepared_ = false;
    }
    error_ = to_status(sqlstate, message == nullptr ? "unknown error" : message);
  }
  broken_ = broken_ || is_connection_fault(sqlstate) || PQstatus(conn_) == CONNECTION_BAD;
}

Status Connection::take_error() {
  return std::exchange(error_, Status());
}

bool Connection::take_conflict() {
  return std::exchange(conflict_, false);
}

bool Connection::commit() {
  answered_ = true;
  if (queued_ > 0) {
    const Query done(*this, run_statement("COMMIT", Params()));
    return ok() && PQtransactionStatus(conn_) == PQTRANS_IDLE && done.tag() == "COMMIT";
  }
  const Query done = execute("COMMIT");
  return ok() && PQtransactionStatus(conn_) == PQTRANS_IDLE && done.tag() == "COMMIT";
}

void Connection::rollback() {
  Status kept = std::exchange(error_, Status());
  awaited_.assign(awaited_.size(), {});  // who wanted to know has left
  if (queued_ > 0 && !broken_) {
    PQclear(finish_queue(true));  // in libpq's hands already
    error_ = Status();
  }
  if (!broken_ && PQtransactionStatus(conn_) != PQTRANS_IDLE) {
    (void)execute("ROLLBACK");
    broken_ = broken_ || !ok();
  }
  error_ = std::move(kept);
}

bool Connection::still_stands() {
  // A server has nothing to say to an idle session but that it ends.
  pollfd entry{.fd = PQsocket(conn_), .events = POLLIN, .revents = 0};
  return ::poll(&entry, 1, 0) == 0 && PQstatus(conn_) == CONNECTION_OK && PQtransactionStatus(conn_) == PQTRANS_IDLE;
}

bool Connection::wait_for_notification(Duration at_most, bool& notified) {
  const auto take = [&] {
    while (PGnotify* notify = PQnotifies(conn_)) {
      notified = true;
      PQfreemem(notify);
    }
  };
  take();
  if (notified) {
    return true;
  }
  pollfd entries[] = {{.fd = PQsocket(conn_), .events = POLLIN, .revents = 0},
                      {.fd = stop_fd_, .events = POLLIN, .revents = 0}};
  const int ready = ::poll(entries, 2, millis_until(deadline_in(at_most)));
  if (ready > 0 && entries[0].revents != 0 && PQconsumeInput(conn_) == 0) {
    broken_ = true;
    return false;
  }
  take();
  return true;
}

}  // namespace embedjobs::postgres
