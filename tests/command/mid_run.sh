#!/usr/bin/env bash
# What happens while a job runs: an edit, a removal, a manual retry, signals, a lease that is much shorter than the
# pass.
. "$(dirname "$0")/lib.sh"
export EMBEDJOBS_EMBEDDER=hashing:16
slow="hashing:16?delay=100ms&log=$work/log"

# start_slow ARGUMENTS...: a worker in the background that has made its first call.
start_slow() {
  rm -f log
  "$EMBEDJOBS" work --embedder "$slow" --batch-size 4 --provider-concurrency 1 "$@" > out1 2> err1 &
  pids=("$!")
  until_true 30 log_has log 1
}
ended() {
  local exit=0
  wait "${pids[0]}" || exit=$?
  pids=()
  equal "$exit" "$1" "exit code of the worker ($(tail -3 err1 | tr '\n' ' '))"
}

echo "an edit while the job runs: the final rows are the new document's"
document 40 old > api.json
run 0 put default api api.json
start_slow --until-idle
document 30 new > api.json
run 0 put default api api.json
ended 0
run 0 verify default
run 0 export default api --json
equal "$(wc -l < out)" 30 "rows"
equal "$(field operation_id | grep -vc '^new' || true)" 0 "rows of the old document"

echo "a manual retry while a job runs is not swallowed"
document 40 retried > api.json
run 0 put default api api.json
start_slow --until-idle
run 0 retry default api
ended 0
run 0 verify default
twice=$(hashes log | sort | uniq -c | awk '$1 >= 2' | wc -l)
[ "$twice" -ge 1 ] || fail "nothing was embedded afresh"
run 0 jobs --json --limit 1
equal "$(field status)" succeeded "the job"

echo "removal in mid-run: no rows come back"
document 40 removed > api.json
run 0 put default api api.json
start_slow --until-idle
run 0 remove default api
ended 0
run 0 status --json
equal "$(wc -l < out)" 0 "specs after the removal"
run 1 export default api --json
run 0 jobs --limit 1 --json
equal "$(field status)" cancelled "the job of a removed spec"

echo "SIGTERM: a clean stop releases the job at once"
document 40 stopped > api.json
run 0 put default api api.json
start_slow
kill -TERM "${pids[0]}"
ended 0
run 0 jobs --limit 1 --json
equal "$(field status) $(field worker_id)" "pending null" "the job after a clean stop"
run 0 work --until-idle --embedder "hashing:16?log=$work/log"
run 0 verify default
equal "$(hashes log | sort -u | wc -l)" 40 "texts embedded before and after the stop"

echo "SIGINT while waiting for idle: work is left"
document 40 interrupted > api.json
run 0 put default api api.json
start_slow --until-idle
kill -INT "${pids[0]}" 2> /dev/null
ended 75

echo "a pass outlasts its lease many times over in one attempt, and the warning appears once"
run 0 remove default api
document 40 leased > api.json
run 0 put default api api.json
start_slow --until-idle --lease-duration 150ms --embed-timeout 1s
ended 0
equal "$(grep -c '^warning: embed_timeout' err1)" 1 "warnings"
run 0 jobs --limit 1 --json
equal "$(field attempts) $(field status)" "1 succeeded" "attempts"
