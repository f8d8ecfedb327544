#!/usr/bin/env bash
# A host is stopped in mid-run, another process takes its job over and finishes it, and the first one comes back with
# its old fence: the host's persister refuses it. takeover.sh STALLED_HOST
set -euo pipefail
host=$1
work=$(mktemp -d)
stalled=
trap '[ -z "$stalled" ] || kill -KILL "$stalled" 2> /dev/null || true; rm -rf "$work"' EXIT

awk 'BEGIN {
  printf "{\"openapi\":\"3.0.3\",\"info\":{\"title\":\"t\",\"version\":\"1\"},\"paths\":{"
  for (i = 0; i < 100; ++i) printf "%s\"/p%d\":{\"get\":{\"summary\":\"operation number %d\"}}", i ? "," : "", i, i
  print "}}"
}' > "$work/document.json"

STALL=$work "$host" "$work" "$work/document.json" > "$work/first" 2>&1 &
stalled=$!
until [ -e "$work/entered" ]; do
  kill -0 "$stalled"
  sleep 0.02
done
# The whole process stops, as a machine does that sleeps; not while it holds the lock of the database of jobs, for the
# test's sake.
stop() {
  kill -STOP "$stalled"
  until grep -q '^State:.T' "/proc/$stalled/status"; do sleep 0.01; done
}
stop
until "$host" "$work" "$work/document.json" > "$work/second" 2>&1; do
  grep -q '^host: retry: ' "$work/second" || { cat "$work/second"; exit 1; }
  kill -CONT "$stalled"
  sleep 0.1  # for its write to end
  stop
done
cat "$work/second"
grep -q '100 operations, 100 vectors, 100 texts embedded now' "$work/second"
cp "$work/vectors.txt" "$work/taken_over"

touch "$work/go"
kill -CONT "$stalled"
wait "$stalled"
stalled=
cat "$work/first"
grep -q '^refused: the fence 1 of a stale holder' "$work/first"
cmp "$work/taken_over" "$work/vectors.txt"
[ "$(grep -c '^fence 2 ' "$work/vectors.txt")" -eq 1 ]
