#!/usr/bin/env bash
# Every mode of the misbehaving server of the cases gets what its list says. EMBEDJOBS_CASES_DIR names the folder.
. "$(dirname "$0")/lib.sh"

if [ -z "${EMBEDJOBS_CASES_DIR:-}" ]; then
  echo "SKIPPED: EMBEDJOBS_CASES_DIR does not name a folder of cases"
  exit 77
fi
cases=$EMBEDJOBS_CASES_DIR/provider

port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
python3 "$cases/fake_openai.py" "$port" 2> server.err < /dev/null &
pids+=("$!")
listens() { (: < "/dev/tcp/127.0.0.1/$port") 2> /dev/null; }
until_true 20 listens

# index_with MODE EXIT [ARGUMENTS...]: a database of its own each.
index_with() {
  local mode=$1 exit=$2
  shift 2
  rm -f x.db
  run "$exit" index "$cases/long.json" --db sqlite:x.db --embedder "openai:$mode@http://127.0.0.1:$port/v1" "$@"
}
# says WORDS: somewhere, to a person.
says() { grep -qF -- "$1" out err || fail "'$1' is not said"; }
silent_on() { ! grep -qF -- "$1" out err || fail "'$1' is said"; }

for i in 1 2 3 4 5 6 7 8 9; do
  index_with "toolong-$i" 0 --max-wait 60s
  says '40 operations embedded'
  run 0 export default long --db sqlite:x.db --json
  equal "$(grep '"op07"' out | grep -c '"truncated":true')" 1 "op07 is marked with toolong-$i"
  equal "$(grep -c '"truncated":true' out)" 1 "texts that were cut with toolong-$i"
done
for mode in gemini-index first-only no-extra-field; do
  index_with "$mode" 0 --max-wait 60s
  says '40 operations embedded'
  silent_on 'retry:'
done
index_with backend-424 0 --max-wait 60s --batch-size 4
says '40 operations embedded'
silent_on 'retry:'

index_with ollama-v1-missing 1 --max-wait 5s
says 'the server has no model ollama-v1-missing'
silent_on 'check its path'
index_with not-embedding 1 --max-wait 60s
says 'embeddings are switched off on this server'
index_with budget 1 --max-wait 60s
says 'the budget of this key is spent'

# Tried again, and its words quoted.
index_with upstream-404-in-200 75 --max-wait 4s
says 'no upstream answered'
silent_on 'check its path'
index_with string-error-in-200 75 --max-wait 4s
says 'no such method here: POST /embeddings'
index_with login-page 75 --max-wait 4s
says 'a web page (Sign in)'
