#!/usr/bin/env bash
# How often a command asks its provider: never without need. And what is said when the provider is away: the space of
# the worker is not known then, and that makes no catalog another's.
. "$(dirname "$0")/lib.sh"

# serve ARGUMENTS...: a provider; its URL is in $url.
serve() {
  rm -f url
  "$PROVIDER_SERVER" --log requests "$@" > url 2> server.err < /dev/null &
  server=$!
  pids+=("$server")
  until_true 20 test -s url
  url=$(cat url)
}

# asks COUNT EXIT ARGUMENTS...: the command ends with this exit code and asks the provider so often.
asks() {
  local count=$1 exit=$2
  shift 2
  : > requests
  run "$exit" "$@" --embedder "ollama:test@$url"
  equal "$(wc -l < requests)" "$count" "requests of: $*"
}

serve --model test
document 3 user > users.json
document 3 item > items.json
asks 0 0 work --until-idle            # no job, no space
asks 0 0 put default users users.json # the first worker chooses the space of a new catalog
asks 2 0 work --until-idle            # the space, and the texts
asks 0 0 index users.json             # nothing new
asks 0 0 put default users users.json
asks 0 0 work --until-idle
asks 1 0 search default "user number 2"
asks 0 2 search default "  "
asks 1 0 index items.json
asks 1 0 search default "item number 2"

# How the embedder was named stays with the catalog: it may be left out, as the advice says.
: > requests
run 1 search default "user number 2" --embedder hashing
one_line 'leave --embedder out'
run 0 search default "user number 2" -k 1
grep -q user2 out || fail "the answer is not found without --embedder"
run 0 work --until-idle
run 0 index users.json
equal "$(wc -l < requests)" 1 "requests without --embedder"

# A model that can't be the catalog's own is asked after, before anything is written.
run 1 put default users users.json --embedder "ollama:other@$url"
one_line 'ollama pull other'

# A key goes to the address that a person names with it, and to none that the database names.
export EMBEDJOBS_API_KEY=sk-canary-7d1f
(
  mkdir keys && cd keys
  serve --model test --kind openai --key "$EMBEDJOBS_API_KEY"
  run 0 index ../users.json --embedder "openai:test@$url"
  run 1 search default "user number 2"
  one_line 'no key is sent to it: name it with --embedder'
  run 0 search default "user number 2" --embedder "openai:test@$url"
  kill "$server"
)
unset EMBEDJOBS_API_KEY
! grep -rqa canary . || fail "the key was stored"

# The provider is away, and a job waits for it.
document 4 user > users.json
asks 0 0 put default users users.json
kill "$server"
wait "$server" || true
for catalog in default other; do
  run 75 work --until-idle --max-wait 1s --embedder "ollama:test@$url"
  grep -q 'it waits for the provider' err || fail "the provider is not named"
  grep -q 'another target space' err && fail "a catalog was taken for another's"
  # Once more with a catalog whose space nobody knows yet.
  [ "$catalog" = other ] || run 0 put other items items.json --embedder "ollama:test@$url"
done
