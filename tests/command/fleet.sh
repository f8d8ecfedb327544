#!/usr/bin/env bash
# Who works, and what each holds: while a worker runs, and after it stopped.
. "$(dirname "$0")/lib.sh"
document 20 item > item.json
run 0 put default item item.json --embedder hashing:32
run 0 workers
grep -q 'no workers' out || fail "there are workers before any started"
"$EMBEDJOBS" work --embedder "hashing:32?delay=500ms&log=$work/log" --batch-size 1 --provider-concurrency 1 \
  > out1 2> err1 &
pids=("$!")
until_true 30 log_has log 2
run 0 workers --json
grep -q "\"process_id\":${pids[0]}" out || fail "the worker's process is not in the list"
grep -q '"live":true' out || fail "the worker is not live"
grep -q '"spec_name":"item"' out || fail "the job that it holds is not in the list"
run 0 workers
grep -q 'default/item' out || fail "the table does not say what the worker holds"
run 0 status
grep -q 'held by .* since .*, lease until ' out || fail "status does not say who holds the spec"
run 0 metrics
grep -q '^embedjobs_workers_live 1$' out || fail "the metrics do not count the worker"
kill -TERM "${pids[0]}"
wait "${pids[0]}" || true
pids=()
run 0 workers
grep -q 'no workers' out || fail "a worker that stopped is still in the list"
