// The command `embedjobs work` as a process that a test starts, kills and waits for.
#pragma once

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <stdexcept>
#include <string>
#include <vector>

namespace embedjobs::test {

class WorkerProcess {
 public:
  /// `launcher`: what runs the command, such as faketime with its arguments. `name` is the provider's key, so that its log tells who
  /// called.
  WorkerProcess(const std::string& dsn, const std::string& embedder, const std::string& name, const std::vector<std::string>& more,
                const std::vector<std::string>& launcher = {}) {
    std::vector<std::string> words = launcher;
    words.insert(words.end(), {EMBEDJOBS_COMMAND, "work", "--db", dsn, "--embedder", embedder});
    words.insert(words.end(), more.begin(), more.end());
    pid_ = ::fork();
    if (pid_ == 0) {
      std::vector<char*> arguments;
      for (std::string& word : words) {
        arguments.push_back(word.data());
      }
      arguments.push_back(nullptr);
      ::setenv("EMBEDJOBS_API_KEY", name.c_str(), 1);
      if (std::freopen("/dev/null", "w", stdout) != nullptr) {
        ::execvp(arguments[0], arguments.data());
      }
      ::_exit(127);
    }
    if (pid_ < 0) {
      throw std::runtime_error("can't fork");
    }
  }
  ~WorkerProcess() { kill(); }
  WorkerProcess(WorkerProcess&& other) noexcept : pid_(std::exchange(other.pid_, -1)) {}
  WorkerProcess& operator=(WorkerProcess&& other) noexcept {
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
  /// A clean stop: its exit code.
  int stop() {
    ::kill(pid_, SIGTERM);
    return wait();
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

}  // namespace embedjobs::test
