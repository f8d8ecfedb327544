// How a connection comes to be: host by host, within a time limit, to a server that can be used.
#include <fmt/format.h>
#include <libpq-fe.h>
#include <poll.h>

#include <algorithm>
#include <vector>

#include "postgres/client/connection.hpp"
#include "postgres/client/errors.hpp"

namespace embedjobs::postgres {
namespace {

constexpr int kOldestServer = 130000;

void ignore_notice(void* /*context*/, const char* /*message*/) {}

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

}  // namespace

std::string session_settings(const PostgresOptions& options, std::string_view scope) {
  const auto limit = std::chrono::ceil<std::chrono::milliseconds>(options.call_timeout).count();
  return fmt::format(
      "SET {0}search_path = pg_catalog, pg_temp; SET {0}jit = off; SET {0}enable_seqscan = off;"
      " SET {0}plan_cache_mode = force_generic_plan; SET {0}statement_timeout = {1}; SET {0}lock_timeout = 0;"
      " SET {0}idle_in_transaction_session_timeout = {1}",
      scope, limit);
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

}  // namespace embedjobs::postgres
