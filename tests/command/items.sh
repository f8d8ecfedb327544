#!/usr/bin/env bash
# Plain items: ids, texts and hashes as they were given; bad lines are named; what is stored is harmed by none.
. "$(dirname "$0")/lib.sh"

cat > answers.jsonl <<'DOC'
{"id": "refund", "text": "How to get money back for an order", "url": "https://example.com/refund"}

{"text": "Changing the address of a delivery", "id": "address"}
{"id": "users", "text": "/v1/users/{id}"}
DOC
run 0 ops answers.jsonl --items --json
equal "$(field operation_id | tr '\n' '|')" "refund|address|users|" "ids in the order of the lines"
equal "$(field text_hash | tail -1)" 1c3e2fd85fa4911dce221bc0479dc786c1a8242be518ab2bb0973128753718fd "hash"

run 0 index answers.jsonl --items --catalog support --embedder "hashing?log=$PWD/log"
run 0 search support "money back" -k 1 --json
equal "$(field operation_id)" refund "the nearest item"
run 0 verify support
run 0 export support answers --json
cp out before

# A file that names itself needs no flag; an edit embeds what is new.
{
  echo '{"embedjobs":"items/1"}'
  grep -v address answers.jsonl
  echo '{"id":"hours","text":"Opening hours"}'
} > named.jsonl
run 0 ops named.jsonl --json
equal "$(wc -l < out)" 3 "items of a file with a header"
"$EMBEDJOBS" put support answers - --items < named.jsonl > /dev/null
run 0 work --until-idle --embedder "hashing?log=$PWD/log"
run 0 export support answers --json
equal "$(field operation_id | tr '\n' '|')" "hours|refund|users|" "ids after the edit"
equal "$(hashes log | wc -l)" 4 "texts that were embedded"
run 0 verify support
cp out before

# refused TEXT: the file `bad`, by index, put and ops.
refused() {
  cp bad bad.jsonl
  run 1 index bad.jsonl --items --catalog support
  one_line "$1"
  run 1 put support answers bad.jsonl --items
  one_line "$1"
  run 1 ops bad.jsonl --items
  one_line "bad.jsonl: $1"
  run 0 verify support
  cmp -s before out || fail "$1: what was stored changed"
}
good='{"id":"a","text":"x"}'
: > bad
refused "the document is blank"
printf '%s\n{"id":"b","text":\n' "$good" > bad
refused "line 2, column 18: not valid JSON"
printf '%s\n{"id":"a","text":"y"}\n' "$good" > bad
refused "line 2: the id 'a' is not unique: line 1 has it too"
printf '%s\n{"id":"","text":"y"}\n' "$good" > bad
refused "line 2: the item's 'id' is empty"
printf '%s\n{"id":"b","text":"\xff"}\n' "$good" > bad
refused "line 2: not valid UTF-8"
printf '%s\n{"id":"b","text":"\0"}\n' "$good" > bad
refused "line 2: has a NUL byte"
{ echo "$good"; printf '{"id":"b","text":"'; head -c 1100000 /dev/zero | tr '\0' y; echo '"}'; } > bad
refused "line 2: an item of 1100020 bytes"
run 1 put support answers answers.jsonl
one_line "not valid JSON"
