#include "sqlite/database.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <filesystem>
#include <utility>

#include "core/rules/errors.hpp"
#include "embedjobs/sys/store_rules.hpp"
#include "sqlite/process_identity.hpp"
#include "sqlite/schema.hpp"

namespace embedjobs::sqlite {
namespace {

constexpr std::size_t kMaxIdleReaders = 4;

SqliteOptions completed(SqliteOptions options, Clock& clock) {
  apply_defaults(options.store);
  if (options.busy_timeout <= Duration(0)) {
    options.busy_timeout = SqliteOptions().busy_timeout;
  }
  const std::string boot_id = clock.boot_id();
  if (options.holder_identity.empty()) {
    options.holder_identity = this_process(boot_id);
  }
  if (!options.holder_alive) {
    options.holder_alive = [boot_id](const std::string& identity) { return process_alive(identity, boot_id); };
  }
  return options;
}

Result<std::string> checked_path(const std::string& path, bool create) {
  namespace fs = std::filesystem;
  if (path.empty() || path == ":memory:" || path.find('\0') != std::string::npos) {
    return {Code::kInvalidArgument, "the path of a SQLite database is empty or not a file's"};
  }
  std::error_code error;
  const fs::path absolute = fs::absolute(path, error);
  if (error) {
    return {Code::kInvalidArgument, fmt::format("{}: {}", path, error.message())};
  }
  const fs::file_status status = fs::status(absolute, error);
  if (fs::is_directory(status)) {
    return {Code::kUnusable, fmt::format("{}: is a directory: name a file", path)};
  }
  if (fs::exists(status)) {
    return absolute.string();
  }
  if (!create) {
    return {Code::kNotFound, fmt::format("{}: no such database", path)};
  }
  if (!fs::is_directory(absolute.parent_path(), error)) {
    return {Code::kUnusable, fmt::format("{}: its directory does not exist: make it first", path)};
  }
  return absolute.string();
}

}  // namespace

void WriterGate::enter_writer() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return !busy_ && renewals_waiting_ == 0; });
  busy_ = true;
}

bool WriterGate::enter_renewal(Duration limit) {
  std::unique_lock lock(mutex_);
  ++renewals_waiting_;
  const bool entered = changed_.wait_for(lock, limit, [this] { return !busy_; });
  --renewals_waiting_;
  busy_ = busy_ || entered;
  lock.unlock();
  if (!entered) {
    changed_.notify_all();  // writers that gave way
  }
  return entered;
}

void WriterGate::leave() {
  {
    const std::lock_guard lock(mutex_);
    busy_ = false;
  }
  changed_.notify_all();
}

Database::Database(std::string path, SqliteOptions options, std::shared_ptr<Clock> clock)
    : path_(std::move(path)),
      options_(completed(std::move(options), *clock)),
      clock_(std::move(clock)),
      pid_(::getpid()) {}

Database::~Database() {
  if (::getpid() == pid_) {
    return;
  }
  // In a forked child closing would roll back the parent's transaction. The memory is the child's to lose.
  (void)writer_.release();
  (void)heartbeat_.release();
  for (auto& reader : readers_) {
    (void)reader.release();
  }
}

Result<std::shared_ptr<Database>> Database::open(const std::string& path, const SqliteOptions& options,
                                                 std::shared_ptr<Clock> clock) {
  auto checked = checked_path(path, options.create);
  if (!checked.ok()) {
    return checked.status();
  }
  if (Status status = check_not_inherited(*checked); !status.ok()) {
    return status;
  }
  std::shared_ptr<Database> database(new Database(std::move(checked).value(), options, std::move(clock)));
  auto connection =
      Connection::open(database->path_, Connection::Access::kWrite, options.create, database->options_.busy_timeout);
  if (!connection.ok()) {
    return connection.status();
  }
  database->open_file_ = note_open_file(database->path_);
  if (Status status = prepare_schema(**connection, options.journal); !status.ok()) {
    return status;
  }
  database->read_only_ = (*connection)->read_only();
  database->writer_ = std::move(connection).value();
  return database;
}

MonoTime Database::steady_now() {
  return std::chrono::steady_clock::now();
}

Status Database::check_process() const {
  if (::getpid() != pid_) {
    return core::opened_before_fork();
  }
  return {};
}

Status Database::may_write() const {
  if (read_only_) {
    return {Code::kUnusable, fmt::format("{}: is read-only for this user: make file and directory writable", path_)};
  }
  return check_process();
}

Status Database::make_ready(std::unique_ptr<Connection>& connection) const {
  if (connection != nullptr && !connection->broken()) {
    return {};
  }
  connection.reset();
  auto opened = Connection::open(path_, Connection::Access::kWrite, false, options_.busy_timeout);
  if (!opened.ok()) {
    return opened.status();
  }
  if (Status status = apply_journal(**opened, options_.journal); !status.ok()) {
    return status;
  }
  connection = std::move(opened).value();
  return {};
}

Result<std::unique_ptr<Connection>> Database::borrow_reader() {
  if (Status status = check_process(); !status.ok()) {
    return status;
  }
  {
    const std::lock_guard lock(readers_mutex_);
    if (!readers_.empty()) {
      std::unique_ptr<Connection> reader = std::move(readers_.back());
      readers_.pop_back();
      return reader;
    }
  }
  const auto access = read_only_ ? Connection::Access::kReadOnlyFile : Connection::Access::kRead;
  return Connection::open(path_, access, false, options_.busy_timeout);
}

void Database::give_back(std::unique_ptr<Connection> connection) {
  const std::lock_guard lock(readers_mutex_);
  if (!connection->broken() && readers_.size() < kMaxIdleReaders) {
    readers_.push_back(std::move(connection));
  }
}

Status Database::end(Connection& connection, bool commit) {
  const auto fault = [this](bool committed) {
    Status status = options_.commit_fault ? options_.commit_fault(committed) : Status();
    fault_answered_ = !status.ok();
    return status;
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
  connection.commit();
  if (error = connection.take_error(); !error.ok()) {
    connection.rollback();
    return error;
  }
  return fault(true);
}

}  // namespace embedjobs::sqlite
