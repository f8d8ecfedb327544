#!/usr/bin/env bash
# Three processes work on one file with 20 specs: no text is embedded twice, and all of it once.
. "$(dirname "$0")/lib.sh"
export EMBEDJOBS_EMBEDDER="hashing:16?delay=5ms&log=$work/log"
for i in $(seq 20); do
  document 40 "spec${i}x" > "spec$i.json"
  run 0 put c "spec$i" "spec$i.json"
done
for i in 1 2 3; do
  "$EMBEDJOBS" work --until-idle --batch-size 8 > "out$i" 2> "err$i" &
  pids+=("$!")
done
for pid in "${pids[@]}"; do
  wait "$pid" || fail "a worker failed: $(cat err1 err2 err3)"
done
pids=()
run 0 verify c
equal "$(hashes log | wc -l)" 800 "texts embedded"
equal "$(hashes log | sort -u | wc -l)" 800 "different texts embedded"
run 0 jobs --status succeeded --json
equal "$(wc -l < out)" 20 "jobs that succeeded"
equal "$(field attempts | sort -u)" 1 "attempts"

# The same document under twenty names: what one process embeds, no other does.
export EMBEDJOBS_EMBEDDER="hashing:16?delay=5ms&log=$work/shared.log"
document 200 "shared" > same.json
for i in $(seq 20); do
  run 0 put d "same$i" same.json
done
for i in 1 2 3; do
  "$EMBEDJOBS" work --until-idle --batch-size 8 > "out$i" 2> "err$i" &
  pids+=("$!")
done
for pid in "${pids[@]}"; do
  wait "$pid" || fail "a worker failed: $(cat err1 err2 err3)"
done
pids=()
run 0 verify d
equal "$(hashes shared.log | wc -l)" 200 "shared texts embedded"
equal "$(hashes shared.log | sort -u | wc -l)" 200 "different shared texts embedded"
