#!/usr/bin/env bash
# The operations of the worked examples, hash for hash, and text that tries to command a terminal.
. "$(dirname "$0")/lib.sh"

cat > users.yaml <<'DOC'
openapi: 3.0.3
info: {title: Users, version: '1'}
paths:
  /v1/users/{id}:
    summary: User resource
    get:
      operationId: getUser
      summary: Get a single user by id
      description: "Returns one user.  "
      tags: [users, admin]
      deprecated: true
      responses: {'200': {description: ok}}
    delete:
      responses: {'204': {description: gone}}
DOC
run 0 ops users.yaml --json
# The line breaks before text_hash are for the reader.
cat > expected <<'DOC'
{"operation_id":"DELETE /v1/users/{id}","text":"/v1/users/{id}",
"text_hash":"1c3e2fd85fa4911dce221bc0479dc786c1a8242be518ab2bb0973128753718fd"}
{"operation_id":"getUser","text":"Get a single user by id Returns one user.   /v1/users/{id} users admin",
"text_hash":"b525f654e2e696a587c826b0127bca5c7863b034555a70f5dfc98bab660bf64b"}
DOC
sed -i '/,$/{N;s/\n//}' expected
diff expected out || fail "the first worked example"

cat > orders.yaml <<'DOC'
openapi: 3.0.3
info: {title: Orders, version: '1'}
paths:
  /orders:
    post:
      summary: Place a new order
      description: |
        Creates an order.
        Idempotent.
      tags: [orders]
DOC
run 0 ops orders.yaml --json
equal "$(field operation_id)" "POST /orders" "id"
equal "$(field text_hash)" 6f323beecc55f7fcd67a0050ab54bb8a751e65cf3a909619aeb613e44b9f31d3 "hash"

cat > shared.yaml <<'DOC'
openapi: 3.0.3
info: {title: Shared, version: '1'}
paths:
  /a: {$ref: '#/paths/~1b'}
  /b:
    get: {summary: List widgets}
DOC
run 0 ops shared.yaml --json
equal "$(field operation_id | tr '\n' '|')" "GET /a|GET /b|" "ids of a shared path item"
sed -i 's/{summary: List widgets}/{summary: List widgets, operationId: list}/' shared.yaml
run 1 ops shared.yaml
one_line "list"

printf '{"openapi":"3.0.3","info":{},"paths":{"/a":{"get":{"summary":"x\\u001b[2J\\u009b31m\\u202e\\ny"}}}}' > evil.json
run 0 ops evil.json
LC_ALL=C grep -qP '[\x00-\x08\x0b-\x1f\x7f]|\xc2[\x80-\x9f]|\xe2\x80\xae' out &&
  fail "control characters reach the terminal"
equal "$(wc -l < out)" 1 "lines"
run 0 ops evil.json --json
LC_ALL=C grep -qP '[\x00-\x08\x0b-\x1f\x7f]|\xc2[\x80-\x9f]|\xe2\x80\xae' out &&
  fail "control characters reach the terminal as JSON"
grep -qF '\u001b[2J\u009b31m\u202e\ny' out || fail "the text is not escaped as JSON"

if [ -n "${EMBEDJOBS_SPEC_DIR:-}" ]; then
  run 0 ops "$EMBEDJOBS_SPEC_DIR/github.json" --json
  equal "$(wc -l < out)" 1223 "operations of github.json"
  for file in "$EMBEDJOBS_SPEC_DIR"/twins/*.yaml; do
    run 0 ops "$file" --json
    cp out as_yaml
    run 0 ops "${file%.yaml}.json" --json
    cmp as_yaml out || fail "$file gives other operations as JSON"
  done
else
  echo "left out: EMBEDJOBS_SPEC_DIR does not name a folder of real OpenAPI documents"
fi
