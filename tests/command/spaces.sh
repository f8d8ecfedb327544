#!/usr/bin/env bash
# Another embedder is refused; switch-space moves a catalog, and searches are answered from the old space until the new
# one is complete.
. "$(dirname "$0")/lib.sh"
document 60 item > item.json
run 0 index item.json --embedder hashing:32
run 0 search default "item number 7" -k 1 --json
equal "$(field operation_id)" item7 "the best answer"

run 1 index item.json --embedder hashing:64
one_line "switch-space default --embedder hashing:64"
run 0 verify default
document 61 item > item.json
run 0 put default item item.json
run 1 work --until-idle --embedder hashing:64
grep -q '32/hashing' err || fail "the worker does not say which space it refuses"
run 0 jobs --status pending --json
equal "$(wc -l < out)" 1 "pending jobs after a refusal"
run 0 work --until-idle
run 0 export default item --json
equal "$(field dim | sort -u)" 32 "dimension after the refusal"

run 0 switch-space default --embedder hashing:64
grep -q '64/hashing' out || fail "the new target is not told"
"$EMBEDJOBS" work --until-idle --embedder "hashing:64?delay=200ms&log=$work/log" --batch-size 8 \
  --provider-concurrency 1 > out1 2> err1 &
pids=("$!")
until_true 30 log_has log 2
run 0 search default "item number 7" -k 1 --json
equal "$(field operation_id)" item7 "the best answer while the switch is under way"
run 0 export default item --json
equal "$(field dim | sort -u)" 32 "visible dimension while the switch is under way"
wait "${pids[0]}" || fail "the worker of the new space failed: $(cat err1)"
pids=()
run 0 export default item --json
equal "$(field dim | sort -u)" 64 "dimension after the switch"
equal "$(wc -l < out)" 61 "rows after the switch"
run 0 search default "item number 7" -k 1 --json
equal "$(field operation_id)" item7 "the best answer after the switch"
run 0 verify default
# The same target again changes nothing.
run 0 switch-space default --embedder hashing:64 --json
equal "$(field enqueued)" 0 "specs enqueued by the same target"
run 1 switch-space nosuch --embedder hashing:64
one_line "no catalog 'nosuch'"
