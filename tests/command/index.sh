#!/usr/bin/env bash
# From a document to answers; what is stored already is not embedded again.
. "$(dirname "$0")/lib.sh"
export EMBEDJOBS_EMBEDDER="hashing?log=$work/log"
api=$SOURCE_DIR/examples/data/gateway-admin.yaml

run 0 index "$api"
grep -q '^43 operations embedded, 0 stored already$' out || fail "what was embedded is not told"
grep -q '^default/gateway-admin: 43/43 indexed ' out || fail "no badge"
equal "$(hashes log | sort -u | wc -l)" 43 "texts embedded"
equal "$(hashes log | wc -l)" 43 "texts embedded, with repetitions"

run 0 index "$api"
grep -q '^nothing to embed: all 43 operations were stored already$' out || fail "a second run says what it did"
equal "$(hashes log | wc -l)" 43 "texts embedded after the second run"

run 0 verify default
run 0 verify default gateway-admin --json
equal "$(cat out)" '{"catalog_id":"default","spec_name":"gateway-admin","equal":true,"difference":""}' "verify"

run 0 status --json
equal "$(field job_status)" succeeded "job_status"
equal "$(field label)" "43/43 indexed" "badge label"
equal "$(field tone)" green "badge tone"
equal "$(field operation_count) $(field embedding_count)" "43 43" "counts"
run 0 status default
grep -q 'All 1 specs indexed' out || fail "no banner"
run 1 status nosuch
one_line "no catalog 'nosuch'"

unset EMBEDJOBS_EMBEDDER
run 0 search default "how do I rotate an API key" -k 5 --json
equal "$(wc -l < out)" 5 "answers"
equal "$(field operation_id | head -1)" rotateApiKey "the best answer"
run 0 search default "upload TLS certificate" -k 1
grep -q 'uploadCertificate .*Stores a certificate chain' out || fail "an answer for people shows its text"
run 1 search nosuch question
one_line "no catalog 'nosuch'"

run 0 export default gateway-admin --json
equal "$(wc -l < out)" 43 "exported rows"
equal "$(field dim | sort -u) $(field model | sort -u)" "512 hashing" "space of the rows"
equal "$(head -1 out | sed 's/.*\[//; s/\].*//' | tr ',' '\n' | wc -l)" 512 "floats"
run 1 export default nosuch
one_line "no spec 'nosuch'"

run 0 jobs --json
equal "$(wc -l < out)" 2 "jobs"
for name in id catalog_id spec_name kind status attempts last_error next_run_at worker_id lease_expires_at created_at \
  started_at completed_at embedded_so_far reused_count embedded_count generation; do
  equal "$(grep -c "\"$name\":" out)" 2 "jobs with the column $name"
done
equal "$(field reused_count | tr '\n' ' ')" "43 0 " "reused, newest first"
equal "$(field embedded_count | tr '\n' ' ')" "0 43 " "embedded, newest first"
equal "$(field lease_expires_at | sort -u)" null "lease of a job that ended"
run 0 jobs --status failed --json
equal "$(wc -c < out)" 0 "failed jobs"

# Renamed ids embed nothing; one new text embeds one.
export EMBEDJOBS_EMBEDDER="hashing?log=$work/log"
sed 's/operationId: /operationId: renamed/' "$api" > gateway-admin.yaml
run 0 index gateway-admin.yaml
grep -q '^nothing to embed: all 43' out || fail "renaming embeds"
equal "$(hashes log | wc -l)" 43 "texts embedded after renaming"
run 0 export default gateway-admin --json
equal "$(field operation_id | grep -vc '^renamed' || true)" 0 "rows with an old id"
sed -i 's/summary: Invite an operator/summary: Invite a colleague/' gateway-admin.yaml
run 0 index gateway-admin.yaml
grep -q '^1 operation embedded, 42 stored already$' out || fail "an edit embeds the text that is new"
equal "$(hashes log | wc -l)" 44 "texts embedded after an edit"
run 0 verify default

# The same texts in another spec of the catalog embed nothing; two files of one name are refused.
mkdir other
cp gateway-admin.yaml other/copy.yaml
run 0 index other/copy.yaml
equal "$(hashes log | wc -l)" 44 "texts embedded after a copy"
cp gateway-admin.yaml other/
run 2 index gateway-admin.yaml other/gateway-admin.yaml
one_line "gateway-admin"

# Removal.
run 0 remove default copy
run 0 status --json
equal "$(field spec_name)" gateway-admin "specs after a removal"
run 1 remove default copy
one_line "no spec 'copy'"
run 0 remove default
run 0 status
run 1 remove default
