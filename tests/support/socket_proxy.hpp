// A network that fails: a TCP port on loopback whose connections lead to a Unix socket, as long as a test lets them.
#pragma once

#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace embedjobs::test {

class SocketProxy {
 public:
  /// What befalls a connection.
  enum class Fault {
    kNone,
    kCutBeforeCommit,  ///< The question COMMIT is lost, and the connection.
    kCutAfterCommit,   ///< The answer to COMMIT is lost, and the connection.
    kBlackHole,        ///< From now on nothing arrives, and nobody is told.
  };

  explicit SocketProxy(std::string path)
      : path_(std::move(path)), listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    if (::bind(listener_, reinterpret_cast<sockaddr*>(&address), size) != 0 || ::listen(listener_, 64) != 0 ||
        ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
      throw std::runtime_error("the proxy can't listen");
    }
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { run(); });
  }
  ~SocketProxy() {
    stopped_ = true;
    thread_.join();
    ::close(listener_);
  }
  SocketProxy(const SocketProxy&) = delete;
  SocketProxy& operator=(const SocketProxy&) = delete;

  [[nodiscard]] int port() const { return port_; }
  /// The next connection that fits meets it: one fault for each call.
  void inject(Fault fault) { fault_ = fault; }
  /// While it is dark nothing arrives, from or to anybody, and nobody is told. What was sent then never arrives.
  void set_dark(bool dark) { dark_ = dark; }
  /// True: the last injected fault has happened.
  [[nodiscard]] bool happened() const { return fault_ == Fault::kNone; }

 private:
  struct Pair {
    int client = -1;
    int server = -1;
    bool black_hole = false;
    std::string commit;  // how a question refers to the prepared COMMIT, once it was prepared
  };

  /// Whether the question commits: by its text, or by the name that its text was given before. (Giving it one commits
  /// nothing.)
  static bool asks_commit(Pair& pair, std::string_view question) {
    constexpr std::string_view kCommit("COMMIT\0", 7);
    const std::size_t at = question.find(kCommit);
    if (at == std::string_view::npos) {
      return !pair.commit.empty() && question.find(pair.commit) != std::string_view::npos;
    }
    const std::size_t name = question.rfind("embedjobs_", at);
    if (question.front() == 'Q' || name == std::string_view::npos) {
      return true;
    }
    pair.commit = '\0' + std::string(question.substr(name, at - name));
    return false;
  }

  void run() {
    while (!stopped_) {
      std::vector<pollfd> entries{{.fd = listener_, .events = POLLIN, .revents = 0}};
      for (const Pair& pair : pairs_) {
        entries.push_back({.fd = pair.client, .events = POLLIN, .revents = 0});
        entries.push_back({.fd = pair.server, .events = POLLIN, .revents = 0});
      }
      if (::poll(entries.data(), entries.size(), 20) <= 0) {
        continue;
      }
      for (std::size_t i = 0; i < pairs_.size(); ++i) {
        const bool from_client = entries[1 + 2 * i].revents != 0;
        const bool from_server = entries[2 + 2 * i].revents != 0;
        if ((from_client && !pass(pairs_[i], true)) || (from_server && !pass(pairs_[i], false))) {
          close_pair(pairs_[i]);
        }
      }
      std::erase_if(pairs_, [](const Pair& pair) { return pair.client < 0; });
      if (entries[0].revents != 0) {
        accept_one();
      }
    }
    for (Pair& pair : pairs_) {
      close_pair(pair);
    }
  }

  void accept_one() {
    Pair pair;
    pair.client = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    pair.server = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path_.c_str(), sizeof address.sun_path - 1);
    if (::connect(pair.server, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
      close_pair(pair);
      return;
    }
    pairs_.push_back(pair);
  }

  static void close_pair(Pair& pair) {
    ::close(pair.client);
    ::close(pair.server);
    pair.client = -1;
  }

  /// False: the connection ends.
  bool pass(Pair& pair, bool from_client) {
    char buffer[65536];
    const ssize_t size = ::recv(from_client ? pair.client : pair.server, buffer, sizeof buffer, 0);
    if (size <= 0) {
      return false;
    }
    pair.black_hole = pair.black_hole || dark_;
    if (pair.black_hole) {
      return true;
    }
    const std::string_view bytes(buffer, static_cast<std::size_t>(size));
    const bool commit =
        from_client ? asks_commit(pair, bytes) : bytes.find(std::string_view("COMMIT\0", 7)) != std::string_view::npos;
    Fault wanted = Fault::kNone;
    if (commit) {
      wanted = from_client ? Fault::kCutBeforeCommit : Fault::kCutAfterCommit;
    }
    if (wanted != Fault::kNone && fault_.compare_exchange_strong(wanted, Fault::kNone)) {
      return false;
    }
    Fault hole = Fault::kBlackHole;
    if (from_client && fault_.compare_exchange_strong(hole, Fault::kNone)) {
      pair.black_hole = true;
      return true;
    }
    for (ssize_t sent = 0; sent < size;) {
      const ssize_t count = ::send(from_client ? pair.server : pair.client, buffer + sent,
                                   static_cast<std::size_t>(size - sent), MSG_NOSIGNAL);
      if (count <= 0) {
        return false;
      }
      sent += count;
    }
    return true;
  }

  const std::string path_;
  const int listener_;
  int port_ = 0;
  std::atomic<Fault> fault_ = Fault::kNone;
  std::atomic<bool> stopped_ = false;
  std::atomic<bool> dark_ = false;
  std::vector<Pair> pairs_;
  std::thread thread_;
};

}  // namespace embedjobs::test
