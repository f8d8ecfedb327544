# shellcheck shell=bash Sourced by the end-to-end tests of the command. Each runs in a folder of its own and ends at the
# first check that fails.
set -euo pipefail
EMBEDJOBS=${EMBEDJOBS:?path of the command}
SOURCE_DIR=${SOURCE_DIR:?path of the sources}
unset EMBEDJOBS_DB EMBEDJOBS_EMBEDDER
work=$(mktemp -d)
pids=()
reason=
finish() {
  local exit=$?
  # Only what this test started.
  for pid in "${pids[@]}"; do
    kill -KILL "$pid" 2> /dev/null || true
  done
  if [ $exit -ne 0 ] && [ -e "$work/err" ]; then
    echo "--- standard output of the last command"
    head -20 "$work/out"
    echo "--- its standard error"
    head -20 "$work/err"
  fi
  # Once more at the end: what shows a failure may have kept only the end.
  [ -z "$reason" ] || echo "FAILED: $reason"
  rm -rf "$work"
}
trap finish EXIT
cd "$work"

fail() {
  reason=$*
  echo "FAILED: $reason"
  exit 1
}

# run EXIT ARGUMENTS...: the command must end with this exit code; its outputs are in the files out and err.
run() {
  local expected=$1 exit=0
  shift
  "$EMBEDJOBS" "$@" > out 2> err < /dev/null || exit=$?
  [ $exit -eq "$expected" ] || fail "embedjobs $*: exit code $exit, expected $expected"
}

# one_line TEXT: err is a single line of ours that contains TEXT.
one_line() {
  [ "$(wc -l < err)" -eq 1 ] || fail "expected one line on standard error"
  grep -q '^embedjobs: ' err || fail "the line does not begin with 'embedjobs: '"
  grep -qF -- "$1" err || fail "expected an error with '$1'"
}

equal() {
  [ "$1" = "$2" ] || fail "$3: '$1', expected '$2'"
}

# field NAME: the values of a member of the JSON lines in out, a line each; strings without quotes, without escapes in
# these tests.
field() {
  sed -nE "s/.*\"$1\":(\"([^\"]*)\"|([^,}]*)).*/\2\3/p" out
}

# document COUNT PREFIX: an OpenAPI document of COUNT operations with texts of their own.
document() {
  awk -v n="$1" -v prefix="$2" 'BEGIN {
    printf "{\"openapi\":\"3.0.3\",\"info\":{\"title\":\"t\",\"version\":\"1\"},\"paths\":{"
    for (i = 1; i <= n; ++i)
      printf "%s\"/%s/%d\":{\"get\":{\"operationId\":\"%s%d\",\"summary\":\"Show %s number %d\"}}",
        (i > 1 ? "," : ""), prefix, i, prefix, i, prefix, i
    print "}}"
  }'
}

# hashes FILE: the text hashes in a log of the hashing embedder, a line each. What a kill cut short is none.
hashes() {
  [ ! -e "$1" ] || cut -d ' ' -f 3- "$1" | tr ' ' '\n' | sed -nE '/^[0-9a-f]{64}$/p'
}

# until_true SECONDS COMMAND...: waits for an event that another process causes.
until_true() {
  local deadline=$((SECONDS + $1))
  shift
  until "$@"; do
    [ $SECONDS -lt $deadline ] || fail "waited too long for: $*"
    sleep 0.02
  done
}
log_has() { [ -e "$1" ] && [ "$(wc -l < "$1")" -ge "$2" ]; }

# The folder of real documents, or a visible skip.
need_specs() {
  if [ -z "${EMBEDJOBS_SPEC_DIR:-}" ]; then
    echo "SKIPPED: EMBEDJOBS_SPEC_DIR does not name a folder of real OpenAPI documents"
    exit 77
  fi
}
