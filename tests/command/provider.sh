#!/usr/bin/env bash
# Indexing with a provider that is away, faulty, poisoned; and that no key is ever printed or stored.
. "$(dirname "$0")/lib.sh"

# serve ARGUMENTS...: a provider; its URL is in $url.
serve() {
  rm -f url
  "$PROVIDER_SERVER" "$@" > url 2> server.err < /dev/null &
  server=$!
  pids+=("$server")
  until_true 20 test -s url
  url=$(cat url)
}
stop_server() {
  kill "$server"
  wait "$server" || true
}
export EMBEDJOBS_API_KEY=sk-canary-3c9d

# Away: one line that says what to start; nothing is lost; when it appears the job completes without help.
serve --model test
port=${url##*:}
stop_server
document 40 user > users.json
"$EMBEDJOBS" index users.json --embedder "ollama:test@$url" > out 2> err < /dev/null &
index=$!
pids+=("$index")
until_true 30 grep -q 'ollama serve' err
equal "$(grep -c 'ollama serve' err)" 1 "lines that say what to start"
serve --model test --port "$port"
wait "$index" || fail "index did not succeed after the provider appeared"
grep -q '40 operations embedded' out || fail "not everything was embedded"
run 0 verify default --embedder "ollama:test@$url"
run 0 search default "user number 7" --embedder "ollama:test@$url"
stop_server

# Poisoned: the others are stored, the error names the one, and the rest is not sent again.
rm -f embedjobs.db
serve --model test --poison 'number 13 ' --log calls
document 60 item > items.json
run 1 index items.json --embedder "ollama:test@$url"
grep -q 'item13' err out || fail "the poisoned operation is not named"
stop_server
sent=$(hashes calls | sort -u | wc -l)
serve --model test --log calls2
run 0 index items.json --embedder "ollama:test@$url"
grep -qE '^1 operations? embedded, 59 ' out || fail "the retry embedded more than the one"
[ "$sent" -ge 60 ] || fail "texts were not sent"
stop_server

# A model that is missing: one line, and what to run.
rm -f embedjobs.db
serve --model test
run 1 index items.json --embedder "ollama:other@$url"
one_line 'ollama pull other'

# A key in the wrong place is refused, and not repeated.
run 2 index items.json --embedder "openai:m@$url?key=$EMBEDJOBS_API_KEY"
grep -q canary err && fail "the key was printed"
EMBEDJOBS_API_KEY=$'canary\nsecond line' run 2 index items.json --embedder "openai:m@$url"
grep -q 'line break' err || fail "nothing says what is wrong with the key"
grep -q 'canary\|second' err && fail "the key was printed"
run 2 index items.json --embedder "openai:m@http://user:$EMBEDJOBS_API_KEY@127.0.0.1"
grep -q canary err && fail "the key was printed"
! grep -rqa canary . || fail "the key was stored"
