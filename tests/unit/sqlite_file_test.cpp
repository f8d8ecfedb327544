// Files that open_sqlite takes, and those that it refuses without harm.
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <functional>
#include <iterator>

#include "embedjobs/backend.hpp"
#include "embedjobs/sqlite.hpp"
#include "embedjobs/sys/catalog.hpp"
#include "embedjobs/sys/store.hpp"
#include "sqlite/schema.hpp"
#include "support/manual_clock.hpp"
#include "support/raw_sqlite.hpp"
#include "support/temp_folder.hpp"

using namespace embedjobs;
using namespace embedjobs::test;

namespace {

const SpecKey kKey{"catalog", "spec"};

Result<Backend> open(const std::string& path, SqliteOptions options = {}) {
  return open_sqlite(path, options, std::make_shared<ManualClock>());
}

std::string bytes_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

void write_file(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

/// Refused as unusable, the message says `why`, and the file is as it was.
void check_unusable(const std::string& path, const std::string& why) {
  const std::string before = bytes_of(path);
  const Status status = open(path).status();
  CHECK(status.code() == Code::kUnusable);
  CHECK_THAT(status.message(), Catch::Contains(why));
  CHECK(status.message().find('\n') == std::string::npos);
  CHECK((bytes_of(path) == before));
}

}  // namespace

TEST_CASE("a new file is made with the current schema, marked as ours") {
  const TempFolder folder;
  const std::string path = folder.file("new.db");
  REQUIRE(open(path).ok());
  CHECK(raw_sql(path, "PRAGMA user_version") == std::vector{std::to_string(sqlite::kSchemaVersion)});
  CHECK(raw_sql(path, "PRAGMA application_id") == std::vector{std::to_string(sqlite::kApplicationId)});
  check_integrity(path);
}

TEST_CASE("an empty file counts as new") {
  const TempFolder folder;
  write_file(folder.file("empty.db"), "");
  CHECK(open(folder.file("empty.db")).ok());
}

TEST_CASE("a file that is not a database is refused and stays as it was") {
  const TempFolder folder;
  write_file(folder.file("text"), std::string(5000, 'x'));
  check_unusable(folder.file("text"), "not a SQLite database");
  write_file(folder.file("short"), "hello");
  check_unusable(folder.file("short"), "not a SQLite database");
}

TEST_CASE("another program's database is refused and stays as it was") {
  const TempFolder folder;
  raw_sql(folder.file("other"), "CREATE TABLE jobs (id INTEGER)");
  check_unusable(folder.file("other"), "another program");
  raw_sql(folder.file("marked"), "PRAGMA application_id = 1234");
  check_unusable(folder.file("marked"), "another program");
}

TEST_CASE("a database of a newer version is refused and says what to do") {
  const TempFolder folder;
  const std::string path = folder.file("newer.db");
  REQUIRE(open(path).ok());
  raw_sql(path, "PRAGMA user_version = 999");
  check_unusable(path, "use a newer embedjobs");
  const SqliteSchema schema = inspect_sqlite(path).value();
  CHECK(schema.file_version == 999);
  CHECK(schema.library_version == sqlite::kSchemaVersion);
}

TEST_CASE("a file of schema 1 is migrated, with what is in it") {
  const TempFolder folder;
  const std::string path = folder.file("old.db");
  REQUIRE(open(path).value().catalog->put(kKey, "document", "").ok());
  raw_sql(path, "DROP TABLE workers");
  raw_sql(path, "ALTER TABLE providers DROP COLUMN input_bytes");
  raw_sql(path, "ALTER TABLE providers DROP COLUMN stopped");
  raw_sql(path, "PRAGMA user_version = 1");
  const Backend backend = open(path).value();
  CHECK(inspect_sqlite(path).value().file_version == sqlite::kSchemaVersion);
  CHECK(backend.catalog->resolve(kKey).value().content == "document");
  CHECK(backend.store->register_worker({.worker_id = "w"}).ok());
  CHECK(backend.store->note_provider("p", {.input_bytes = 750}).ok());
  CHECK(backend.store->provider_state("p").value().input_bytes == 750);
  check_integrity(path);
}

TEST_CASE("a damaged database is refused or answers errors, and never crashes") {
  const TempFolder folder;
  const std::string path = folder.file("damaged.db");
  {
    const Backend backend = open(path).value();
    REQUIRE(backend.catalog->put(kKey, std::string(100'000, 'x'), "").ok());
  }
  const std::string whole = bytes_of(path);
  for (std::size_t cut : {std::size_t{50}, std::size_t{4000}, std::size_t{9000}, whole.size() / 2, whole.size() - 1}) {
    CAPTURE(cut);
    write_file(path, whole.substr(0, cut));
    const auto backend = open(path);
    if (backend.ok()) {
      (void)backend->catalog->resolve(kKey);
      (void)backend->store->enqueue(kKey, JobKind::kSpecWrite);
    } else {
      CHECK(backend.status().code() == Code::kUnusable);
    }
  }
}

TEST_CASE("a directory, a missing directory, and a name that is none are refused") {
  const TempFolder folder;
  CHECK(open(folder.path().string()).status().code() == Code::kUnusable);
  const Status missing = open(folder.file("no/such/folder/x.db")).status();
  CHECK(missing.code() == Code::kUnusable);
  CHECK_THAT(missing.message(), Catch::Contains("directory does not exist"));
  CHECK(open("").status().code() == Code::kInvalidArgument);
  CHECK(open(":memory:").status().code() == Code::kInvalidArgument);
}

TEST_CASE("a file that must exist already is not made") {
  const TempFolder folder;
  CHECK(open(folder.file("none.db"), {.create = false}).status().code() == Code::kNotFound);
  CHECK_FALSE(std::filesystem::exists(folder.file("none.db")));
}

TEST_CASE("inspecting says the versions and changes nothing") {
  const TempFolder folder;
  const std::string path = folder.file("x.db");
  CHECK(inspect_sqlite(path).status().code() == Code::kNotFound);
  write_file(path, "");
  CHECK(inspect_sqlite(path)->file_version == 0);
  CHECK(bytes_of(path).empty());
  REQUIRE(open(path).ok());
  CHECK(inspect_sqlite(path)->file_version == sqlite::kSchemaVersion);
  write_file(folder.file("text"), std::string(5000, 'x'));
  CHECK(inspect_sqlite(folder.file("text")).status().code() == Code::kUnusable);
}

TEST_CASE("a file that can only be read answers reads, and refuses writes with a reason") {
  if (::geteuid() == 0) {
    std::puts("skipped: root may write everywhere");
    return;
  }
  const TempFolder folder;
  const std::string path = folder.file("x.db");
  REQUIRE(open(path).value().catalog->put(kKey, "content", "").ok());
  std::filesystem::permissions(path, std::filesystem::perms::owner_read);
  const auto backend = open(path);
  REQUIRE(backend.ok());
  CHECK(backend->catalog->resolve(kKey)->content == "content");
  CHECK(backend->store->counts()->pending == 1);
  const Status status = backend->store->enqueue(kKey, JobKind::kSpecWrite).status();
  CHECK(status.code() == Code::kUnusable);
  CHECK_THAT(status.message(), Catch::Contains("read-only"));
}

TEST_CASE("the rollback journal is used unless SQLite has the fix of the WAL-reset defect") {
  CHECK_FALSE(sqlite::wal_is_safe(3040001));
  CHECK_FALSE(sqlite::wal_is_safe(3044005));
  CHECK(sqlite::wal_is_safe(3044006));
  CHECK_FALSE(sqlite::wal_is_safe(3045000));
  CHECK_FALSE(sqlite::wal_is_safe(3050006));
  CHECK(sqlite::wal_is_safe(3050007));
  CHECK_FALSE(sqlite::wal_is_safe(3051002));
  CHECK(sqlite::wal_is_safe(3051003));
  CHECK(sqlite::wal_is_safe(3052000));
  const TempFolder folder;
  for (const auto& [journal, expected] :
       {std::pair{SqliteJournal::kRollback, "delete"}, std::pair{SqliteJournal::kWal, "wal"}}) {
    const std::string path = folder.file(expected);
    const Backend backend = open(path, {.journal = journal}).value();
    REQUIRE(backend.catalog->put(kKey, "content", "").ok());
    // "truncate" is a connection's own choice; to another one the file is not in WAL mode, and no more can be told.
    CHECK(raw_sql(path, "PRAGMA journal_mode") == std::vector<std::string>{expected});
  }
}

TEST_CASE("two handles on one file see each other's writes") {
  const TempFolder folder;
  const std::string path = folder.file("x.db");
  const Backend first = open(path).value();
  const Backend second = open(path).value();
  REQUIRE(first.catalog->put(kKey, "content", "").ok());
  CHECK(second.catalog->resolve(kKey)->content == "content");
  REQUIRE(second.catalog->put(kKey, "edited", "").ok());
  CHECK(first.catalog->resolve(kKey)->content == "edited");
  CHECK(first.store->peek("4/test")->enqueue_counter == 2);
}

TEST_CASE("a forked child is refused, and leaves the parent's database alone") {
  const TempFolder folder;
  const std::string path = folder.file("x.db");
  auto backend = std::make_unique<Backend>(open(path).value());
  REQUIRE(backend->catalog->put(kKey, "content", "").ok());
  const pid_t child = ::fork();
  if (child == 0) {
    const bool refused = backend->catalog->resolve(kKey).status().code() == Code::kRefused &&
                         backend->store->enqueue(kKey, JobKind::kSpecWrite).status().code() == Code::kRefused &&
                         backend->store->renew({}, Duration(0), Duration(0)).status().code() == Code::kRefused;
    backend.reset();
    ::_exit(refused ? 0 : 1);
  }
  REQUIRE(child > 0);
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
  CHECK(backend->catalog->resolve(kKey)->content == "content");
  CHECK(backend->store->enqueue(kKey, JobKind::kSpecWrite).ok());
}

TEST_CASE("a forked child may not open what its parent had open: SQLite would lose what it writes there") {
  const TempFolder folder;
  const std::string path = folder.file("x.db");
  const auto in_child = [](const std::function<bool()>& good) {
    const pid_t child = ::fork();
    if (child == 0) {
      ::_exit(good() ? 0 : 1);
    }
    REQUIRE(child > 0);
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
  };
  auto backend = std::make_unique<Backend>(open(path).value());
  auto second = std::make_unique<Backend>(open(path).value());
  CHECK(in_child([&] {
    const Status status = open(path).status();
    return status.code() == Code::kRefused &&
           status.message().find("was open when this process was forked") != std::string::npos;
  }));
  CHECK(in_child([&] { return open(folder.file("other.db")).ok(); }));
  backend.reset();
  CHECK(in_child([&] { return open(path).status().code() == Code::kRefused; }));
  second.reset();
  CHECK(in_child([&] {
    const Result<Backend> own = open(path);
    return own.ok() && own->catalog->put(kKey, "content", "").ok();
  }));
  CHECK(open(path)->catalog->resolve(kKey)->content == "content");
}
