#include "signals.hpp"

#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>

namespace embedjobs::command {

SignalStop::SignalStop() {
  // A worker must not die because nobody reads its messages any more.
  std::signal(SIGPIPE, SIG_IGN);
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  signals_ = signalfd(-1, &set, SFD_CLOEXEC);
  close_ = eventfd(0, EFD_CLOEXEC);
  thread_ = std::thread([this] { watch(); });
}

SignalStop::~SignalStop() {
  const std::uint64_t one = 1;
  while (::write(close_, &one, sizeof one) < 0 && errno == EINTR) {
  }
  thread_.join();
  ::close(signals_);
  ::close(close_);
}

void SignalStop::watch() {
  for (;;) {
    std::array<pollfd, 2> fds{pollfd{.fd = signals_, .events = POLLIN, .revents = 0},
                              pollfd{.fd = close_, .events = POLLIN, .revents = 0}};
    if (::poll(fds.data(), fds.size(), -1) < 0) {
      continue;
    }
    if (fds[1].revents != 0) {
      return;
    }
    signalfd_siginfo info{};
    if (::read(signals_, &info, sizeof info) != sizeof info) {
      continue;
    }
    if (source_.stop_requested()) {
      ::_exit(128 + static_cast<int>(info.ssi_signo));
    }
    std::fputs(isatty(STDERR_FILENO) == 1 ? "\n" : "", stderr);  // leave the bar
    std::fputs("embedjobs: stopping, what is done is kept (once more stops at once)\n", stderr);
    source_.request_stop();
  }
}

}  // namespace embedjobs::command
