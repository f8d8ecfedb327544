#!/usr/bin/env bash
# kill -9 at random points of a slow run, again and again, then to the end: the rows equal the document, no persisted
# text was embedded again, at most the chunks in flight were. KILLS: how many (50); SEED: which points.
. "$(dirname "$0")/lib.sh"
kills=${KILLS:-50}
seed=${SEED:-$$}
RANDOM=$seed
echo "seed $seed: repeat with SEED=$seed"
batch=4 concurrency=2
operations=6000
document $operations item > item.json
in_mid_run=0
export EMBEDJOBS_EMBEDDER="hashing:16?delay=20ms&log=$work/log"
: > log
: > persisted
for ((i = 1; i <= kills; ++i)); do
  seen=$(wc -l < log)
  "$EMBEDJOBS" index item.json --batch-size $batch --provider-concurrency $concurrency > out 2> err &
  pid=$!
  pids=("$pid")
  sleep "$(printf '0.%03d' $((RANDOM % 300)))"
  if ! kill -KILL $pid 2> /dev/null; then
    wait $pid || fail "run $i ended by itself with an error"
  fi
  wait $pid 2> /dev/null || true
  pids=()
  tail -n +$((seen + 1)) log > new
  hashes new | sort > new_hashes
  again=$(comm -12 persisted new_hashes | wc -l)
  equal "$again" 0 "texts that were persisted before kill $i and embedded again"
  "$EMBEDJOBS" export default item --json > out 2> err || true  # killed before the spec was stored: none yet
  field text_hash | sort > persisted
  [ "$(wc -l < persisted)" -eq $operations ] || in_mid_run=$((in_mid_run + 1))
done
[ $in_mid_run -ge $((kills / 2)) ] ||
  fail "only $in_mid_run of $kills kills came before the end: make the document larger"
run 0 index item.json --batch-size 32
run 0 verify default
run 0 export default item --json
equal "$(wc -l < out)" $operations "rows"
total=$(hashes log | wc -l)
distinct=$(hashes log | sort -u | wc -l)
equal "$distinct" $operations "texts embedded"
[ $((total - distinct)) -le $((kills * batch * concurrency)) ] ||
  fail "$((total - distinct)) texts were embedded again after $kills kills"
run 0 status --json
equal "$(field label)" "$operations/$operations indexed" "badge"
echo "$kills kills, $in_mid_run in mid-run: $((total - distinct)) of $total embeddings were made again"
