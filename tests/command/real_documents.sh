#!/usr/bin/env bash
# The next version of a real document embeds only the texts that have no vector yet; renaming every id embeds nothing.
. "$(dirname "$0")/lib.sh"
need_specs
export EMBEDJOBS_EMBEDDER="hashing:64?log=$work/log"
first=$EMBEDJOBS_SPEC_DIR/github-enterprise-3.17.json
second=$EMBEDJOBS_SPEC_DIR/github-enterprise-3.18.json
texts() {
  run 0 ops "$1" --json
  field text_hash | sort -u
}
texts "$first" > old
texts "$second" > new

run 0 put c ghes "$first"
run 0 work --until-idle
hashes log | sort > embedded
diff -q old embedded > /dev/null || fail "the first version: what was embedded is not its different texts"
: > log
run 0 put c ghes "$second"
run 0 work --until-idle
hashes log | sort > embedded
comm -13 old new > expected
diff -q expected embedded > /dev/null ||
  fail "the second version: $(wc -l < embedded) texts embedded, expected $(wc -l < expected)"
run 0 verify c
echo "$(wc -l < old) texts, then $(wc -l < expected) new ones"

: > log
sed -E 's/"operationId":( ?)"/"operationId":\1"renamed-/g' "$second" > renamed.json
run 0 put c ghes renamed.json
run 0 work --until-idle
equal "$(hashes log | wc -l)" 0 "texts embedded after renaming every id"
run 0 verify c
run 0 export c ghes --json
equal "$(field operation_id | grep -vc '^renamed-' || true)" 0 "rows with an old id"
