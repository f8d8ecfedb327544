#!/usr/bin/env bash
# Runs a command with a pooler in transaction mode between it and the server of postgres_cluster.sh:
#
#   postgres_cluster.sh run pgbouncer.sh COMMAND [ARGUMENT...]
#
# Three server connections for however many clients. Ends with 77 (skipped) where there is no pgbouncer.
set -euo pipefail
if ! command -v pgbouncer > /dev/null; then
  echo "skipped: pgbouncer is not installed (Debian: apt-get install pgbouncer)"
  exit 77
fi
folder=$(mktemp -d "${TMPDIR:-/tmp}/embedjobs-pool-XXXXXX")
pooler=
# Invoked by the trap.
# shellcheck disable=SC2317
clean_up() {
  if [ -n "$pooler" ]; then
    kill "$pooler" 2> /dev/null || true
    wait "$pooler" || true
  fi
  rm -rf "$folder"
}
trap clean_up EXIT
trap 'exit 143' INT TERM HUP
cat > "$folder/pgbouncer.ini" << SETTINGS
[databases]
postgres = host=$EMBEDJOBS_TEST_CLUSTER dbname=postgres user=embedjobs
[pgbouncer]
listen_addr =
unix_socket_dir = $folder
listen_port = 6432
auth_type = any
pool_mode = transaction
max_client_conn = 200
default_pool_size = 3
logfile = $folder/log
SETTINGS
chmod 755 "$folder"
run_as=()
if [ "$(id -u)" -eq 0 ]; then
  chown postgres: "$folder"
  run_as=(setpriv --reuid postgres --regid postgres --clear-groups --)
fi
"${run_as[@]}" pgbouncer -q "$folder/pgbouncer.ini" > /dev/null 2>&1 &
pooler=$!
until [ -S "$folder/.s.PGSQL.6432" ]; do
  if ! kill -0 "$pooler" 2> /dev/null; then
    cat "$folder/log" >&2
    exit 1
  fi
  sleep 0.05
done
pooled="prepared_statements=off&poll_only=on"
export EMBEDJOBS_TEST_POSTGRES="postgresql://embedjobs@:6432/postgres?host=${folder//\//%2F}&$pooled"
"$@" &
child=$!
status=0
wait "$child" || status=$?
exit "$status"
