#include "sqlite/process_identity.hpp"

#include <fmt/format.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <fstream>
#include <optional>
#include <string_view>
#include <vector>

namespace embedjobs::sqlite {
namespace {

struct ProcessStat {
  char state = '?';
  std::string start_time;
};

// Fields 3 (state) and 22 (start time) of /proc/PID/stat. Field 2 is a name in parentheses that may hold spaces and
// parentheses itself.
std::optional<ProcessStat> read_stat(const std::string& pid) {
  std::ifstream file("/proc/" + pid + "/stat");
  std::string line;
  if (!std::getline(file, line)) {
    return std::nullopt;
  }
  const auto name_end = line.rfind(')');
  if (name_end == std::string::npos || name_end + 2 >= line.size()) {
    return std::nullopt;
  }
  std::size_t begin = name_end + 2;
  ProcessStat stat;
  stat.state = line[begin];
  for (int field = 3; field < 22; ++field) {
    begin = line.find(' ', begin);
    if (begin == std::string::npos) {
      return std::nullopt;
    }
    ++begin;
  }
  stat.start_time = line.substr(begin, line.find(' ', begin) - begin);
  return stat;
}

std::string pid_namespace() {
  struct stat info {};
  return ::stat("/proc/self/ns/pid", &info) == 0 ? std::to_string(info.st_ino) : std::string();
}

std::vector<std::string> split(std::string_view text) {
  std::vector<std::string> parts;
  while (true) {
    const auto slash = text.find('/');
    parts.emplace_back(text.substr(0, slash));
    if (slash == std::string_view::npos) {
      return parts;
    }
    text.remove_prefix(slash + 1);
  }
}

bool pid_exists(const std::string& pid) {
  pid_t number = 0;
  const auto [end, error] = std::from_chars(pid.data(), pid.data() + pid.size(), number);
  if (error != std::errc() || end != pid.data() + pid.size() || number <= 0) {
    return true;
  }
  return ::kill(number, 0) == 0 || errno != ESRCH;
}

}  // namespace

std::string this_process(const std::string& boot_id) {
  const std::string space = pid_namespace();
  const auto stat = read_stat("self");
  if (boot_id.empty() || space.empty() || !stat) {
    return {};
  }
  return fmt::format("{}/{}/{}/{}", boot_id, space, ::getpid(), stat->start_time);
}

bool process_alive(const std::string& identity, const std::string& boot_id) {
  const auto parts = split(identity);
  if (parts.size() != 4 || parts[0] != boot_id || parts[1].empty() || parts[1] != pid_namespace()) {
    return true;
  }
  if (!pid_exists(parts[2])) {
    return false;
  }
  const auto stat = read_stat(parts[2]);
  if (!stat) {
    return true;
  }
  return stat->state != 'Z' && stat->state != 'X' && stat->start_time == parts[3];
}

}  // namespace embedjobs::sqlite
