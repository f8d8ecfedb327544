#include "postgres/client/connection.hpp"

#include <fmt/format.h>
#include <libpq-fe.h>
#include <poll.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <climits>

#include "postgres/client/errors.hpp"

namespace embedjobs::postgres {
namespace {

constexpr int kOldestServer = 130000;
constexpr std::string_view kNotSupported = "0A000", kReadOnly = "25006";

void ignore_notice(void* /*context*/, const char* /*message*/) {}

int millis_until(Deadline deadline) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now()).count();
  return static_cast<int>(std::clamp<std::int64_t>(left, 0, INT_MAX));
}

/// False: not within the deadline, or not before there is something to read from `stop_fd` (-1: none).
bool poll_until(int fd, short events, Deadline deadline, int stop_fd) {
  while (true) {
    std::array<pollfd, 2> entries{
        {{.fd = fd, .events = events, .revents = 0}, {.fd = stop_fd, .events = POLLIN, .revents = 0}}};
    const int left = millis_until(deadline);
    const int ready = ::poll(entries.data(), entries.size(), left);
    if (ready > 0) {
      return entries[1].revents == 0;
    }
    if (ready == 0 && left == 0) {
      return false;
    }
  }
}

std::vector<const char*> terminated(const std::vector<std::string>& words) {
  std::vector<const char*> pointers;
  pointers.reserve(words.size() + 1);
  for (const std::string& word : words) {
    pointers.push_back(word.c_str());
  }
  pointers.push_back(nullptr);
  return pointers;
}

/// libpq tells no SQLSTATE of a failed connection. What trying again does not mend is told by its words; a server that
/// speaks another language is then tried again in vain, which harms nothing.
Status connection_refused(const PGconn* conn) {
  const std::string message = one_line(PQerrorMessage(conn));
  constexpr std::string_view kPermanent[] = {"authentication failed", "no password supplied", "pg_hba.conf",
                                             "does not exist",        "permission denied",    "not permitted",
                                             "invalid sslmode",       "certificate"};
  const bool socket_missing = message.find("No such file or directory") != std::string::npos;
  const bool permanent =
      PQconnectionNeedsPassword(conn) != 0 ||
      (!socket_missing && std::any_of(std::begin(kPermanent), std::end(kPermanent), [&](std::string_view words) {
        return message.find(words) != std::string::npos;
      }));
  if (message.starts_with("invalid ")) {  // the value of an option
    return {Code::kInvalidArgument, fmt::format("PostgreSQL: {}", message)};
  }
  if (permanent) {
    return {Code::kUnusable,
            fmt::format("PostgreSQL: {}: check user, password and database (DSN, PGPASSWORD, ~/.pgpass)", message)};
  }
  return {Code::kRetry, fmt::format("PostgreSQL: {}", message.empty() ? "no connection" : message)};
}

// now() is the start of the transaction, and may be long ago in a function; clock_timestamp() is the time.
constexpr const char* kServerTime = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint";

std::int64_t rows_changed(pg_result* result) {
  const std::string_view text = PQcmdTuples(result);
  std::int64_t count = 0;
  (void)std::from_chars(text.data(), text.data() + text.size(), count);
  return count;
}

/// What a statement counted: rows that it changed, or the number that it answers with.
std::int64_t count_of(pg_result* result) {
  if (PQntuples(result) == 0 || PQnfields(result) == 0) {
    return rows_changed(result);
  }
  return read_integer({PQgetvalue(result, 0, 0), static_cast<std::size_t>(PQgetlength(result, 0, 0))});
}

}  // namespace

std::string session_settings(const PostgresOptions& options, std::string_view scope) {
  const auto limit = std::chrono::ceil<std::chrono::milliseconds>(options.call_timeout).count();
  return fmt::format(
      "SET {0}search_path = pg_catalog, pg_temp; SET {0}jit = off; SET {0}enable_seqscan = off;"
      " SET {0}plan_cache_mode = force_generic_plan; SET {0}statement_timeout = {1}; SET {0}lock_timeout = 0;"
      " SET {0}idle_in_transaction_session_timeout = {1}",
      scope, limit);
}

Deadline deadline_in(Duration limit) {
  const Duration longest = std::chrono::hours(24 * 365);
  return std::chrono::steady_clock::now() + std::clamp(limit, Duration(0), longest);
}

// --- Query

Query::Query(Connection& connection, pg_result* result)
    : connection_(connection), result_(result), rows_(result == nullptr ? 0 : PQntuples(result)) {}

Query::~Query() {
  PQclear(result_);
}

bool Query::next() {
  if (!connection_.ok()) {
    return false;
  }
  return ++row_ < rows_;
}

std::string_view Query::blob(int column) const {
  return {PQgetvalue(result_, row_, column), static_cast<std::size_t>(PQgetlength(result_, row_, column))};
}

bool Query::is_null(int column) const {
  return PQgetisnull(result_, row_, column) != 0;
}

TextHash Query::hash(int column) const {
  TextHash hash{};
  const std::string_view bytes = blob(column);
  if (bytes.size() == hash.size()) {
    std::copy(bytes.begin(), bytes.end(), hash.begin());
  } else {
    connection_.fail({Code::kUnusable, fmt::format("PostgreSQL: damaged: a text hash has {} bytes", bytes.size())});
  }
  return hash;
}

std::int64_t Query::affected() const {
  return result_ == nullptr ? 0 : rows_changed(result_);
}

std::string_view Query::tag() const {
  return result_ == nullptr ? std::string_view() : std::string_view(PQcmdStatus(result_));
}

LaterAnswer::~LaterAnswer() {
  PQclear(result);
}

// --- Connection: opening

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

Result<std::unique_ptr<Connection>> Connection::open(const ConnectionParameters& parameters,
                                                     const PostgresOptions& options, Deadline deadline, int stop_fd) {
  if (PQisthreadsafe() == 0) {
    return {Code::kUnusable, "the linked libpq was built without threads"};
  }
  const std::vector<ConnectionParameters> hosts = each_host(parameters);
  const Deadline end = std::min(deadline, deadline_in(options.connect_timeout));
  // libpq goes on to the next host when one says no. One that says nothing has its share of the time, not all of it.
  for (std::size_t i = 0;; ++i) {
    const auto now = std::chrono::steady_clock::now();
    const Deadline share = now + (end - now) / static_cast<int>(hosts.size() - i);
    auto opened = open_one(hosts[i], options, share, deadline, stop_fd);
    if (opened.ok() || opened.status().code() != Code::kRetry || i + 1 == hosts.size()) {
      return opened;
    }
  }
}

Result<std::unique_ptr<Connection>> Connection::open_one(const ConnectionParameters& parameters,
                                                         const PostgresOptions& options, Deadline connected,
                                                         Deadline deadline, int stop_fd) {
  const auto keywords = terminated(parameters.keywords);
  const auto values = terminated(parameters.values);
  std::unique_ptr<Connection> connection(
      new Connection(PQconnectStartParams(keywords.data(), values.data(), 0), options, stop_fd));
  if (Status status = connection->connect(connected); !status.ok()) {
    return status;
  }
  if (Status status = connection->check_server(); !status.ok()) {
    return status;
  }
  connection->set_deadline(deadline);
  if (options.prepared_statements) {
    // A session of our own: its settings stay. Behind a pooler each transaction sets what it needs.
    (void)connection->execute(session_settings(options, ""));
  }
  if (!connection->ok()) {
    return connection->take_error();
  }
  return connection;
}

Status Connection::connect(Deadline deadline) {
  if (conn_ == nullptr) {
    return {Code::kRetry, "PostgreSQL: out of memory"};
  }
  PQsetNoticeProcessor(conn_, ignore_notice, nullptr);
  if (PQstatus(conn_) == CONNECTION_BAD) {
    return connection_refused(conn_);
  }
  PostgresPollingStatusType state = PGRES_POLLING_WRITING;
  while (state != PGRES_POLLING_OK) {
    if (state == PGRES_POLLING_FAILED) {
      return connection_refused(conn_);
    }
    if (!poll_until(PQsocket(conn_), state == PGRES_POLLING_READING ? POLLIN : POLLOUT, deadline, stop_fd_)) {
      return {Code::kRetry, "PostgreSQL: the server did not accept the connection in time"};
    }
    state = PQconnectPoll(conn_);
  }
  if (PQsetnonblocking(conn_, 1) != 0) {
    return connection_refused(conn_);
  }
  return {};
}

Status Connection::check_server() const {
  const int version = PQserverVersion(conn_);
  if (version < kOldestServer) {
    return {Code::kUnusable, fmt::format("PostgreSQL {}.{} is too old: at least {} is needed", version / 10000,
                                         version % 10000, kOldestServer / 10000)};
  }
  const char* encoding = PQparameterStatus(conn_, "server_encoding");
  if (encoding == nullptr || std::string_view(encoding) != "UTF8") {
    return {Code::kUnusable, fmt::format("the database has the encoding {}: use one with the encoding UTF8",
                                         encoding == nullptr ? "(unknown)" : one_line(encoding))};
  }
  return {};
}

// --- Connection: statements

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
  if (!prepared_) {  // a pooler may not bear a pipeline
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

// --- Connection: errors and ends

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
