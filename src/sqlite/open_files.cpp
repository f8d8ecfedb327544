#include "sqlite/open_files.hpp"

#include <fmt/format.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstddef>
#include <map>
#include <mutex>
#include <optional>
#include <utility>

namespace embedjobs::sqlite {
namespace {

using FileId = std::pair<dev_t, ino_t>;  // as SQLite tells files apart

struct Opened {
  pid_t pid = 0;
  std::size_t times = 0;
};

struct OpenFiles {
  std::mutex mutex;
  std::map<FileId, Opened> files;
};

/// Lives for ever: engines may be destroyed when static objects are gone already. No other thread holds the lock at the
/// moment of a fork, so that the child can have it.
OpenFiles& open_files() {
  static OpenFiles* const all = [] {
    auto* made = new OpenFiles;
    (void)::pthread_atfork([] { open_files().mutex.lock(); }, [] { open_files().mutex.unlock(); },
                           [] { open_files().mutex.unlock(); });
    return made;
  }();
  return *all;
}

std::optional<FileId> id_of(const std::string& path) {
  struct stat status {};
  return ::stat(path.c_str(), &status) == 0 ? std::optional(FileId(status.st_dev, status.st_ino)) : std::nullopt;
}

class Noted {
 public:
  explicit Noted(FileId id) : id_(id) {
    const std::lock_guard lock(open_files().mutex);
    Opened& opened = open_files().files[id_];
    opened.pid = pid_;
    ++opened.times;
  }
  ~Noted() {
    if (::getpid() != pid_) {
      return;  // it stays open in the parent
    }
    const std::lock_guard lock(open_files().mutex);
    const auto found = open_files().files.find(id_);
    if (--found->second.times == 0) {
      open_files().files.erase(found);
    }
  }
  Noted(const Noted&) = delete;
  Noted& operator=(const Noted&) = delete;

 private:
  const FileId id_;
  const pid_t pid_ = ::getpid();
};

}  // namespace

OpenFile note_open_file(const std::string& path) {
  const std::optional<FileId> id = id_of(path);
  return id ? std::make_shared<const Noted>(*id) : OpenFile();
}

Status check_not_inherited(const std::string& path) {
  const std::optional<FileId> id = id_of(path);
  if (!id) {
    return {};
  }
  const std::lock_guard lock(open_files().mutex);
  const auto found = open_files().files.find(*id);
  if (found == open_files().files.end() || found->second.pid == ::getpid()) {
    return {};
  }
  return {Code::kRefused,
          fmt::format(
              "{}: was open when this process was forked, and SQLite would lose what is written here: fork before it "
              "is opened, or run a program (exec)",
              path)};
}

}  // namespace embedjobs::sqlite
