#!/usr/bin/env bash
# Whatever a user names as a document or a database: one clear line, an exit code, and nothing that was stored is
# harmed.
. "$(dirname "$0")/lib.sh"

document 5 good > api.json
run 0 index api.json
run 0 export default api --json
cp out before

# refused WHAT FILE TEXT: by index, put and ops.
refused() {
  cp "$2" bad/api.json 2> /dev/null || true
  local file=$2
  [ -d "$2" ] || file=bad/api.json
  run 1 index "$file"
  one_line "$3"
  run 1 put default api "$file"
  one_line "$3"
  run 1 ops "$file"
  one_line "$3"
  run 0 verify default
  run 0 export default api --json
  cmp -s before out || fail "$1: what was stored changed"
}
mkdir bad folder
: > blank
refused "blank" blank ""
printf ' \n\t\n' > spaces
refused "spaces" spaces ""
echo '{"openapi": "3.0.3", "paths": {' > broken
refused "broken JSON" broken "api.json"
printf 'openapi: 3.0.3\npaths:\n  /a: {get: [\n' > broken_yaml
refused "broken YAML" broken_yaml "line"
printf 'openapi: 3.0.3\npaths:\n  /a:\n    get:\n      summary: s\n504 Gateway Time-out' > error_page
refused "an error page at the end of a download" error_page "line 6, column 1"
printf 'openapi: 3.0.3\npaths:\n  /a:\n    get:\n      operationId: a\n      summ' > cut
refused "cut inside a key" cut "line 6, column 7"
echo '{"openapi":"3.0.3","paths":{"/a":{"get":{"operationId":"x"},"put":{"operationId":"x"}}}}' > duplicate
refused "duplicate ids" duplicate "x"
echo '{"openapi":"3.0.3","paths":{"/a":{"$ref":"other.yaml#/a"}}}' > external
refused "external reference" external "other.yaml"
refused "directory" folder "is a directory"
head -c 4096 "$EMBEDJOBS" > binary
refused "binary" binary "binary"
head -c $((65 * 1024 * 1024)) /dev/zero | tr '\0' ' ' > large
refused "too large" large "MiB"
rm -f large bad/api.json
run 1 index nosuch.json
one_line "nosuch.json"
# One bad file of several: nothing is stored.
document 2 second > second.json
run 1 index second.json broken
run 0 status --json
equal "$(field spec_name)" api "specs after one bad file of two"

# Databases.
echo "this is a text, and a long one, but it is not a database of any kind" > text.db
run 1 status --db sqlite:text.db
one_line "text.db"
run 1 index second.json --db sqlite:text.db
equal "$(head -c 14 text.db)" "this is a text" "a file that is not a database"
run 1 status --db sqlite:folder
one_line "folder"
run 1 index second.json --db sqlite:nosuch/folder.db
one_line "nosuch/folder.db"
if command -v sqlite3 > /dev/null; then
  cp embedjobs.db newer.db
  sqlite3 newer.db 'PRAGMA user_version = 9999'
  run 1 status --db sqlite:newer.db
  one_line "newer"
  equal "$(sqlite3 newer.db 'PRAGMA user_version')" 9999 "version of a newer file"
  sqlite3 foreign.db 'CREATE TABLE theirs (x); INSERT INTO theirs VALUES (1)'
  run 1 index second.json --db sqlite:foreign.db
  one_line "foreign.db"
  equal "$(sqlite3 foreign.db 'SELECT x FROM theirs')" 1 "a database of someone else"
else
  echo "left out: the sqlite3 shell is not installed"
fi
