#!/usr/bin/env bash
# Exit codes, help, environment, and errors that say what to do.
. "$(dirname "$0")/lib.sh"

run 0 --version
grep -qE '^embedjobs [0-9]+\.[0-9]+\.[0-9]+$' out || fail "no version"
run 0 --help
for name in index put remove work status jobs retry reconcile switch-space search ops verify export migrate \
  index-vectors metrics; do
  grep -qE "^  $name " out || fail "--help does not name $name"
  "$EMBEDJOBS" "$name" --help > help
  grep -q 'Example' help || fail "$name --help shows no example"
done

for arguments in "" "nosuch" "index" "search default" "work --max-wait 5" "work --max-wait 1d" "work --slots x" \
  "jobs --status done" "jobs --limit 0" "retry" "retry default" "retry default spec --failed" "switch-space default" \
  "search default x -k 0" "status --nosuch"; do
  # The words are separate arguments.
  # shellcheck disable=SC2086
  run 2 $arguments
  one_line ""
done
run 2 --db nosuch: put c s "$SOURCE_DIR/examples/data/gateway-admin.yaml"
one_line "nosuch:"
run 2 --embedder hashing:0 index "$SOURCE_DIR/examples/data/gateway-admin.yaml"
one_line "hashing"
run 2 --embedder none index "$SOURCE_DIR/examples/data/gateway-admin.yaml"
one_line "none"
[ ! -e embedjobs.db ] || fail "a wrong command line made a database"

# What only reads makes no database.
for arguments in "status" "jobs" "search default x" "verify default" "export default x" "metrics" "reconcile" \
  "retry --failed" "remove default"; do
  # shellcheck disable=SC2086
  run 1 $arguments
  one_line "no database 'embedjobs.db'"
  [ ! -e embedjobs.db ] || fail "$arguments made a database"
done

document 3 thing > thing.json
EMBEDJOBS_DB=sqlite:env.db EMBEDJOBS_EMBEDDER=hashing:16 run 0 index thing.json --catalog c
[ -e env.db ] || fail "EMBEDJOBS_DB is not used"
run 0 export c thing --db sqlite:env.db --json
equal "$(field dim | sort -u)" 16 "dimension from EMBEDJOBS_EMBEDDER"
run 0 --json --db sqlite:env.db status
run 0 migrate --db sqlite:env.db
grep -q 'up to date' out || fail "migrate on a database of this version"
if "$EMBEDJOBS" migrate --help | grep -q -- --from; then  # built with PostgreSQL
  # No server is asked: this port has none.
  run 0 migrate --db 'postgresql://localhost:1/app?schema=embeddings' --print --from 0
  grep -q '^CREATE TABLE "embeddings".jobs' out || fail "the printed SQL makes the tables"
  run 2 migrate --db 'postgresql://localhost:1/app' --print --from 99
  one_line 'from version 0 to'
fi
run 0 migrate --db sqlite:new.db --json
grep -q '"from_version":0' out || fail "migrate makes a database"
run 0 metrics --db sqlite:env.db
grep -q '^# TYPE embedjobs_' out || fail "no Prometheus text"
run 0 metrics --db sqlite:env.db --json
run 0 index thing.json --db memory:

# A write that fails is not a success.
if [ -e /dev/full ]; then
  exit=0
  "$EMBEDJOBS" status --db sqlite:env.db > /dev/full 2> err || exit=$?
  equal "$exit" 1 "exit code when standard output is full"
fi
# Nothing to do is success; waiting work is 75; the queue holds what was put.
run 0 work --until-idle --db sqlite:env.db
run 0 put c more thing.json --db sqlite:env.db --json
grep -q '"created":true' out || fail "put makes a job"
run 0 put c more thing.json --db sqlite:env.db
grep -q 'was open already' out || fail "put again"
run 0 jobs --status pending --db sqlite:env.db --json
equal "$(wc -l < out)" 1 "pending jobs"
run 0 work --until-idle --db sqlite:env.db --json
equal "$(field jobs_succeeded)" 1 "jobs that work ran"
