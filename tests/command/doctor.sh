#!/usr/bin/env bash
# doctor: what is wrong with provider and database, and what to do.
. "$(dirname "$0")/lib.sh"

# ok CHECK true|false: what the last doctor --json found.
ok() {
  grep -q "\"check\":\"$1\",\"ok\":$2" out || fail "expected $1 to be $2"
}

run 0 doctor
grep -q '^ok   provider: hashing' out || fail "the try-out embedder is not fine"
grep -q 'there is none yet; embedjobs index FILE makes it' out || fail "nothing says how to make a database"
[ ! -e embedjobs.db ] || fail "doctor made a database"

document 20 user > users.json
run 0 index users.json
run 0 doctor --json
for check in provider database integrity writable disk catalogs; do
  ok "$check" true
done
equal "$(field space_id)" '512/hashing?v1' "space"

# Another embedder than the catalog's.
run 1 doctor --json --embedder hashing:64
ok catalogs false
grep -q 'switch-space default' out || fail "nothing says how to move the catalog"

# A damaged file, and one that is none.
cp embedjobs.db damaged.db
size=$(stat -c %s damaged.db)
dd if=/dev/zero of=damaged.db bs=1 seek=$((size / 2)) count=8192 conv=notrunc 2> /dev/null
run 1 doctor --db sqlite:damaged.db
echo "this is no database, and it is long enough to be looked at as one" > text.db
run 1 doctor --json --db sqlite:text.db
ok database false

# A path where no database can be.
run 1 doctor --db sqlite:/nonexistent/dir/x.db
grep -q '^FAIL database: the directory /nonexistent/dir is missing; make it, or name another path with --db' out ||
  fail "the missing directory is not named"
mkdir folder
run 1 doctor --db sqlite:folder
grep -q '^FAIL database: folder is a directory; name a file in it, for example --db sqlite:folder/embedjobs.db' out ||
  fail "the directory is not named"
[ -z "$(ls folder)" ] || fail "doctor made something"
run 1 doctor --db sqlite:text.db/x.db
grep -q '^FAIL database: text.db is no directory' out || fail "the file in the way is not named"

# Providers.
serve() {
  rm -f url
  "$PROVIDER_SERVER" "$@" > url 2> server.err < /dev/null &
  pids+=($!)
  until_true 20 test -s url
  url=$(cat url)
}
run 1 doctor --json --embedder ollama:nomic-embed-text@http://127.0.0.1:1
ok provider false
equal "$(field state)" unreachable "state"
grep -q 'ollama serve' out || fail "nothing says what to start"
rm -f embedjobs.db
serve --kind openai --model text-embedding-test --dimension 32 --key canary-right
EMBEDJOBS_API_KEY=canary-right run 0 doctor --json --embedder "openai:text-embedding-test@$url"
equal "$(field state)" ok "state"
equal "$(field dimension)" 32 "dimension"
equal "$(field kind)" openai "kind"
EMBEDJOBS_API_KEY=canary-wrong run 1 doctor --json --embedder "openai:text-embedding-test@$url"
equal "$(field state)" unauthorised "state"
grep -q 'EMBEDJOBS_API_KEY' out || fail "nothing says where the key comes from"
grep -q 'canary' out err && fail "a key was printed"
EMBEDJOBS_API_KEY=canary-right run 1 doctor --json --embedder "openai:another@$url"
equal "$(field state)" model_missing "state"
# No Ollama at the address, a path too many, a file of certificates that is not there.
for wrong in "$url" "$url/v1"; do
  run 1 doctor --embedder "ollama:nomic-embed-text@$wrong"
  grep -q 'this is no Ollama, or an address with a path: check the URL' out ||
    fail "nothing says that $wrong is no Ollama"
done
run 1 doctor --embedder 'openai:m@https://127.0.0.1:1?ca_file=/no/such.pem'
grep -q "ca_file '/no/such.pem' can't be read or is empty; name a file of PEM certificates" out ||
  fail "the missing file is not named"

# What it does with two texts of different length, and another model behind the name.
rm -f embedjobs.db
serve --kind openai --model small --reads-bytes 500 --answering-model large
run 0 doctor --json --embedder "openai:small@$url"
equal "$(field batches)" 'two texts in one call, two vectors' "batches"
grep -q '"long_texts":"cut unseen' out || fail "the cut is not seen"
grep -q '"long_ms":[0-9]' out || fail "nothing says how long a long text takes"
grep -q 'asked for the model small and says that large answered' out || fail "the other model is not named"
