#!/usr/bin/env bash
# Does what docs/upgrade-backup.md says: backup.sh sqlite|postgres EMBEDJOBS DOCUMENT. A backup that is made while a
# worker runs is restored, is complete, and works on. "postgres" runs under tests/support/postgres_cluster.sh.
set -euo pipefail
way=$1 embedjobs=$2 document=$3
work=$(mktemp -d)
worker=
trap '[ -z "$worker" ] || kill "$worker" 2> /dev/null || true; rm -rf "$work"' EXIT INT TERM
cd "$work"

finds() { "$embedjobs" search --db "$1" shop "rotate an API key" -k 1 | grep -q rotateApiKey; }

case $way in
  sqlite)
    command -v sqlite3 > /dev/null || { echo "skipped: no sqlite3"; exit 77; }
    db=sqlite:$work/embedjobs.db restored=sqlite:$work/restored.db
    ;;
  postgres)
    command -v pg_dump > /dev/null || { echo "skipped: no pg_dump"; exit 77; }
    db=$EMBEDJOBS_TEST_POSTGRES
    psql -q -c 'CREATE DATABASE restored' "$db"
    restored=$(printf '%s' "$db" | sed -E 's#^([a-z]+://[^/]*/)[^?]*#\1restored#')
    ;;
esac

"$embedjobs" index --db "$db" --catalog shop "$document" > /dev/null 2>&1
# A worker that holds a job while the backup is made: 43 texts at a second a call.
"$embedjobs" retry --db "$db" shop gateway-admin > /dev/null
"$embedjobs" work --db "$db" --embedder "hashing?delay=1s" --batch-size 2 > work.log 2>&1 &
worker=$!
for _ in $(seq 100); do
  "$embedjobs" jobs --db "$db" --status running | grep -q gateway-admin && break
  sleep 0.1
done

if [ "$way" = sqlite ]; then
  sqlite3 -cmd ".timeout 10000" embedjobs.db ".backup copy.db"
else
  pg_dump --format=custom --schema=embedjobs --file=embedjobs.dump "$db"
fi
kill -9 "$worker"
wait "$worker" 2> /dev/null || true
worker=
if [ "$way" = sqlite ]; then
  cp copy.db restored.db
else
  pg_restore --exit-on-error --dbname="$restored" embedjobs.dump
fi

finds "$restored" || { echo "the restored database does not find what it held" >&2; exit 1; }
"$embedjobs" verify --db "$restored" shop > verify.log || { cat verify.log >&2; exit 1; }
# The job that ran at the backup is still there. Its lease ends in time, and an edit goes on at once.
"$embedjobs" remove --db "$restored" shop gateway-admin > /dev/null
"$embedjobs" index --db "$restored" --catalog shop "$document" > /dev/null 2>&1
finds "$restored"
"$embedjobs" doctor --db "$restored" > doctor.log || { cat doctor.log >&2; exit 1; }
echo "a $way backup was restored and works on"
