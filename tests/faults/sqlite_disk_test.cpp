// Disks that refuse: without room, and read-only. Every call says so, what was stored stays, and the calls work again
// when there is room.
#include <sys/mount.h>

#include <cstdio>
#include <fstream>

#include "embedjobs/backend.hpp"
#include "embedjobs/sqlite.hpp"
#include "embedjobs/sys/catalog.hpp"
#include "embedjobs/sys/store.hpp"
#include "support/manual_clock.hpp"
#include "support/raw_sqlite.hpp"
#include "support/temp_folder.hpp"

using namespace embedjobs;
using namespace embedjobs::test;

namespace {

/// A disk of 2 MiB. Needs the right to mount.
class SmallDisk {
 public:
  SmallDisk() { mounted_ = ::mount("tmpfs", folder_.path().c_str(), "tmpfs", 0, "size=2m") == 0; }
  ~SmallDisk() {
    if (mounted_) {
      ::umount2(folder_.path().c_str(), MNT_DETACH);
    }
  }
  SmallDisk(const SmallDisk&) = delete;
  SmallDisk& operator=(const SmallDisk&) = delete;

  [[nodiscard]] bool mounted() const { return mounted_; }
  [[nodiscard]] std::string file(const std::string& name) const { return folder_.file(name); }
  /// Leaves about so many bytes.
  void fill(std::uintmax_t leave) {
    clear();
    const auto free = std::filesystem::space(folder_.path()).available;
    std::ofstream(file("filler"), std::ios::binary) << std::string(free > leave ? free - leave : 0, 'x');
  }
  /// No file may be open for writing.
  [[nodiscard]] bool make_read_only() const {
    return ::mount(nullptr, folder_.path().c_str(), nullptr, MS_REMOUNT | MS_RDONLY, nullptr) == 0;
  }
  void clear() { std::filesystem::remove(file("filler")); }

 private:
  TempFolder folder_;
  bool mounted_ = false;
};

void check_full(const Status& status) {
  CHECK(status.code() == Code::kRetry);
  CHECK_THAT(status.message(), Catch::Contains("disk full"));
}

bool mounted(const SmallDisk& disk) {
  if (!disk.mounted()) {
    std::puts("skipped: this user may not mount a small disk");
  }
  return disk.mounted();
}

}  // namespace

TEST_CASE("a write without room fails as a whole, reads go on, and it succeeds when there is room again") {
  SmallDisk disk;
  if (!mounted(disk)) {
    return;
  }
  const std::string path = disk.file("x.db");
  const Backend backend = open_sqlite(path, {}, std::make_shared<ManualClock>()).value();
  REQUIRE(backend.catalog->put({"c", "first"}, "first", "").ok());
  int refused = 0;
  int written = 0;
  for (std::uintmax_t leave = 0; leave <= 160'000; leave += 8192) {
    CAPTURE(leave);
    const SpecKey key{"c", "spec " + std::to_string(leave)};
    const std::string content(40'000, static_cast<char>('a' + leave % 26));
    disk.fill(leave);
    const auto put = backend.catalog->put(key, content, "");
    if (put.ok()) {
      ++written;
    } else {
      ++refused;
      check_full(put.status());
      CHECK(backend.catalog->resolve(key).status().code() == Code::kGone);
    }
    CHECK(backend.catalog->resolve({"c", "first"})->content == "first");
    disk.clear();
    CHECK(backend.catalog->put(key, content, "").ok());
    CHECK((backend.catalog->resolve(key)->content == content));
  }
  CHECK(refused > 0);
  CHECK(written > 0);
  check_integrity(path);
}

TEST_CASE("a database that has no room to be made says so, and is made later") {
  SmallDisk disk;
  if (!mounted(disk)) {
    return;
  }
  disk.fill(0);
  check_full(open_sqlite(disk.file("x.db"), {}, std::make_shared<ManualClock>()).status());
  disk.clear();
  CHECK(open_sqlite(disk.file("x.db"), {}, std::make_shared<ManualClock>()).ok());
}

TEST_CASE("on a read-only file system reads work, and writes are refused with a reason") {
  SmallDisk disk;
  if (!mounted(disk)) {
    return;
  }
  const std::string path = disk.file("x.db");
  {
    const Backend backend = open_sqlite(path, {}, std::make_shared<ManualClock>()).value();
    REQUIRE(backend.catalog->put({"c", "first"}, "first", "").ok());
  }
  REQUIRE(disk.make_read_only());
  const Status made = open_sqlite(disk.file("new.db"), {}, std::make_shared<ManualClock>()).status();
  CHECK(made.code() == Code::kUnusable);
  const auto backend = open_sqlite(path, {}, std::make_shared<ManualClock>());
  INFO(backend.status().to_string());
  REQUIRE(backend.ok());
  CHECK(backend->catalog->resolve({"c", "first"})->content == "first");
  CHECK(backend->store->counts()->pending == 1);
  const Status status = backend->store->enqueue({"c", "first"}, JobKind::kSpecWrite).status();
  CHECK(status.code() == Code::kUnusable);
  CHECK_THAT(status.message(), Catch::Contains("read-only"));
}
