// The command as a process that a test starts, kills and waits for.
#pragma once

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace embedjobs::test {

using Words = std::vector<std::string>;

class CommandProcess {
 public:
  /// `words`: what the command is told. `launcher`: what runs the command, such as env with its arguments, and becomes
  /// it; empty: nothing does. `key`: the provider's, so that its log tells who called.
  explicit CommandProcess(const Words& words, const std::string& key = "key", Words launcher = {}) {
    launcher.emplace_back(EMBEDJOBS_COMMAND);
    launcher.insert(launcher.end(), words.begin(), words.end());
    pid_ = ::fork();
    if (pid_ == 0) {
      std::vector<char*> arguments;
      for (std::string& word : launcher) {
        arguments.push_back(word.data());
      }
      arguments.push_back(nullptr);
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);  // however the test ends
      ::setenv("EMBEDJOBS_API_KEY", key.c_str(), 1);
      ::dup2(::open("/dev/null", O_WRONLY),
             STDOUT_FILENO);  // not a stream: what the parent has not written yet is not ours to write
      ::execvp(arguments[0], arguments.data());
      ::_exit(127);
    }
    if (pid_ < 0) {
      throw std::runtime_error("can't fork");
    }
  }
  ~CommandProcess() { kill(); }
  CommandProcess(CommandProcess&& other) noexcept : pid_(std::exchange(other.pid_, -1)) {}
  CommandProcess& operator=(CommandProcess&& other) noexcept {
    std::swap(pid_, other.pid_);
    return *this;
  }

  [[nodiscard]] pid_t pid() const { return pid_; }
  void kill() {
    if (pid_ > 0) {
      ::kill(pid_, SIGKILL);
      wait();
    }
  }
  /// Its exit code; -1 when a signal ended it.
  int wait() {
    int status = 0;
    ::waitpid(std::exchange(pid_, -1), &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

 private:
  pid_t pid_ = -1;
};

/// `embedjobs work` on this database.
inline Words work_words(const std::string& dsn, const std::string& embedder, const Words& more = {}) {
  Words words{"work", "--db", dsn, "--embedder", embedder};
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

}  // namespace embedjobs::test
