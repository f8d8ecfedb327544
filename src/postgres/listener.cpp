#include "postgres/listener.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>

#include "postgres/schema.hpp"

namespace embedjobs::postgres {
namespace {

constexpr Duration kFirstPause = std::chrono::milliseconds(100);
constexpr Duration kLongestPause = std::chrono::seconds(5);
/// Then the connection is used once, so that a peer that is gone is noticed.
constexpr Duration kProbeInterval = std::chrono::seconds(30);

}  // namespace

Listener::Listener(const ConnectionParameters& parameters, const PostgresOptions& options, core::WakeSignal& wake)
    : parameters_(parameters), options_(options), wake_(wake), stop_fd_(::eventfd(0, EFD_CLOEXEC)) {
  // Signals are the host's: none is delivered to this thread.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::thread([this] { run(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

Listener::~Listener() {
  stopped_ = true;
  const std::uint64_t one = 1;
  (void)!::write(stop_fd_, &one, sizeof one);
  thread_.join();
  ::close(stop_fd_);
}

void Listener::run() {
  Duration wait = kFirstPause;
  while (!stopped_) {
    const auto started = std::chrono::steady_clock::now();
    listen();
    const bool lasted = std::chrono::steady_clock::now() - started > kLongestPause;
    wait = lasted ? kFirstPause : wait;
    pause(wait);
    wait = std::min(wait * 2, kLongestPause);
  }
}

void Listener::listen() {
  auto opened = Connection::open(parameters_, options_, deadline_in(options_.connect_timeout), stop_fd_);
  if (!opened.ok()) {
    return;
  }
  Connection& connection = **opened;
  // LISTEN first, then look at the table, then wait: what was sent before is not sent again.
  (void)connection.execute(fmt::format("LISTEN \"{}\"", channel_of(options_.schema)));
  if (!connection.ok()) {
    return;
  }
  wake_.fire();
  while (!stopped_) {
    bool notified = false;
    if (!connection.wait_for_notification(kProbeInterval, notified)) {
      return;
    }
    if (notified) {
      wake_.fire();
      continue;
    }
    connection.set_deadline(deadline_in(options_.connect_timeout));
    (void)connection.execute("SELECT 1");
    if (!connection.ok()) {
      return;
    }
  }
}

void Listener::pause(Duration at_most) const {
  if (stopped_) {
    return;
  }
  pollfd entry{.fd = stop_fd_, .events = POLLIN, .revents = 0};
  (void)::poll(&entry, 1, static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(at_most).count()));
}

}  // namespace embedjobs::postgres
