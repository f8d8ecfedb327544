// A DSN with several hosts, and servers that are not what a worker needs.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>
#include <catch2/catch.hpp>

#include <thread>

#include "conformance/scene.hpp"
#include "embedjobs/postgres.hpp"
#include "support/postgres_cluster.hpp"
#include "support/raw_postgres.hpp"

using namespace embedjobs;
using namespace embedjobs::test;

namespace {

/// Listens on a free port of the loopback.
class Listening {
 public:
  Listening() : fd_(::socket(AF_INET, SOCK_STREAM, 0)) {
    address_.sin_family = AF_INET;
    address_.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address_;
    if (::bind(fd_, reinterpret_cast<sockaddr*>(&address_), size) != 0 || ::listen(fd_, 8) != 0 ||
        ::getsockname(fd_, reinterpret_cast<sockaddr*>(&address_), &size) != 0) {
      throw std::runtime_error("no port to listen on");
    }
  }
  ~Listening() { ::close(fd_); }
  Listening(const Listening&) = delete;
  Listening& operator=(const Listening&) = delete;
  [[nodiscard]] std::string port() const { return std::to_string(ntohs(address_.sin_port)); }
  [[nodiscard]] int accept() const { return ::accept(fd_, nullptr, nullptr); }

 private:
  int fd_;
  sockaddr_in address_{};
};

/// A message of the server's side of the protocol: its kind, its length, and what is in it.
std::string message(char kind, const std::string& body) {
  const auto size = static_cast<std::uint32_t>(body.size() + 4);
  std::string out(1, kind);
  for (int shift = 24; shift >= 0; shift -= 8) {
    out += static_cast<char>(size >> shift & 0xffU);
  }
  return out + body;
}

std::string parameter(const std::string& name, const std::string& value) {
  return message('S', name + '\0' + value + '\0');
}

std::string sockets_of(std::string folder) {
  for (std::size_t at = folder.find('/'); at != std::string::npos; at = folder.find('/')) {
    folder.replace(at, 1, "%2F");
  }
  return folder;
}

}  // namespace

TEST_CASE("a host that accepts and says nothing costs its share of the time, and the next one is asked") {
  TempSchema schema;
  const Listening mute;
  const std::string dsn = "postgresql://embedjobs@/postgres?host=127.0.0.1," + sockets_of(cluster_folder()) +
                          "&port=" + mute.port() + ",5432&connect_timeout=2&schema=" + schema.name();
  const Backend backend = get(open_postgres(dsn, {.connect_timeout = 24h}, nullptr));
  get(backend.store->enqueue(kKey, JobKind::kSpecWrite));
  CHECK(get(backend.store->counts()).pending == 1);
}

TEST_CASE("hosts and ports that do not match are refused in one line") {
  const Status status = open_postgres("postgresql://u@a,b/db?port=1,2,3", {}, nullptr).status();
  CHECK_FALSE(status.ok());
  CHECK(status.message().find("port numbers") != std::string::npos);
}

TEST_CASE("a server that is too old is refused with its version and the one that is needed") {
  const Listening old;
  std::thread server([&] {
    const int client = old.accept();
    char startup[1024];
    (void)!::read(client, startup, sizeof startup);
    // AuthenticationOk, parameters, BackendKeyData, ReadyForQuery.
    const std::string answer = message('R', std::string(4, '\0')) + parameter("server_version", "12.22") +
                               parameter("server_encoding", "UTF8") + parameter("client_encoding", "UTF8") +
                               message('K', std::string(8, '\1')) + message('Z', "I");
    (void)!::write(client, answer.data(), answer.size());
    while (::read(client, startup, sizeof startup) > 0) {
    }
    ::close(client);
  });
  const Status status =
      open_postgres("postgresql://u:secret@127.0.0.1:" + old.port() + "/db?sslmode=disable&gssencmode=disable", {},
                    nullptr)
          .status();
  server.join();
  CHECK(status.code() == Code::kUnusable);
  CHECK(status.message() == "PostgreSQL 12.22 is too old: at least 13 is needed");
}

TEST_CASE("a standby takes no work and says so; with all hosts named the primary is found") {
  TempSchema schema;
  ok(open_postgres(schema.dsn(), {}, nullptr).status());
  cluster("standby");
  const std::string primary = sockets_of(cluster_folder());
  const std::string at_standby =
      "postgresql://embedjobs@/postgres?host=" + primary + "%2Fstandby&schema=" + schema.name();
  const Status refused = get(open_postgres(at_standby, {}, nullptr)).store->enqueue(kKey, JobKind::kSpecWrite).status();
  INFO(refused.to_string());
  CHECK(refused.code() == Code::kRetry);
  CHECK(refused.message().find("target_session_attrs") != std::string::npos);
  const std::string both = "postgresql://embedjobs@/postgres?host=" + primary + "%2Fstandby," + primary +
                           "&target_session_attrs=read-write&schema=" + schema.name();
  get(get(open_postgres(both, {}, nullptr)).store->enqueue(kKey, JobKind::kSpecWrite));
}
