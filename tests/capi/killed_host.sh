#!/bin/sh
# A C host is killed with SIGKILL in mid-run, again and again, and resumes without embedding what it had persisted.
# killed_host.sh KILLED_HOST HOST: the documents are github.json of EMBEDJOBS_SPEC_DIR, or one that is made here.
set -eu
killed=$1 host=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM

document=${EMBEDJOBS_SPEC_DIR:+$EMBEDJOBS_SPEC_DIR/github.json}
if [ -z "$document" ] || [ ! -e "$document" ]; then
  echo "EMBEDJOBS_SPEC_DIR has no github.json: a document of 1,000 operations is made instead"
  document=$work/made.json
  awk 'BEGIN {
    printf "{\"openapi\":\"3.0.3\",\"info\":{\"title\":\"t\",\"version\":\"1\"},\"paths\":{"
    for (i = 0; i < 1000; ++i) printf "%s\"/p%d\":{\"get\":{\"summary\":\"operation number %d\"}}", i ? "," : "", i, i
    print "}}"
  }' > "$document"
fi

vectors() { grep -c -v '^fence' "$work/vectors.txt" || true; }

for chunks in 2 3 1; do
  status=0
  DIE_AFTER_CHUNKS=$chunks "$killed" "$work" "$document" > "$work/out" 2>&1 || status=$?
  if [ "$status" -ne 137 ]; then
    cat "$work/out"
    echo "the host was to be killed after $chunks chunks, and ended with $status" >&2
    exit 1
  fi
  echo "killed with $(vectors) vectors persisted"
done
before=$(vectors)
"$host" "$work" "$document" | tee "$work/out"
after=$(vectors)
embedded=$(sed -n 's/.*, \([0-9]*\) texts embedded now$/\1/p' "$work/out")
if [ "$before" -lt 33 ] || [ "$embedded" -ne $((after - before)) ]; then
  echo "$before vectors were persisted before, $after are now, and $embedded texts were embedded in between" >&2
  exit 1
fi
if [ "$(grep -v '^fence' "$work/vectors.txt" | cut -d ' ' -f 1 | sort | uniq -d | wc -l)" -ne 0 ]; then
  echo "a vector was persisted twice" >&2
  exit 1
fi
# A run over what is done already embeds nothing.
"$host" "$work" "$document" > "$work/out"
if ! grep -q ' 0 texts embedded now$' "$work/out"; then
  cat "$work/out"
  echo "a run over what is done already embedded something" >&2
  exit 1
fi
[ "$(vectors)" -eq "$after" ]
echo "resumed: $before vectors were kept, $embedded embedded"
