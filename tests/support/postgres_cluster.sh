#!/usr/bin/env bash
# A PostgreSQL server of its own for tests: in a temporary folder, on a Unix socket, gone when the command ends, however
# it ends.
#
#   postgres_cluster.sh run COMMAND [ARGUMENT...]   runs COMMAND with EMBEDJOBS_TEST_POSTGRES set to the DSN of an empty
#                                                   database
#   postgres_cluster.sh stop fast|immediate         } for COMMAND: of the server that it runs under
#                                                   (EMBEDJOBS_TEST_CLUSTER)
#   postgres_cluster.sh start                       }
#   postgres_cluster.sh standby                     for COMMAND: makes and starts a standby of it; its socket is in
#                                                   .../standby
#
# Ends with 77 (skipped) and a line that says why where there is no server. EMBEDJOBS_POSTGRES_BIN: where initdb and
# pg_ctl are, if not in Debian's place. EMBEDJOBS_CLUSTER_SETTINGS: more lines for postgresql.conf.
# EMBEDJOBS_CLUSTER_FOLDER: where to make its folder, on a disk for what memory does not hold. A server refuses to run
# as root, so root runs it as "postgres".
set -euo pipefail

bin=${EMBEDJOBS_POSTGRES_BIN:-}
if [ -z "$bin" ]; then
  for candidate in /usr/lib/postgresql/*/bin; do
    if [ -x "$candidate/initdb" ]; then
      bin=$candidate
    fi
  done
fi

skip() {
  echo "skipped: $1"
  exit 77
}

as_server_user() {
  if [ "$(id -u)" -eq 0 ]; then
    setpriv --reuid postgres --regid postgres --clear-groups -- env HOME=/ "$@"
  else
    "$@"
  fi
}

# Prints the server's log when it does not come up: in there is why.
start() {
  if ! as_server_user "$bin/pg_ctl" -D "$1/data" -l "$1/log" -w -t 60 -s start > /dev/null 2>&1 < /dev/null; then
    cat "$1/log" >&2
    return 1
  fi
}

stop() {
  as_server_user "$bin/pg_ctl" -D "$1/data" -m "$2" -w -t 60 -s stop > /dev/null 2>&1 < /dev/null
}

standby() {
  mkdir "$1/standby"
  if [ "$(id -u)" -eq 0 ]; then
    chown postgres: "$1/standby"
  fi
  as_server_user "$bin/pg_basebackup" -h "$1" -U embedjobs -D "$1/standby/data" -R -X stream -c fast \
    --no-sync < /dev/null
  echo "unix_socket_directories = '$1/standby'" | as_server_user tee -a "$1/standby/data/postgresql.conf" > /dev/null
  start "$1/standby"
}

case "${1:-}" in
  run) shift ;;
  start) start "$EMBEDJOBS_TEST_CLUSTER" && exit 0 ;;
  stop) stop "$EMBEDJOBS_TEST_CLUSTER" "$2" && exit 0 ;;
  standby) standby "$EMBEDJOBS_TEST_CLUSTER" && exit 0 ;;
  *)
    echo "usage: postgres_cluster.sh run COMMAND [ARGUMENT...] | start | stop fast|immediate | standby" >&2
    exit 2
    ;;
esac

[ -n "$bin" ] || skip "no PostgreSQL server is installed (Debian: apt-get install postgresql-15)"
if [ "$(id -u)" -eq 0 ] && ! id postgres > /dev/null 2>&1; then
  skip "a PostgreSQL server does not run as root, and there is no user 'postgres'"
fi

# Memory where there is some: tests are about meaning, not about the disk. Short: a socket's path has at most 107 bytes.
parent=/tmp
if [ -d /dev/shm ] && [ -w /dev/shm ]; then
  parent=/dev/shm
fi
folder=$(mktemp -d "${EMBEDJOBS_CLUSTER_FOLDER:-$parent}/embedjobs-pg-XXXXXX")
# Invoked by the trap.
# shellcheck disable=SC2317
clean_up() {
  local server
  for server in "$folder/standby" "$folder"; do
    if [ -s "$server/data/postmaster.pid" ]; then
      stop "$server" immediate || true
    fi
  done
  rm -rf "$folder"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
if [ "$(id -u)" -eq 0 ]; then
  chown postgres: "$folder"
fi
chmod 755 "$folder"

# Below a folder that is closed to the server's user: a copy. The programs of a Python package find their libraries
# three levels up.
if ! as_server_user test -x "$bin/initdb"; then
  cp -R "$bin/../../.." "$folder/server"
  bin=$folder/server/$(basename "$(dirname "$(dirname "$bin")")")/$(basename "$(dirname "$bin")")/bin
fi
as_server_user "$bin/initdb" -D "$folder/data" -U embedjobs -A trust -E UTF8 --locale=C --no-sync \
  > /dev/null 2>&1 < /dev/null
# Nothing of what a test server holds must outlive a power cut.
cat >> "$folder/data/postgresql.conf" << SETTINGS
listen_addresses = ''
unix_socket_directories = '$folder'
max_connections = 200
shared_buffers = 64MB
fsync = off
synchronous_commit = on
full_page_writes = off
max_wal_size = 1GB
autovacuum_naptime = 5s
log_min_messages = error
log_min_error_statement = panic
${EMBEDJOBS_CLUSTER_SETTINGS:-}
SETTINGS
start "$folder"

export EMBEDJOBS_TEST_CLUSTER=$folder
export EMBEDJOBS_TEST_POSTGRES="postgresql://embedjobs@/postgres?host=${folder//\//%2F}"
# In the background, so that a signal to this script is acted upon at once.
"$@" &
child=$!
trap 'kill -TERM $child 2> /dev/null; wait $child || true; exit 143' INT TERM HUP
status=0
wait "$child" || status=$?
exit "$status"
