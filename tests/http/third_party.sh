#!/usr/bin/env bash
# The live tests against servers that others wrote, from PyPI: third_party.sh HTTP_LIVE EMBEDJOBS. Skipped (77) where
# they can't be installed.
#   mock-ai-api   OpenAI's API with deterministic vectors
#   stubllm       OpenAI's API with vectors of zeros, which must be refused
set -euo pipefail
live=$1 embedjobs=$2
work=$(mktemp -d)
pids=()
finish() {
  for pid in "${pids[@]}"; do
    kill -- "-$pid" 2> /dev/null || true  # a server may have processes of its own
  done
  rm -rf "$work"
}
trap finish EXIT
if ! { python3 -m venv "$work/venv" &&
  "$work/venv/bin/pip" install -q mock-ai-api==0.1.1 stubllm==0.1.5; } > "$work/log" 2>&1; then
  tail -3 "$work/log"
  echo "SKIPPED: the servers can't be installed from PyPI"
  exit 77
fi
free_port() {
  python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}
# until_it_listens PORT
until_it_listens() {
  local deadline=$((SECONDS + 30))
  until (: < "/dev/tcp/127.0.0.1/$1") 2> /dev/null; do
    [ $SECONDS -lt $deadline ] || { echo "FAILED: nothing listens on port $1"; exit 1; }
    sleep 0.1
  done
}

port=$(free_port)
setsid "$work/venv/bin/mock-ai-api" --openai-port "$port" --anthropic-port "$(free_port)" > "$work/mock.log" 2>&1 &
pids+=($!)
until_it_listens "$port"
EMBEDJOBS_LIVE_OPENAI_URL=http://127.0.0.1:$port "$live" | tee "$work/live"
! grep -q SKIPPED "$work/live"
cd "$work"
"$embedjobs" doctor --embedder "openai:text-embedding-3-small@http://127.0.0.1:$port"

port=$(free_port)
setsid "$work/venv/bin/stubllm" serve --port "$port" > "$work/stub.log" 2>&1 &
pids+=($!)
until_it_listens "$port"
if "$embedjobs" doctor --json --embedder "openai:text-embedding-ada-002@http://127.0.0.1:$port" > "$work/zeros"; then
  echo "FAILED: vectors of zeros were accepted"
  exit 1
fi
grep -q 'zeros' "$work/zeros" || { cat "$work/zeros"; exit 1; }
echo "servers of others answer as they should, and zeros are refused"
