#!/usr/bin/env bash
# A host is stopped in mid-run, another process takes its job over and finishes it, and the first one comes back with its old fence: the host's
# persister refuses it. takeover.sh STALLED_HOST
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

STALL=1 "$host" "$work" "$work/document.json" > "$work/first" 2>&1 &
stalled=$!
until grep -q '^State:.T' "/proc/$stalled/status"; do
  kill -0 "$stalled"
  sleep 0.02
done
echo "the first host has stopped"
"$host" "$work" "$work/document.json" | tee "$work/second"
grep -q '100 operations, 100 vectors, 100 texts embedded now' "$work/second"
cp "$work/vectors.txt" "$work/taken_over"

kill -CONT "$stalled"
wait "$stalled"
stalled=
cat "$work/first"
grep -q '^refused: the fence 1 of a stale holder' "$work/first"
cmp "$work/taken_over" "$work/vectors.txt"
[ "$(grep -c '^fence 2 ' "$work/vectors.txt")" -eq 1 ]
