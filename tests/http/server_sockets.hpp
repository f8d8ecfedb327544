// What httplib does not let its user do with the sockets that it serves.
#pragma once

namespace embedjobs::test {

/// The socket of the connection from `remote_port` to `local_port`; -1: there is none.
int socket_of(int local_port, int remote_port);
/// httplib lets five connections wait; a sixth would try again after a second. Now 256 may wait.
void widen_backlog(int port);
/// A socket without a peer takes the place of the connection: what httplib writes then goes nowhere.
void drop_connection(int fd, bool reset);

}  // namespace embedjobs::test
