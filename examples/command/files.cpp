#include "files.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <system_error>

#include <fmt/format.h>

#include "embedjobs/items.hpp"
#include "embedjobs/limits.hpp"

namespace embedjobs::command {
namespace {

constexpr std::size_t kBlockBytes = std::size_t{1} << 20;

/// Owns a file descriptor, except the standard input's.
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ > STDERR_FILENO) {
      ::close(fd_);
    }
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  [[nodiscard]] int get() const { return fd_; }

 private:
  int fd_;
};

Status unreadable(const std::string& path, std::string_view why) {
  return {Code::kInvalidDocument, fmt::format("{}: {}", path == "-" ? "standard input" : path, why)};
}

}  // namespace

Result<std::string> read_document(const std::string& path, Format format) {
  const Descriptor file(path == "-" ? STDIN_FILENO : ::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.get() < 0) {
    return unreadable(path, fmt::format("can't be read: {}", std::generic_category().message(errno)));
  }
  struct stat info {};
  if (::fstat(file.get(), &info) == 0 && S_ISDIR(info.st_mode)) {
    return unreadable(path, "is a directory; name the document in it");
  }
  std::string content;
  // The size that the file system tells is not trusted: pipes have none, and files grow.
  for (;;) {
    const std::size_t filled = content.size();
    content.resize(filled + kBlockBytes);
    const ssize_t count = ::read(file.get(), content.data() + filled, kBlockBytes);
    content.resize(filled + (count > 0 ? static_cast<std::size_t>(count) : 0));
    if (count < 0 && errno != EINTR) {
      return unreadable(path, fmt::format("can't be read: {}", std::generic_category().message(errno)));
    }
    if (count == 0) {
      break;
    }
    if (content.size() > kMaxDocumentBytes) {
      return unreadable(path, fmt::format("is larger than {} MiB, the limit for a document", kMaxDocumentBytes >> 20));
    }
  }
  if (format == Format::kDocument && content.find('\0') != std::string::npos) {
    return unreadable(path, "is a binary file (or UTF-16), not an OpenAPI document in UTF-8");
  }
  return content;
}

std::shared_ptr<const Splitter> splitter_of(Format format) {
  return format == Format::kItems ? make_items_splitter() : make_document_splitter();
}

std::string spec_name_of(const std::string& path) {
  return std::filesystem::path(path).stem().string();
}

}  // namespace embedjobs::command
