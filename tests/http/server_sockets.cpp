#include "http/server_sockets.hpp"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

namespace embedjobs::test {

int socket_of(int local_port, int remote_port) {
  constexpr int kMost = 4096;
  for (int fd = 3; fd < kMost; ++fd) {
    sockaddr_in local{}, remote{};
    socklen_t size = sizeof(local);
    if (getsockname(fd, reinterpret_cast<sockaddr*>(&local), &size) != 0 || ntohs(local.sin_port) != local_port) {
      continue;
    }
    size = sizeof(remote);
    if (getpeername(fd, reinterpret_cast<sockaddr*>(&remote), &size) == 0 && ntohs(remote.sin_port) == remote_port) {
      return fd;
    }
  }
  return -1;
}

void widen_backlog(int port) {
  constexpr int kMost = 4096;
  for (int fd = 3; fd < kMost; ++fd) {
    sockaddr_in local{};
    socklen_t size = sizeof(local);
    int listens = 0;
    socklen_t flag_size = sizeof(listens);
    if (getsockname(fd, reinterpret_cast<sockaddr*>(&local), &size) == 0 && ntohs(local.sin_port) == port &&
        getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &flag_size) == 0 && listens != 0) {
      listen(fd, 256);
    }
  }
}

void drop_connection(int fd, bool reset) {
  if (reset) {
    const linger at_once{1, 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
  }
  const int nobody = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  dup2(nobody, fd);
  close(nobody);
}

}  // namespace embedjobs::test
