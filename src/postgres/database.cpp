#include "postgres/database.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <utility>

#include "core/rules/errors.hpp"
#include "postgres/client/vector_type.hpp"
#include "postgres/listener.hpp"
#include "postgres/schema.hpp"

namespace embedjobs::postgres {
namespace {

constexpr const char* kLockShared = "SELECT pg_advisory_xact_lock_shared($1)";
constexpr const char* kLockAlone = "SELECT pg_advisory_xact_lock($1)";
// Who wants it alone is waited for by all who want to share it: not for longer than this, when one who shares it does
// not end.
constexpr const char* kWaitBriefly = "SET LOCAL lock_timeout = '1s'";

}  // namespace

std::int64_t advisory_key(std::string_view schema, std::string_view purpose) {
  const TextHash hash = hash_text(fmt::format("embedjobs/{}/{}", schema, purpose));
  return read_integer({reinterpret_cast<const char*>(hash.data()), 8});
}

bool Turn::enter(Deadline deadline) {
  std::unique_lock lock(mutex_);
  const bool entered = free_.wait_until(lock, deadline, [this] { return !busy_; });
  busy_ = busy_ || entered;
  return entered;
}

void Turn::leave() {
  {
    const std::lock_guard lock(mutex_);
    busy_ = false;
  }
  free_.notify_one();
}

Database::Database(Dsn dsn, std::shared_ptr<Clock> clock)
    : parameters_(std::move(dsn.parameters)),
      options_(std::move(dsn.options)),
      clock_(std::move(clock)),
      pid_(::getpid()),
      sweep_key_(advisory_key(options_.schema, "sweep")) {}

Database::~Database() {
  if (::getpid() == pid_) {
    return;
  }
  // In a forked child closing would end the parent's sessions. The memory is the child's to lose.
  for (auto& connection : idle_) {
    (void)connection.release();
  }
  (void)heartbeat_.release();
  (void)listener_.release();
}

Result<std::shared_ptr<Database>> Database::open(std::string_view dsn, const PostgresOptions& options,
                                                 std::shared_ptr<Clock> clock) {
  auto parsed = parse_dsn(dsn, options);
  if (!parsed.ok()) {
    return parsed.status();
  }
  std::shared_ptr<Database> database(new Database(*std::move(parsed), std::move(clock)));
  const Deadline deadline = deadline_in(database->options_.call_timeout);
  auto connection = Connection::open(database->parameters_, database->options_, deadline);
  if (!connection.ok()) {
    return connection.status();
  }
  if (Status status = prepare_schema(**connection, database->options_); !status.ok()) {
    return status;
  }
  if (Status status = check_rights(**connection, database->options_.schema); !status.ok()) {
    return status;
  }
  if (Status status = check_vector_type(**connection, database->options_); !status.ok()) {
    return status;
  }
  database->vector_type_ = (*connection)->vector_type();
  database->idle_.push_back(std::move(connection).value());
  return database;
}

Status Database::check_process() const {
  if (::getpid() != pid_) {
    return core::opened_before_fork();
  }
  return {};
}

Status Database::make_ready(std::unique_ptr<Connection>& connection, Deadline deadline) const {
  if (Status status = check_process(); !status.ok()) {
    return status;
  }
  if (connection == nullptr || connection->broken() || !connection->still_stands()) {
    connection.reset();
    auto opened = Connection::open(parameters_, options_, deadline);
    if (!opened.ok()) {
      return opened.status();
    }
    connection = std::move(opened).value();
    connection->set_vector_type(vector_type_);
  }
  connection->set_deadline(deadline);
  return {};
}

Result<std::unique_ptr<Connection>> Database::borrow(Deadline deadline) {
  if (Status status = check_process(); !status.ok()) {
    return status;
  }
  std::unique_ptr<Connection> connection;
  {
    std::unique_lock lock(pool_mutex_);
    if (!given_back_.wait_until(lock, deadline, [this] { return borrowed_ < options_.max_connections; })) {
      return {Code::kRetry, fmt::format("all {} connections were in use for too long", options_.max_connections)};
    }
    ++borrowed_;
    if (!idle_.empty()) {
      connection = std::move(idle_.back());
      idle_.pop_back();
    }
  }
  if (Status status = make_ready(connection, deadline); !status.ok()) {
    give_back(nullptr);
    return status;
  }
  return connection;
}

void Database::give_back(std::unique_ptr<Connection> connection) {
  const bool keep = connection != nullptr && !connection->broken();
  {
    const std::lock_guard lock(pool_mutex_);
    --borrowed_;
    if (keep) {
      idle_.push_back(std::move(connection));
    }
  }
  given_back_.notify_one();
}

void Database::begin(Connection& connection, const char* statement, SweepLock sweep_lock) const {
  connection.forget_moment();
  if (options_.use_clock) {
    connection.set_moment({.wall = clock_->wall_now(), .lease = clock_->boot_time()});
  }
  if (options_.prepared_statements) {
    connection.run_later(statement);
  } else {
    // Behind a pooler a session's settings belong to nobody.
    (void)connection.execute(fmt::format("{}; {}", statement, session_settings(options_, "LOCAL ")));
  }
  if (sweep_lock == SweepLock::kExclusive) {
    connection.run_later(kWaitBriefly);
  }
  if (sweep_lock != SweepLock::kNone) {
    connection.run_later(sweep_lock == SweepLock::kShared ? kLockShared : kLockAlone, sweep_key_);
  }
}

Status Database::end(Connection& connection, bool commit) const {
  const auto fault = [this](bool committed) {
    return options_.commit_fault ? options_.commit_fault(committed) : Status();
  };
  Status error = connection.take_error();
  if (!error.ok() || !commit) {
    connection.rollback();
    return error;
  }
  if (error = fault(false); !error.ok()) {
    connection.rollback();
    return error;
  }
  if (!connection.commit()) {
    error = connection.take_error();
    connection.rollback();
    return error.ok() ? Status(Code::kRetry, "PostgreSQL: the server rolled the transaction back") : error;
  }
  return fault(true);
}

void Database::set_wake(std::function<void()> wake) {
  const bool listens = wake && !options_.poll_only && ::getpid() == pid_;
  wake_.set(std::move(wake));
  const std::lock_guard lock(listener_mutex_);
  if (listens && !listener_) {
    listener_ = std::make_unique<Listener>(parameters_, options_, wake_);
  } else if (!listens) {
    listener_.reset();
  }
}

}  // namespace embedjobs::postgres
